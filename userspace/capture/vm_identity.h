// SPDX-License-Identifier: GPL-2.0-only
// Who a VM is, read from the command line and the cgroup of the process that runs it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "model/snapshot.h"
#include "system/vmm_version.h"

namespace exittop {

struct VmIdentity {
    std::string name;  ///< Never empty: "COMMAND-PID" where nothing has one.
    std::string uuid;  ///< Digits and dashes only, or empty.
    std::string vmm;   ///< "qemu", "firecracker", "cloud-hypervisor", "crosvm", "kvmtool", or the
                       ///< command.
    std::uint64_t memory_bytes = 0;  ///< That the command line gives the guest; 0: not known.
    VmmVersion version{};            ///< The command line does not tell it.
    bool named = true;  ///< Its command line could be read, or its cgroup has the name.
    Pod pod{};          ///< Its uid, and for KubeVirt its namespace.
    /// The vendor module's paging mode, which cannot change while it has a VM. Used if the kernel
    /// hides the address of its own variable (see kvm_symbol()).
    Paging paging = Paging::unknown;
    std::optional<std::uint32_t> uid{};  ///< Of the process; this and its file the kernel tells.
    std::string executable{};
    bool operator==(const VmIdentity&) const = default;
};

/// What is known of the process that runs a VM. All text is untrusted.
struct VmProcess {
    std::span<const std::string> argv;  ///< Empty for a process that is gone.
    std::string_view command;           ///< Its name as the kernel has it.
    std::uint32_t pid = 0;
    std::string_view cgroup{};  ///< /proc/PID/cgroup.
};

/// The name comes from the command line, else from the cgroup that systemd or Firecracker's jailer
/// made; at most 1024 bytes, not sanitised.
VmIdentity identify(const VmProcess& process);

}  // namespace exittop
