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
    /// What the vendor's module does, which cannot change while it has a VM: for those to whom the
    /// kernel does not show where its own word for it is (see kvm_symbol()).
    Paging paging = Paging::unknown;
    std::optional<std::uint32_t> uid{};  ///< Of the process; this and its file the kernel tells.
    std::string executable{};
    bool operator==(const VmIdentity&) const = default;
};

/// What is known of the process that runs a VM. All text is other people's bytes.
struct VmProcess {
    std::span<const std::string> argv;  ///< Empty for a process that is gone.
    std::string_view command;           ///< Its name as the kernel has it.
    std::uint32_t pid = 0;
    std::string_view cgroup{};  ///< /proc/PID/cgroup.
};

/// The name is that of the command line, else that which systemd or Firecracker's jailer gave to
/// the cgroup; at most 1024 bytes, not sanitised.
VmIdentity identify(const VmProcess& process);

}  // namespace exittop
