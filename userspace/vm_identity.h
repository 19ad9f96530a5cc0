// SPDX-License-Identifier: GPL-2.0-only
// Who a VM is, read from the command line of the process that runs it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace exittop {

struct VmIdentity {
    std::string name;  ///< Never empty: "COMMAND-PID" where the command line has none.
    std::string uuid;  ///< Digits and dashes only, or empty.
    std::string vmm;   ///< "qemu", "firecracker", "cloud-hypervisor", "crosvm", "kvmtool", or the
                       ///< command.
    std::uint64_t memory_bytes = 0;  ///< That the command line gives the guest; 0: not known.
    std::string version{};           ///< Of the VMM; the command line does not tell it.
    bool operator==(const VmIdentity&) const = default;
};

/// `argv` is the command line (empty for a process that is gone), `command` its name as the kernel
/// has it. Both are other people's bytes, and so is the name: at most 1024 of them, not sanitised.
VmIdentity identify(std::span<const std::string> argv, std::string_view command, std::uint32_t pid);

}  // namespace exittop
