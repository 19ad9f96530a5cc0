// SPDX-License-Identifier: GPL-2.0-only
// What the tests need of the kernel beside BpfProgram: its maps by name, and its own memory as
// known contents to read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace exittop::test {

/// Takes a vCPU's address out of this process's map `vcpu_slots`, as the program does when KVM
/// frees the vCPU. False if there was none.
bool forget_vcpu(std::uint64_t vcpu);

/// Where the fields of struct kvm_vcpu are that the program reads; nothing if this kernel's BTF
/// does not have it.
struct VcpuLayout {
    std::uint64_t kvm = 0;
    std::uint64_t hflags = 0;
    std::uint64_t exits = 0;       ///< stat.exits
    std::uint64_t guest_mask = 0;  ///< HF_GUEST_MASK in hflags: bit 0 since Linux 6.4, else bit 5.
};
std::optional<VcpuLayout> vcpu_layout();

/// Address of a function of the kernel, or 0 if it is hidden or not there.
std::uint64_t kernel_function(const std::string& name);

}  // namespace exittop::test
