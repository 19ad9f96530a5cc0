// SPDX-License-Identifier: GPL-2.0-only
// What the running kernel's BTF and symbols say of KVM. Fields that differ between kernels are in
// bpf/kvm_compat.bpf.h.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/file_descriptor.h"

namespace exittop {

struct KernelFacts {
    bool kvm_btf = false;        ///< The next is known.
    bool reason_passed = false;  ///< kvm_exit passes the reason (before 5.16).
    bool vendor_btf = false;     ///< struct vcpu_svm or struct vcpu_vmx is known.
    bool rdonly_cast = false;
    /// Whether tasks may be preempted within the program of a raw tracepoint (Linux 7.0).
    bool preempts_raw_tracepoints = false;
    bool guest_fpu_freed = false;  ///< fpu_free_guest_fpstate() is there (5.16 and later).
    std::string types = "/sys/kernel/btf/vmlinux";  ///< BTF that has the vendor's types, too.
    FileDescriptor joined_types;                    ///< What `types` names, where it is no file.
    std::uint64_t tdp_enabled_address = 0;          ///< 0 if it is hidden or not there.
    std::uint64_t tsc_khz_address = 0;  ///< The same; asked for only where leaves are answered.
};

/// The error if the kernel has no BTF.
std::expected<KernelFacts, Error> read_kernel_facts();

/// Address of a variable of the kernel or of kvm; 0 if it is hidden or not there. Reads all symbols
/// of the kernel.
std::uint64_t kernel_symbol(std::string_view name);

}  // namespace exittop
