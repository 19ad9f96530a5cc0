// SPDX-License-Identifier: GPL-2.0-only
// What differs between the ISAs of hardware virtualisation, in one table.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace exittop {

/// Values as in the tracepoint's `isa` argument (KVM_ISA_VMX, KVM_ISA_SVM in arch/x86/kvm/trace.h).
/// Other numbers keep their value.
enum class Isa : std::uint32_t { unknown = 0, vmx = 1, svm = 2 };

/// How guest-physical memory is translated: TDP (EPT on Intel, NPT on AMD) or shadow paging.
enum class Paging { unknown, ept, npt, shadow };

struct IsaFacts {
    Isa isa;
    std::string_view name;   ///< "vmx": as exittop writes and reads it.
    std::string_view title;  ///< "VMX (Intel)".
    const char* module;      ///< KVM's vendor module.
    const char* vcpu_type;   ///< Its struct of a vCPU.
    Paging nested_paging;    ///< By that name the module's parameter switches it, too.
    const char* untraced;    ///< Exits that KVM counts without tracing them.
};

inline constexpr std::array isas = {
    IsaFacts{Isa::vmx, "vmx", "VMX (Intel)", "kvm_intel", "vcpu_vmx", Paging::ept,
             "invalid guest state that it emulates, failed entries"},
    // The fast path is traced since Linux 6.10.
    IsaFacts{Isa::svm, "svm", "SVM (AMD)", "kvm_amd", "vcpu_svm", Paging::npt,
             "its fast path, failed entries"},
};

/// nullptr if it is not in the table.
const IsaFacts* find_isa(Isa isa);
const IsaFacts* find_isa(std::string_view name);
const IsaFacts* find_isa_of_module(std::string_view module);

/// "vmx", "svm", or the number.
std::string isa_name(Isa isa);

/// "ept", "npt", "shadow" or "unknown".
std::string paging_name(Paging paging);
std::optional<Paging> find_paging(std::string_view name);

/// "kvm_intel.ept": the parameter that switches nested paging, with its module.
std::string nested_paging_parameter(const IsaFacts& facts);

}  // namespace exittop
