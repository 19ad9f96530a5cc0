// SPDX-License-Identifier: GPL-2.0-only
// What exittop knows at one moment: host, VMs, vCPUs, exits, losses. A plain value. Outputs are
// pure functions of it, or of what was made from it (overview.h, analysis/).
//
// VcpuInfo, VmInfo and SnapshotInfo are bases, so that whoever needs no exits takes them by
// reference, and a copy into one leaves out the vCPUs or exits.
#pragma once

#include <algorithm>
#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/number.h"
#include "model/exit_reason.h"
#include "model/histogram.h"
#include "model/target.h"
#include "model/time_parts.h"

namespace exittop {

/// Which guest ran when it exited: the VM's own (L1) or one nested inside it (L2).
enum class GuestLevel : std::uint8_t { l1 = 1, l2 = 2 };

/// Exits of one reason. Times run from kvm_exit to the next kvm_entry of the vCPU, in nanoseconds.
/// From vmm to blocked they are its parts (TimePart), 0 where unknown; the rest is the kernel's.
struct ExitStats {
    std::uint32_t code = 0;  ///< Full exit code, flags included.
    GuestLevel level = GuestLevel::l1;
    std::uint64_t count = 0;
    std::uint64_t time_ns = 0;
    std::uint64_t max_ns = 0;
    std::uint64_t vmm_ns = 0;
    std::uint64_t polled_ns = 0;
    std::uint64_t preempted_ns = 0;
    std::uint64_t halted_ns = 0;
    std::uint64_t blocked_ns = 0;
    Histogram histogram;  ///< Of completed exits: count may be one ahead while an exit is handled.
    std::optional<Targets> targets{};  ///< What they were about; none: not counted.

    ExitStats& operator+=(const ExitStats& other);  ///< Same code and level.
    void add_numbers(const ExitStats& other);       ///< The same without histogram and targets.
    bool operator==(const ExitStats&) const = default;
};

/// The numbers of ExitStats that add up. Whatever adds, subtracts or compares them goes through
/// this list; the largest time and the histogram have rules of their own.
inline constexpr std::array exit_numbers = {
    &ExitStats::count,        &ExitStats::time_ns,   &ExitStats::vmm_ns,    &ExitStats::polled_ns,
    &ExitStats::preempted_ns, &ExitStats::halted_ns, &ExitStats::blocked_ns};

// Inline, as an overview adds those of each vCPU on the host.
inline void ExitStats::add_numbers(const ExitStats& other) {
    for (const auto number : exit_numbers) {
        this->*number = saturating_add(this->*number, other.*number);
    }
    max_ns = std::max(max_ns, other.max_ns);
}

/// The time of exits that took a CPU, as far as the others are known: knows_on_cpu(). KVM's halt
/// polling is part of it.
inline std::uint64_t on_cpu_ns(const ExitStats& stats) {
    std::uint64_t ns = stats.time_ns;
    for (const std::uint64_t off : {stats.preempted_ns, stats.halted_ns, stats.blocked_ns}) {
        ns = saturating_subtract(ns, off);
    }
    return ns;
}

/// What tells the reasons of a vCPU apart, and orders them.
struct ReasonKey {
    GuestLevel level;
    std::uint32_t code;
    auto operator<=>(const ReasonKey&) const = default;
};
inline ReasonKey key_of(const ExitStats& stats) { return {stats.level, stats.code}; }

/// The entry of a reason in a list ascending by key_of(); made, with nothing in it, where there is
/// none.
ExitStats& entry_of(std::vector<ExitStats>& exits, ReasonKey key);
/// The same, or nullptr where there is none.
const ExitStats* find_entry(const std::vector<ExitStats>& exits, ReasonKey key);

/// All that is known of a vCPU but its exits by reason.
struct VcpuInfo {
    std::uint32_t id = 0;        ///< KVM's vcpu_id.
    std::uint32_t tid = 0;       ///< Thread that ran it when it was first seen.
    std::uint64_t guest_ns = 0;  ///< Time in the guest since it was first seen; 0: not known.
    /// Exits that KVM itself counted in the same time (kvm_vcpu.stat.exits); none: not known.
    std::optional<std::uint64_t> kvm_exits{};
    std::uint64_t untraced = 0;  ///< Those of them that it did not trace, so are in no count.
    /// Exits while it had no slot: in no other count but Lost::table_full.
    std::uint64_t uncounted = 0;

