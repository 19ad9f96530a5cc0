// SPDX-License-Identifier: GPL-2.0-only
#include "analysis/series.h"

#include <algorithm>
#include <iterator>
#include <optional>
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
std::vector<std::optional<std::string>> label_vms(const std::vector<Vm>& vms,
                                                  const SeriesMemory& memory) {
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
            // More than once where somebody has named a VM as another is told apart.
            do label += "#" + vms[place].id;
            while (!used.insert(label).second);
            labels[place] = std::move(label);
        }
    }
    return labels;
}

// ---- Which reasons have a series

// Those that are new take the places that are left, the most frequent first.
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

std::vector<ReasonSeries> reason_series(std::vector<ExitStats> exits, Isa isa,
                                        const VmMemory& memory) {
    std::vector<ReasonSeries> series;
    ReasonSeries other{"other", {}};
    bool has_other = false;
    for (ExitStats& stats : exits) {
        if (memory.own_series.contains(key_of(stats))) {
            std::string label = reason_label(isa, stats);
            series.push_back({std::move(label), std::move(stats)});
        } else {
            other.exits += stats;
            has_other = true;
        }
    }
    if (has_other) series.push_back(std::move(other));
    return series;
}

// ---- What they hold

void keep_from_shrinking(std::uint64_t& now, std::uint64_t& before) {
    now = before = std::max(now, before);
}

std::vector<VcpuSeries> vcpu_series(const Vm& vm, VmMemory& memory) {
    std::map<std::uint32_t, Vm> by_id;  // A number may have been used again.
    std::map<std::uint32_t, std::uint64_t> guest_ns;
    for (const Vcpu& vcpu : vm.vcpus) {
        by_id[vcpu.id].vcpus.push_back(vcpu);
        guest_ns[vcpu.id] += vcpu.guest_ns;
    }
    std::vector<VcpuSeries> series;
    for (const auto& [id, of_id] : by_id) {
        keep_from_shrinking(guest_ns[id], memory.vcpu_guest_ns[id]);
        series.push_back({id, guest_ns[id], reason_series(exits_by_reason(of_id), vm.isa, memory)});
    }
    return series;
}

double ratio_of(std::uint64_t part, std::uint64_t rest) {
    const double whole = static_cast<double>(part) + static_cast<double>(rest);
    return whole > 0.0 ? static_cast<double>(part) / whole : 0.0;
}

VmSeries series_of(const std::string& label, const Vm& vm, const SeriesOptions& options,
                   VmMemory& memory) {
    VmSeries series;
    series.label = label;
    series.identity = without_exits(vm);
    std::set<std::uint32_t> ids;
    for (const Vcpu& vcpu : vm.vcpus) {
        ids.insert(vcpu.id);
        series.guest_ns += vcpu.guest_ns;
    }
    series.vcpus = ids.size();
    const KvmCount kvm = kvm_count(vm);
    if (kvm.unknown == 0) series.untraced = kvm.untraced;
    series.uncounted = uncounted_exits(vm);

    std::vector<ExitStats> exits = exits_by_reason(vm);
    const std::uint64_t busy_before = saturating_subtract(memory.exit_ns, memory.halted_ns);
    const std::uint64_t guest_before = memory.guest_ns;
    std::uint64_t exit_ns = 0;
    for (const ExitStats& stats : exits) {
        exit_ns += stats.time_ns;
        series.vmm_ns += stats.vmm_ns;
        series.halted_ns += stats.halted_ns;
    }
    keep_from_shrinking(exit_ns, memory.exit_ns);
    keep_from_shrinking(series.guest_ns, memory.guest_ns);
    keep_from_shrinking(series.vmm_ns, memory.vmm_ns);
    keep_from_shrinking(series.halted_ns, memory.halted_ns);
    if (series.untraced) keep_from_shrinking(*series.untraced, memory.untraced);
    series.exit_ratio =
        ratio_of(saturating_subtract(saturating_subtract(exit_ns, series.halted_ns), busy_before),
                 series.guest_ns - guest_before);

    choose_reasons(exits, options.top_reasons, memory);
    if (options.per_vcpu) series.by_vcpu = vcpu_series(vm, memory);
    series.reasons = reason_series(std::move(exits), vm.isa, memory);
    return series;
}

}  // namespace

std::vector<VmSeries> make_series(const Snapshot& snapshot, const SeriesOptions& options,
                                  SeriesMemory& memory) {
    SeriesMemory next;
    std::vector<VmSeries> all;
    all.reserve(snapshot.vms.size());
    const auto labels = label_vms(snapshot.vms, memory);
    for (std::size_t i = 0; i < labels.size(); ++i) {
        const Vm& vm = snapshot.vms[i];
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

}  // namespace exittop
