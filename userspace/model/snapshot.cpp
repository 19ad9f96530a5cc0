// SPDX-License-Identifier: GPL-2.0-only
// Sums over snapshots, and the names of what they hold.
#include "model/snapshot.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"

namespace exittop {

std::string detail_name(CountDetail detail) {
    switch (detail) {
        case CountDetail::count: return "count";
        case CountDetail::time: return "time";
        case CountDetail::histogram: break;
    }
    return "histogram";
}

namespace {

void add_numbers(ExitStats& sum, const ExitStats& more) {
    sum.count = saturating_add(sum.count, more.count);
    sum.time_ns = saturating_add(sum.time_ns, more.time_ns);
    sum.max_ns = std::max(sum.max_ns, more.max_ns);
    sum.vmm_ns = saturating_add(sum.vmm_ns, more.vmm_ns);
    sum.halted_ns = saturating_add(sum.halted_ns, more.halted_ns);
}

}  // namespace

Vm without_exits(const Vm& vm) {
    Vm bare;
    bare.id = vm.id;
    bare.pid = vm.pid;
    bare.name = vm.name;
    bare.uuid = vm.uuid;
    bare.vmm = vm.vmm;
    bare.isa = vm.isa;
    bare.paging = vm.paging;
    bare.ended = vm.ended;
    bare.named = vm.named;
    bare.silent = vm.silent;
    bare.vmm_version = vm.vmm_version;
    bare.memory_bytes = vm.memory_bytes;
    bare.pod = vm.pod;
    bare.uid = vm.uid;
    bare.executable = vm.executable;
    return bare;
}

ExitStats& ExitStats::operator+=(const ExitStats& other) {
    add_numbers(*this, other);
    histogram += other.histogram;
    return *this;
}

Vcpu& Vcpu::operator+=(const Vcpu& other) {
    guest_ns = saturating_add(guest_ns, other.guest_ns);
    uncounted = saturating_add(uncounted, other.uncounted);
    if (kvm_exits && other.kvm_exits) {
        kvm_exits = saturating_add(*kvm_exits, *other.kvm_exits);
        untraced = saturating_add(untraced, other.untraced);
    } else {
        kvm_exits.reset();
        untraced = 0;
    }
    const auto key = [](const ExitStats& stats) { return std::pair(stats.level, stats.code); };
    for (const ExitStats& stats : other.exits) {
        const auto place = std::ranges::lower_bound(exits, key(stats), {}, key);
        if (place != exits.end() && key(*place) == key(stats)) {
            *place += stats;
        } else {
            exits.insert(place, stats);
        }
    }
    return *this;
}

std::uint64_t uncounted_exits(const Vm& vm) {
    std::uint64_t sum = 0;
    for (const Vcpu& vcpu : vm.vcpus) sum = saturating_add(sum, vcpu.uncounted);
    return sum;
}

bool is_uncounted(const Vm& vm) {
    const auto waits = [](const Vcpu& vcpu) { return vcpu.uncounted > 0 && vcpu.exits.empty(); };
    return !vm.vcpus.empty() && vm.sums.empty() && std::ranges::all_of(vm.vcpus, waits);
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
        {"split_missed", "counted and timed; VMM, halted time too low", &Lost::split_missed},
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

void add_to_sums(std::vector<ExitStats>& sums, const ExitStats& stats) {
    const auto key = [](const ExitStats& each) { return std::pair(each.level, each.code); };
    auto place = std::ranges::lower_bound(sums, key(stats), {}, key);
    if (place == sums.end() || key(*place) != key(stats)) {
        ExitStats none;
        none.code = stats.code;
        none.level = stats.level;
        place = sums.insert(place, none);
    }
    add_numbers(*place, stats);
}

std::vector<ExitStats> exits_by_reason(const Vm& vm) {
    std::map<ReasonKey, ExitStats> sums;
    for (const ExitStats& stats : vm.sums) sums.try_emplace(key_of(stats), stats);
    for (const Vcpu& vcpu : vm.vcpus) {
        for (const ExitStats& stats : vcpu.exits) {
            const auto [place, is_new] = sums.try_emplace(key_of(stats), stats);
            if (!is_new) place->second += stats;
        }
    }
    std::vector<ExitStats> merged;
    merged.reserve(sums.size());
    for (auto& [key, stats] : sums) merged.push_back(std::move(stats));
    return merged;
}

}  // namespace exittop
