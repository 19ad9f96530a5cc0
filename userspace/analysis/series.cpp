// SPDX-License-Identifier: GPL-2.0-only
#include "analysis/series.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include <fmt/format.h>

#include "base/text.h"
#include "model/fields.h"

namespace exittop {

namespace {

using VmMemory = SeriesMemory::VmMemory;

// ---- Whose series these are

// The labels of VMs, in the order of the snapshot. One that has a label keeps it. Of the others,
// one that is alone with its name, or the only one of that name that runs, has the name, if no VM
// has it; where the one that has it is written for the last time, it waits for the next update,
// without a label. Those that are left are told apart.
std::vector<std::optional<std::string>> label_vms(const auto& vms, const SeriesMemory& memory) {
    std::vector<std::optional<std::string>> labels(vms.size());
    std::set<std::string> used, given_up;
    std::map<std::string, std::vector<std::size_t>> fresh;  // By name: places in `vms`.
    for (std::size_t i = 0; i < vms.size(); ++i) {
        if (const auto known = memory.vms.find(vms[i].id); known != memory.vms.end()) {
            labels[i] = known->second.label;
            used.insert(known->second.label);
            if (vms[i].ended) given_up.insert(known->second.label);
        } else {
            fresh[sanitise(vms[i].name, label_columns)].push_back(i);
        }
    }
    for (const auto& [name, places] : fresh) {
        const auto runs = [&vms](std::size_t place) { return !vms[place].ended; };
        const bool one_runs = std::ranges::count_if(places, runs) == 1;
        if ((places.size() > 1 && !one_runs) || used.contains(name)) continue;
        labels[one_runs ? *std::ranges::find_if(places, runs) : places.front()] = name;
        used.insert(name);
    }
    for (const auto& [name, places] : fresh) {
        for (const std::size_t place : places) {
            const bool waits = places.size() == 1 && !vms[place].ended && given_up.contains(name);
            if (labels[place] || waits) continue;
            std::string label = name;
            // Loops more than once if a VM's own name looks like another VM's name with suffix.
            do label += "#" + vms[place].id;
            while (!used.insert(label).second);
            labels[place] = std::move(label);
        }
    }
    return labels;
}

// ---- Which reasons have a series

// New reasons take the free places, the most frequent first.
void choose_reasons(const std::vector<ExitStats>& exits, std::size_t most, VmMemory& memory) {
    std::vector<const ExitStats*> fresh;
    for (const ExitStats& stats : exits) {
        if (memory.own_series.contains(key_of(stats)) || memory.folded.contains(key_of(stats)))
            continue;
        fresh.push_back(&stats);
    }
    std::ranges::stable_sort(fresh, std::ranges::greater{}, &ExitStats::count);
    for (const ExitStats* stats : fresh) {
        auto& place = memory.own_series.size() < most ? memory.own_series : memory.folded;
        place.insert(key_of(*stats));
    }
}

void keep_from_shrinking(std::uint64_t& now, std::uint64_t& before) {
    now = before = std::max(now, before);
}

// ---- Which targets of a reason have one

using TargetMemory = SeriesMemory::TargetMemory;

// As with reasons. Whatever is new when all places are taken stays without a series.
void choose_targets(const Targets& targets, std::size_t most, TargetMemory& memory) {
    std::vector<TargetStats> fresh;
    for (const TargetStats& stats : targets.known) {
        if (!memory.own_series.contains(stats.target)) fresh.push_back(stats);
    }
    std::ranges::stable_sort(fresh, std::ranges::greater{}, &TargetStats::count);
    for (const TargetStats& stats : fresh) {
        if (memory.own_series.size() >= most) break;
        memory.own_series[stats.target];
    }
}

// Notes what became of the targets with a series, and returns how many exits the others had.
std::uint64_t note_targets(const Targets& targets, TargetMemory& memory) {
    std::map<std::string_view, std::uint64_t> seen;
    std::uint64_t others = targets.other.count;
    for (const TargetStats& stats : targets.known) {
        if (memory.own_series.contains(stats.target)) {
            seen[stats.target] = stats.count;
        } else {
            others = saturating_add(others, stats.count);
        }
    }
    for (auto& [target, counts] : memory.own_series) {
        const std::uint64_t now = seen[target];
        counts.gone = saturating_add(counts.gone, saturating_subtract(counts.now, now));
        counts.now = now;
        others = saturating_subtract(others, counts.gone);
    }
    return others;
}

std::vector<TargetSeries> target_series(const Targets& targets, std::size_t most,
                                        TargetMemory& memory) {
    choose_targets(targets, most, memory);
    std::uint64_t others = note_targets(targets, memory);
    std::uint64_t unknown = targets.unknown.count;
    keep_from_shrinking(others, memory.other);
    keep_from_shrinking(unknown, memory.unknown);
    std::vector<TargetSeries> series;
    for (const auto& [target, counts] : memory.own_series) {
        series.push_back(
            {sanitise(target, label_columns), saturating_add(counts.gone, counts.now)});
    }
    if (others > 0) series.push_back({"other", others});
    if (unknown > 0) series.push_back({"unknown", unknown});
    return series;
}

std::vector<ReasonSeries> reason_series(std::vector<ExitStats> exits, Isa isa,
                                        std::uint32_t top_targets, VmMemory& memory) {
    std::vector<ReasonSeries> series;
    ReasonSeries other{"other", {}};
    bool has_other = false;
    for (ExitStats& stats : exits) {
        if (memory.own_series.contains(key_of(stats))) {
            ReasonSeries& own = series.emplace_back(reason_label(isa, stats), std::move(stats));
            if (top_targets == 0 || !own.exits.targets) continue;
            own.targets =
                target_series(*own.exits.targets, top_targets, memory.targets[key_of(own.exits)]);
        } else {
            stats.targets.reset();  // Of different reasons they are not added up.
            other.exits += stats;
            has_other = true;
        }
    }
    if (has_other) series.push_back(std::move(other));
    return series;
}

// ---- What they hold

std::vector<VcpuSeries> vcpu_series(const Vm& vm, VmMemory& memory) {
    std::map<std::uint32_t, Vcpu> by_id;  // A number may have been used again.
    for (const Vcpu& vcpu : vm.vcpus) by_id[vcpu.id] += vcpu;
    std::vector<VcpuSeries> series;
    for (auto& [id, vcpu] : by_id) {
        keep_from_shrinking(vcpu.guest_ns, memory.vcpu_guest_ns[id]);
        series.push_back(
            {id, vcpu.guest_ns, reason_series(std::move(vcpu.exits), vm.isa, 0, memory)});
    }
    return series;
}

double ratio_of(std::uint64_t part, std::uint64_t rest) {
    const double whole = static_cast<double>(part) + static_cast<double>(rest);
    return whole > 0.0 ? static_cast<double>(part) / whole : 0.0;
}

template <typename AnyVm>
VmSeries series_of(const std::string& label, const AnyVm& vm, const SeriesOptions& options,
                   VmMemory& memory) {
    VmSeries series;
    series.label = label;
    series.identity = vm;
    std::set<std::uint32_t> ids;
    for (const VcpuInfo& vcpu : vm.vcpus) ids.insert(vcpu.id);
    series.vcpus = ids.size();
    const VcpuInfo vcpus = sum_of_vcpus(vm);
    series.guest_ns = vcpus.guest_ns;
    if (vcpus.kvm_exits) series.untraced = vcpus.untraced;
    series.uncounted = vcpus.uncounted;

    std::vector<ExitStats> exits = exits_by_reason(vm);
    const std::uint64_t on_cpu_before = on_cpu_ns(memory.exits);
    const std::uint64_t guest_before = memory.guest_ns;
    for (const ExitStats& stats : exits) series.exits.add_numbers(stats);
    for (const auto number : exit_numbers) {
        keep_from_shrinking(series.exits.*number, memory.exits.*number);
    }
    keep_from_shrinking(series.guest_ns, memory.guest_ns);
    if (series.untraced) keep_from_shrinking(*series.untraced, memory.untraced);
    series.exit_ratio = ratio_of(saturating_subtract(on_cpu_ns(series.exits), on_cpu_before),
                                 series.guest_ns - guest_before);

    choose_reasons(exits, options.top_reasons, memory);
    if constexpr (std::is_same_v<AnyVm, Vm>) {
        if (options.per_vcpu) series.by_vcpu = vcpu_series(vm, memory);
    }
    series.reasons = reason_series(std::move(exits), vm.isa, options.top_targets, memory);
    return series;
}

std::vector<VmSeries> all_series(const auto& vms, const SeriesOptions& options,
                                 SeriesMemory& memory) {
    SeriesMemory next;
    std::vector<VmSeries> all;
    all.reserve(vms.size());
    const auto labels = label_vms(vms, memory);
    for (std::size_t i = 0; i < labels.size(); ++i) {
        const auto& vm = vms[i];
        if (!labels[i]) continue;
        VmMemory& vm_memory = next.vms[vm.id];
        if (const auto known = memory.vms.find(vm.id); known != memory.vms.end()) {
            vm_memory = std::move(known->second);
        }
        vm_memory.label = *labels[i];
        all.push_back(series_of(*labels[i], vm, options, vm_memory));
    }
    std::ranges::sort(all, {}, &VmSeries::label);
    memory = std::move(next);
    return all;
}

}  // namespace

std::vector<VmSeries> make_series(const Snapshot& snapshot, const SeriesOptions& options,
                                  SeriesMemory& memory) {
    return all_series(snapshot.vms, options, memory);
}

std::vector<VmSeries> make_series(const Overview& overview, const SeriesOptions& options,
                                  SeriesMemory& memory) {
    return all_series(overview.vms, options, memory);
}

}  // namespace exittop
