// SPDX-License-Identifier: GPL-2.0-only
// This host: kernel, CPU, KVM and its modules, processes. Reads /proc and /sys below a root that
// tests replace.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "model/snapshot.h"

namespace exittop {

/// A process that has a VM of KVM's.
struct KvmProcess {
    std::uint32_t pid = 0;
    std::string command;               ///< As the kernel calls it: 15 bytes of its name.
    std::vector<std::uint32_t> vcpus;  ///< KVM's vcpu_id of each vCPU that it made, ascending.
    bool operator==(const KvmProcess&) const = default;
};

/// Inode of the kernel's first PID namespace (include/linux/proc_ns.h: PROC_PID_INIT_INO).
inline constexpr std::uint64_t first_pid_namespace = 4026531836;

/// Which processes /proc shows, and with which pids.
struct ProcView {
    enum class Numbers {
        kernel,   ///< The kernel's own.
        own,      ///< Those of exittop's PID namespace.
        unknown,  ///< Of yet another namespace, or there is no /proc.
    };
    Numbers numbers = Numbers::unknown;
    bool hides_others = false;  ///< Mounted with hidepid: processes of others are not there.
    bool hides_files = false;   ///< Nor what they have open, which takes CAP_SYS_PTRACE.
    bool operator==(const ProcView&) const = default;
};

class Host {
public:
    explicit Host(std::filesystem::path root = "/", pid_t own_pid = getpid())
        : root_(std::move(root)), own_pid_(own_pid) {}

    /// Whether kvm is loaded or built in.
    [[nodiscard]] bool has_kvm() const;
    /// "kvm_intel" or "kvm_amd" once it is fully loaded, else nothing.
    [[nodiscard]] std::optional<std::string> vendor_module() const;
    /// Modules that use kvm but are neither kvm_intel nor kvm_amd, for instance "kvm_pvm".
    [[nodiscard]] std::vector<std::string> other_vendors() const;
    /// How many VMs and open files of /dev/kvm use a module; nothing if it is built in or not
    /// loaded.
    [[nodiscard]] std::optional<std::uint64_t> module_users(const std::string& name) const;
    /// Whether loading modules is disabled until the next boot.
    [[nodiscard]] bool forbids_modules() const;
    /// Which processes /proc shows, given the number that the kernel has for this one.
    [[nodiscard]] ProcView proc_view(std::uint64_t kernel_pid) const;
    /// When a process was started, in ns of CLOCK_BOOTTIME, to a tick; nothing if it is gone.
    [[nodiscard]] std::optional<std::uint64_t> started_ns(std::uint32_t pid) const;
    /// Processes that have a VM, by their open files, among those that this process may look into.
    /// Those in `known` are skipped.
    [[nodiscard]] std::vector<KvmProcess> vm_processes(
        const std::set<std::uint32_t>& known = {}) const;
    [[nodiscard]] bool has_btf() const;
    /// "none", "integrity", "confidentiality"; empty if the kernel has no lockdown.
    [[nodiscard]] std::string lockdown() const;

    /// Kernel, CPU, and the current parameters of the modules and paging mode for new VMs.
    [[nodiscard]] HostFacts facts() const;

    [[nodiscard]] bool has_process(std::uint32_t pid) const;
    /// Command line of a process, by argument; empty if it is gone. At most 128 KiB.
    [[nodiscard]] std::vector<std::string> arguments(std::uint32_t pid) const;
    /// A process's effective uid; nothing if it is gone.
    [[nodiscard]] std::optional<std::uint32_t> uid(std::uint32_t pid) const;
    /// The file that it executes, as its own mount namespace names it; empty if that is not
    /// visible.
    [[nodiscard]] std::string executable(std::uint32_t pid) const;
    /// The cgroups of a process as /proc has them; empty if it is gone.
    [[nodiscard]] std::string cgroup(std::uint32_t pid) const;
    /// The pod with that uid, by the name of the log folder that the kubelet keeps for each pod;
    /// with only the uid if there is none.
    [[nodiscard]] Pod pod(const std::string& uid) const;

private:
    [[nodiscard]] std::filesystem::path module(const std::string& name) const;
    std::filesystem::path root_;
    pid_t own_pid_;  ///< Of this process, in its own namespace.
};

/// The time as ISO 8601, UTC.
std::string utc_now();

}  // namespace exittop
