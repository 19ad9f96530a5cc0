// SPDX-License-Identifier: GPL-2.0-only
#include "series.h"

#include <algorithm>
#include <iterator>
#include <ranges>

#include <fmt/format.h>

#include "fields.h"
#include "text.h"

namespace exittop {

namespace {

using OfVm = SeriesMemory::OfVm;

auto key_of(const ExitStats& stats) { return std::pair(stats.level, stats.code); }

// ---- Whose series these are

struct NamedVm {
    std::string label;
    std::vector<const Vm*> vms;  // More than one only of those that ended.
};

// The VMs that have one label, in the order of the snapshot.
std::vector<NamedVm> tell_apart(const std::string& label, const std::vector<const Vm*>& vms) {
    std::vector<const Vm*> running;
    std::ranges::copy_if(vms, std::back_inserter(running), [](const Vm* vm) { return !vm->ended; });
    if (running.empty()) return {{label, vms}};
    if (running.size() == 1) return {{label, running}};
    std::vector<NamedVm> named;
    for (const Vm* vm : running) named.push_back({fmt::format("{}#{}", label, vm->id), {vm}});
    return named;
}

std::vector<NamedVm> name_vms(const std::vector<Vm>& vms) {
    std::map<std::string, std::vector<const Vm*>> by_label;
    for (const Vm& vm : vms) by_label[sanitise(vm.name, label_columns)].push_back(&vm);
    std::map<std::string, std::vector<const Vm*>> unique;
    for (const auto& [label, same] : by_label) {
        for (NamedVm& named : tell_apart(label, same)) {
            // Somebody may have named a VM as another is told apart.
            while (unique.contains(named.label)) named.label += "#" + named.vms.back()->id;
            unique.emplace(std::move(named.label), std::move(named.vms));
        }
    }
    std::vector<NamedVm> named;
    for (auto& [label, of_label] : unique) named.push_back({label, std::move(of_label)});
    return named;
}

// ---- Which reasons have a series

// Those that are new take the places that are left, the most frequent first.
void choose_reasons(const std::vector<ExitStats>& exits, std::size_t most, OfVm& memory) {
    std::vector<const ExitStats*> fresh;
    for (const ExitStats& stats : exits) {
        if (memory.own.contains(key_of(stats)) || memory.other.contains(key_of(stats))) continue;
        fresh.push_back(&stats);
    }
    std::ranges::stable_sort(fresh, std::ranges::greater{}, &ExitStats::count);
    for (const ExitStats* stats : fresh) {
        auto& place = memory.own.size() < most ? memory.own : memory.other;
        place.insert(key_of(*stats));
    }
}

std::vector<ReasonSeries> reason_series(std::vector<ExitStats> exits, Isa isa,
                                        const OfVm& memory) {
    std::vector<ReasonSeries> series;
    ReasonSeries other{"other", {}};
    bool has_other = false;
    for (ExitStats& stats : exits) {
        if (memory.own.contains(key_of(stats))) {
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

std::vector<VcpuSeries> vcpu_series(const Vm& vm, OfVm& memory) {
    std::map<std::uint32_t, Vm> by_id;  // A number may have been used again.
    std::map<std::uint32_t, std::uint64_t> guest_ns;
    for (const Vcpu& vcpu : vm.vcpus) {
        by_id[vcpu.id].vcpus.push_back(vcpu);
        guest_ns[vcpu.id] += vcpu.guest_ns;
    }
    std::vector<VcpuSeries> series;
    for (const auto& [id, of_id] : by_id) {
        keep_from_shrinking(guest_ns[id], memory.vcpu_guest_ns[id]);
        series.push_back(
            {id, guest_ns[id], reason_series(exits_by_reason(of_id), vm.isa, memory)});
    }
    return series;
}

double ratio_of(std::uint64_t part, std::uint64_t rest) {
    const double whole = static_cast<double>(part) + static_cast<double>(rest);
    return whole > 0.0 ? static_cast<double>(part) / whole : 0.0;
}

// Several that ended under one name as one.
Vm joined(const std::vector<const Vm*>& vms) {
    Vm whole = *vms.back();
    for (const Vm* vm : vms | std::views::take(vms.size() - 1)) {
        whole.vcpus.insert(whole.vcpus.end(), vm->vcpus.begin(), vm->vcpus.end());
        for (const ExitStats& stats : vm->sums) add_to_sums(whole.sums, stats);
    }
    return whole;
}

VmSeries series_of(const std::string& label, const Vm& vm, const SeriesOptions& options,
                   OfVm& memory) {
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
    for (const NamedVm& named : name_vms(snapshot.vms)) {
        const std::string& id = named.vms.back()->id;
        OfVm& of_vm = next.vms[id];
        if (const auto known = memory.vms.find(id); known != memory.vms.end()) {
            of_vm = std::move(known->second);
        }
        if (named.vms.size() == 1) {
            all.push_back(series_of(named.label, *named.vms.front(), options, of_vm));
        } else {
            all.push_back(series_of(named.label, joined(named.vms), options, of_vm));
        }
    }
    memory = std::move(next);
    return all;
}

}  // namespace exittop