    VcpuInfo& operator+=(const VcpuInfo& other);  ///< At another time, or of another vCPU.
    bool operator==(const VcpuInfo&) const = default;
};

struct Vcpu : VcpuInfo {
    std::vector<ExitStats> exits{};  ///< Ascending by key_of(), no duplicates.

    Vcpu& operator+=(const Vcpu& other);
    bool operator==(const Vcpu&) const = default;
};

/// The Kubernetes pod that a VMM runs in; all empty: none, or not known.
struct Pod {
    std::string name;
    std::string name_space;
    std::string uid;
    bool operator==(const Pod&) const = default;
};

/// Who a VM is, and what became of it: all but its vCPUs.
struct VmInfo {
    std::string id;  ///< Unique within a snapshot and stable while the VM lives.
    std::uint32_t pid = 0;
    std::string name;  ///< From the VMM's command line: raw bytes, sanitise before printing.
    std::string uuid;
    std::string vmm;  ///< "qemu", "firecracker", ...; else the command.
    Isa isa = Isa::unknown;
    Paging paging = Paging::unknown;
    bool ended = false;         ///< It went away while exittop counted.
    bool named = true;          ///< Its name could be read; else it is the command and the number.
    bool silent = false;        ///< It has vCPUs, but no exit of them was seen.
    std::string vmm_version{};  ///< "7.2.22"; empty: not known.
    std::uint64_t memory_bytes = 0;  ///< That its command line gives it; 0: not known.
    Pod pod{};
    /// Whose rights the VMM's process has (its effective uid), and the file that it runs, as its
    /// own mount namespace calls it: the kernel's word, where name, uuid and vmm are the process's
    /// own. Nothing and empty: not known.
    std::optional<std::uint32_t> uid{};
    std::string executable{};
    bool operator==(const VmInfo&) const = default;
};

struct Vm : VmInfo {
    std::vector<Vcpu> vcpus{};  ///< Ascending by id.
    bool operator==(const Vm&) const = default;
};

/// The vCPUs of a VM, be it a Vm or a VmOverview, in one; the ids have no meaning.
VcpuInfo sum_of_vcpus(const auto& vm) {
    VcpuInfo sum;
    sum.kvm_exits = 0;
    for (const VcpuInfo& vcpu : vm.vcpus) sum += vcpu;
    return sum;
}
/// Exits of its vCPUs while they had no slot.
std::uint64_t uncounted_exits(const auto& vm) { return sum_of_vcpus(vm).uncounted; }
/// Whether none of its vCPUs has had a slot: what is not counted is not 0.
bool is_uncounted(const Vm& vm);

struct HostFacts {
    std::string kernel;
    std::string cpu;
    Isa isa = Isa::unknown;
    Paging paging = Paging::unknown;
    std::map<std::string, std::string> parameters;  ///< "kvm_amd.npt" -> "1".
    std::string name{};  ///< The host's own name, as `hostname` prints it.
    bool operator==(const HostFacts&) const = default;
};

/// Whether a parameter of a kvm module changes what exits there are or what they cost.
bool affects_exit_cost(const std::string& name);
/// Whether a module's parameter ("kvm_intel.pml") says how memory is translated or is set by KVM
/// itself by that: it differs between runs that are made to compare just this.
bool follows_paging(std::string_view parameter);

/// What could not be counted in full, by cause. Users see the names in lost_causes().
struct Lost {
    std::uint64_t table_full = 0;          ///< Exits of vCPUs without a slot: not counted.
    std::uint64_t reasons_full = 0;        ///< Exits of a vCPU with too many reasons: not counted.
    std::uint64_t histogram_full = 0;      ///< Counted and timed, missing in the histogram.
    std::uint64_t unknown_isa = 0;         ///< Counted without a reason.
    std::uint64_t unknown_code = 0;        ///< Counted under a number that has no name.
    std::uint64_t exit_without_entry = 0;  ///< Counted, but its time is not known.
    std::uint64_t entry_without_exit = 0;  ///< An exit that the kernel did not trace.
    std::uint64_t untraced = 0;            ///< KVM counted them itself and did not trace them.
    std::uint64_t program_missed = 0;      ///< The kernel did not run the program that counts.
    std::uint64_t split_missed = 0;        ///< Nor, here, the one that tells the VMM's time apart.
    std::uint64_t unnamed = 0;             ///< VMs, not exits: counted, without a name.
    /// Causes that another version of exittop told of, by name: raw bytes, sanitise before
    /// printing.
    std::map<std::string, std::uint64_t> unknown{};

