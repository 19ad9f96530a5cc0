// SPDX-License-Identifier: GPL-2.0-only
// Finds each VM, vCPU and reason of one snapshot in another, and subtracts.
#include "model/delta.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>

namespace exittop {

namespace {

bool is_nothing(const ExitStats& stats) {
    const auto is_zero = [&stats](auto number) { return stats.*number == 0; };
    return std::ranges::all_of(exit_numbers, is_zero) && stats.histogram.empty();
}

// What a VM or vCPU that was not there before is compared with.
const Vm no_vm;
const Vcpu no_vcpu = [] {
    Vcpu vcpu;
    vcpu.kvm_exits = 0;
    return vcpu;
}();

using VmsById = std::unordered_map<std::string_view, const Vm*>;

VmsById by_id(const std::vector<Vm>& vms) {
    VmsById found;
    for (const Vm& vm : vms) found.emplace(vm.id, &vm);
    return found;
}

// A process that took over the id of another (a run file of another time) is another VM.
const Vm* find_vm(const VmsById& vms, const Vm& wanted) {
    const auto found = vms.find(wanted.id);
    return found != vms.end() && found->second->pid == wanted.pid ? found->second : nullptr;
}

const Vcpu* find_vcpu(const std::vector<Vcpu>& vcpus, const Vcpu& wanted) {
    const auto same = [&wanted](const Vcpu& vcpu) {
        return vcpu.id == wanted.id && vcpu.tid == wanted.tid;
    };
    const auto first = std::ranges::lower_bound(vcpus, wanted.id, {}, &Vcpu::id);
    const auto found = std::ranges::find_if(first, vcpus.end(), same);
    return found == vcpus.end() ? nullptr : &*found;
}

Vcpu vcpu_since(const Vcpu& later, const Vcpu& earlier) {
    Vcpu since;
    since.id = later.id;
    since.tid = later.tid;
    since.guest_ns = saturating_subtract(later.guest_ns, earlier.guest_ns);
    if (later.kvm_exits && earlier.kvm_exits) {
        since.kvm_exits = saturating_subtract(*later.kvm_exits, *earlier.kvm_exits);
        since.untraced = saturating_subtract(later.untraced, earlier.untraced);
    }
    since.uncounted = saturating_subtract(later.uncounted, earlier.uncounted);
    since.exits = exits_since(later.exits, earlier.exits);
    std::erase_if(since.exits, is_nothing);
    return since;
}

Vm vm_since(const Vm& later, const Vm& earlier) {
    Vm since{later, {}};
    since.vcpus.reserve(later.vcpus.size());
    for (const Vcpu& vcpu : later.vcpus) {
        const Vcpu* was = find_vcpu(earlier.vcpus, vcpu);
        since.vcpus.push_back(vcpu_since(vcpu, was != nullptr ? *was : no_vcpu));
    }
    return since;
}

Lost lost_since(const Lost& later, const Lost& earlier) {
    Lost since;
    for (const LostCause& cause : lost_causes()) {
        since.*cause.value = saturating_subtract(later.*cause.value, earlier.*cause.value);
    }
    for (const auto& [cause, count] : later.unknown) {
        const auto before = earlier.unknown.find(cause);
        since.unknown[cause] =
            before == earlier.unknown.end() ? count : saturating_subtract(count, before->second);
    }
    return since;
}

/// What was spent in between; the rest is as it is at the later time.
Cost cost_since(const Cost& later, const Cost& earlier) {
    Cost since = later;
    for (auto part : {&Cost::cpu_ns, &Cost::run_ns, &Cost::runs}) {
        since.*part = saturating_subtract(later.*part, earlier.*part);
    }
    return since;
}

}  // namespace

ExitStats exits_since(const ExitStats& later, const ExitStats& earlier) {
    ExitStats since = later;
    for (const auto number : exit_numbers) {
        since.*number = saturating_subtract(later.*number, earlier.*number);
    }
    since.histogram -= earlier.histogram;
    if (later.targets && earlier.targets) {
        since.targets = targets_since(*later.targets, *earlier.targets);
    }
    if (later.max_ns <= earlier.max_ns) {
        // No record: it is no longer than where the highest bucket that was hit ends.
        const std::size_t end = since.histogram.end_bucket();
        since.max_ns = end == 0 ? 0 : std::min(later.max_ns, bucket_upper(end - 1) - 1);
    }
    return since;
}

std::vector<ExitStats> exits_since(const std::vector<ExitStats>& later,
                                   const std::vector<ExitStats>& earlier) {
    std::vector<ExitStats> since;
    since.reserve(later.size());
    for (const ExitStats& stats : later) {
        const ExitStats* before = find_entry(earlier, key_of(stats));
        since.push_back(before != nullptr ? exits_since(stats, *before) : stats);
    }
    return since;
}

Snapshot snapshot_since(const Snapshot& later, const Snapshot& earlier) {
    Snapshot interval;
    static_cast<SnapshotInfo&>(interval) = later;
    interval.duration_s = std::max(0.0, later.duration_s - earlier.duration_s);
    interval.known_parts = later.known_parts & earlier.known_parts;
    interval.lost = lost_since(later.lost, earlier.lost);
    interval.cost = cost_since(later.cost, earlier.cost);
    const VmsById before = by_id(earlier.vms);
    for (const Vm& vm : later.vms) {
        const Vm* was = find_vm(before, vm);
        if (was != nullptr && was->ended) continue;
        interval.vms.push_back(vm_since(vm, was != nullptr ? *was : no_vm));
    }
    return interval;
}

}  // namespace exittop
