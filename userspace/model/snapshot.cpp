// SPDX-License-Identifier: GPL-2.0-only
// Sums over snapshots, and the names of what they hold.
#include "model/snapshot.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"

namespace exittop {

namespace {

constexpr std::array details = {"count", "time", "histogram"};  // In the order of CountDetail.

}  // namespace

std::string detail_name(CountDetail detail) { return details[static_cast<std::size_t>(detail)]; }

std::optional<CountDetail> find_detail(std::string_view name) {
    const auto* found = std::ranges::find(details, name);
    if (found == details.end()) return std::nullopt;
    return static_cast<CountDetail>(found - details.begin());
}

ExitStats& ExitStats::operator+=(const ExitStats& other) {
    add_numbers(other);
    histogram += other.histogram;
    if (targets && other.targets) {
        *targets += *other.targets;
    } else if (other.targets) {
        targets = other.targets;
    }
    return *this;
}

ExitStats& entry_of(std::vector<ExitStats>& exits, ReasonKey key) {
    auto place = std::ranges::lower_bound(exits, key, {}, key_of);
    if (place == exits.end() || key_of(*place) != key) {
        ExitStats none;
        none.level = key.level;
        none.code = key.code;
        place = exits.insert(place, std::move(none));
    }
    return *place;
}

const ExitStats* find_entry(const std::vector<ExitStats>& exits, ReasonKey key) {
    const auto place = std::ranges::lower_bound(exits, key, {}, key_of);
    return place != exits.end() && key_of(*place) == key ? &*place : nullptr;
}

VcpuInfo& VcpuInfo::operator+=(const VcpuInfo& other) {
    guest_ns = saturating_add(guest_ns, other.guest_ns);
    uncounted = saturating_add(uncounted, other.uncounted);
    if (kvm_exits && other.kvm_exits) {
        kvm_exits = saturating_add(*kvm_exits, *other.kvm_exits);
        untraced = saturating_add(untraced, other.untraced);
    } else {
        kvm_exits.reset();
        untraced = 0;
    }
    return *this;
}

Vcpu& Vcpu::operator+=(const Vcpu& other) {
    VcpuInfo::operator+=(other);
    for (const ExitStats& stats : other.exits) entry_of(exits, key_of(stats)) += stats;
    return *this;
}

bool is_uncounted(const Vm& vm) {
    const auto waits = [](const Vcpu& vcpu) { return vcpu.uncounted > 0 && vcpu.exits.empty(); };
    return !vm.vcpus.empty() && std::ranges::all_of(vm.vcpus, waits);
}

bool affects_exit_cost(const std::string& name) {
    constexpr std::array telling = {"kvm_intel.ept", "kvm_intel.nested", "kvm_intel.enable_apicv",
                                    "kvm_amd.npt",   "kvm_amd.nested",   "kvm_amd.avic",
                                    "kvm.tdp_mmu",   "kvm.halt_poll_ns"};
    return std::ranges::find(telling, name) != telling.end();
}

bool follows_paging(std::string_view parameter) {
    constexpr std::array names = {"kvm_intel.ept",
                                  "kvm_amd.npt",
                                  "kvm.tdp_mmu",
                                  "kvm_intel.unrestricted_guest",
                                  "kvm_intel.eptad",
                                  "kvm_intel.pml",
                                  "kvm_intel.allow_smaller_maxphyaddr",
                                  "kvm_intel.vmentry_l1d_flush"};
    return std::ranges::find(names, parameter) != names.end();
}

const std::vector<LostCause>& lost_causes() {
    static const std::vector<LostCause> causes = {
        {"table_full", "not counted: vCPUs beyond --max-vcpus", &Lost::table_full},
        {"reasons_full", "not counted: a vCPU had too many reasons", &Lost::reasons_full},
        {"histogram_full", "counted and timed, missing in p50, p99", &Lost::histogram_full},
        {"unknown_isa", "counted without a reason: unknown ISA", &Lost::unknown_isa},
        {"unknown_code", "counted under a number without a name", &Lost::unknown_code},
        {"exit_without_entry", "counted, but not timed: no entry followed",
         &Lost::exit_without_entry},
        {"entry_without_exit", "not counted: exits that KVM did not trace",
         &Lost::entry_without_exit},
        {"untraced", "not counted: only KVM itself counted them", &Lost::untraced},
        {"program_missed", "not counted: the kernel skipped the program", &Lost::program_missed},
        {"split_missed", "counted and timed; parts of the time missing", &Lost::split_missed},
        {"unnamed", "VMs, counted: their name could not be read", &Lost::unnamed},
    };
    return causes;
}

std::uint64_t lost_total(const Lost& lost) {
    std::uint64_t sum = 0;
    for (const LostCause& cause : lost_causes()) sum = saturating_add(sum, lost.*cause.value);
    for (const auto& [cause, count] : lost.unknown) sum = saturating_add(sum, count);
    return sum;
}

std::uint64_t& lost_by(Lost& lost, const std::string& cause) {
    const auto known = std::ranges::find(lost_causes(), cause, &LostCause::name);
    return known != lost_causes().end() ? lost.*known->value : lost.unknown[cause];
}

Lost& Lost::operator+=(const Lost& other) {
    for (const LostCause& cause : lost_causes()) {
        this->*cause.value = saturating_add(this->*cause.value, other.*cause.value);
    }
    for (const auto& [cause, count] : other.unknown) {
        unknown[cause] = saturating_add(unknown[cause], count);
    }
    return *this;
}

std::vector<Loss> losses(const Lost& lost) {
    constexpr std::size_t cause_columns = 32;
    std::vector<Loss> all;
    for (const LostCause& cause : lost_causes()) {
        if (lost.*cause.value > 0) all.push_back({cause.name, lost.*cause.value, cause.meaning});
    }
    for (const auto& [cause, count] : lost.unknown) {
        if (count == 0) continue;
        all.push_back(
            {sanitise(cause, cause_columns), count, "a cause that this version does not know"});
    }
    return all;
}

KvmCount& KvmCount::operator+=(const KvmCount& other) {
    exits = saturating_add(exits, other.exits);
    untraced = saturating_add(untraced, other.untraced);
    known += other.known;
    unknown += other.unknown;
    return *this;
}

KvmCount kvm_count(const Vm& vm) {
    KvmCount sum;
    for (const Vcpu& vcpu : vm.vcpus) {
        sum +=
            vcpu.kvm_exits ? KvmCount{*vcpu.kvm_exits, vcpu.untraced, 1, 0} : KvmCount{0, 0, 0, 1};
    }
    return sum;
}

KvmCount kvm_count(const std::vector<Vm>& vms) {
    KvmCount sum;
    for (const Vm& vm : vms) sum += kvm_count(vm);
    return sum;
}

std::vector<ExitStats> exits_by_reason(const Vm& vm) {
    Vcpu all;
    for (const Vcpu& vcpu : vm.vcpus) all += vcpu;
    return std::move(all.exits);
}

}  // namespace exittop