    Lost& operator+=(const Lost& other);
    bool operator==(const Lost&) const = default;
};

struct LostCause {
    const char* name;  ///< "table_full": key in JSON, label in metrics.
    const char* meaning;
    std::uint64_t Lost::* value;
};
/// All causes that this version knows, in the order of the struct.
const std::vector<LostCause>& lost_causes();
std::uint64_t lost_total(const Lost& lost);
/// The number of a cause, known or unknown.
std::uint64_t& lost_by(Lost& lost, const std::string& cause);

struct Loss {
    std::string cause;
    std::uint64_t count = 0;
    std::string meaning;
    bool operator==(const Loss&) const = default;
};
/// What was lost, by cause; harmless to print.
std::vector<Loss> losses(const Lost& lost);

/// What counting cost, from the start of exittop to the snapshot.
struct Cost {
    std::uint64_t cpu_ns = 0;        ///< CPU time of the process itself, user and system.
    std::uint64_t run_ns = 0;        ///< In its BPF programs, as far as the kernel measured that,
    std::uint64_t runs = 0;          ///< and how often they ran then; 0: it did not measure.
    std::uint64_t memory_bytes = 0;  ///< Kernel memory of its maps.
    std::uint32_t vcpus_used = 0;    ///< vCPUs that have a slot now,
    std::uint32_t vcpus_limit = 0;   ///< and for how many there is room (--max-vcpus).
    std::uint64_t target_bytes = 0;  ///< Of memory_bytes, what targets take while they are on.
    bool operator==(const Cost&) const = default;
};

/// How much is counted: each includes what is before it, and costs more.
enum class CountDetail { count, time, histogram };
std::string detail_name(CountDetail detail);
std::optional<CountDetail> find_detail(std::string_view name);

/// What holds for all VMs of a snapshot.
struct SnapshotInfo {
    std::string taken_at;                         ///< ISO 8601, UTC, when the counting ended.
    double duration_s = 0.0;                      ///< How long was counted.
    CountDetail detail = CountDetail::histogram;  ///< What it leaves out is 0 or empty, not shown.
    /// Parts of the exits' time that are known. Others are 0 and not shown, and what is computed
    /// from them is unknown; their time stays in the rest, which is called the kernel's.
    TimeParts known_parts = TimeParts::all();
    std::string attach;  ///< The way to the tracepoints ("tp_btf"); empty: not known.
    HostFacts host;
    Lost lost;
    Cost cost;
    bool operator==(const SnapshotInfo&) const = default;
};

struct Snapshot : SnapshotInfo {
    std::vector<Vm> vms{};  ///< Running ones and those that ended meanwhile, by name, then id.
    bool operator==(const Snapshot&) const = default;
};

/// KVM's own count of exits beside exittop's, over several vCPUs.
struct KvmCount {
    std::uint64_t exits = 0;     ///< KVM's own, where it is known,
    std::uint64_t untraced = 0;  ///< and those of them that it did not trace.
    std::size_t known = 0;       ///< vCPUs of which it is known,
    std::size_t unknown = 0;     ///< and of which it is not.

    KvmCount& operator+=(const KvmCount& other);
    bool operator==(const KvmCount&) const = default;
};
KvmCount kvm_count(const Vm& vm);
KvmCount kvm_count(const std::vector<Vm>& vms);

/// Exits of all vCPUs of a VM, ascending by key_of().
std::vector<ExitStats> exits_by_reason(const Vm& vm);

}  // namespace exittop
