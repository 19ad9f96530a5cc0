// SPDX-License-Identifier: GPL-2.0-only
// The rows of the live view's lists and their order: by smoothed rates, so that rows do not jump,
// then by names.
#include <algorithm>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "base/text.h"
#include "live/live_state.h"
#include "model/fields.h"

namespace exittop {

namespace {

struct SortedRow {
    double value = 0.0;  ///< Descending.
    std::string text;    ///< Ascending, before the name: where a text is sorted by.
    std::string_view name;
    std::string key;
};

bool contains(std::string_view text, std::string_view part) {
    return !std::ranges::search(text, part, {}, lower_case, lower_case).empty() || part.empty();
}

double vm_value(const VmTrack& track, std::string_view sort) {
    if (sort == "rate") return track.smooth_rate;
    if (sort == "cores") return track.smooth_cores;
    if (sort == "wait") return track.smooth_waits;
    if (sort == "guest") return track.smooth_guest;
    if (sort == "vcpus") return static_cast<double>(track.vm.vcpus.size());
    if (sort == "pid") return -static_cast<double>(track.vm.pid);
    return 0.0;  // by name
}

std::vector<SortedRow> vm_rows(const State& state, const ListState& list) {
    std::vector<SortedRow> rows;
    for (const auto& [id, track] : state.tracks) {
        if (!contains(track.label, list.filter)) continue;
        rows.push_back(
            {vm_value(track, list.sort), list.sort == "vmm" ? track.vm.vmm : "", track.label, id});
    }
    return rows;
}

std::vector<SortedRow> reason_rows(const State& state, const VmTrack& track,
                                   const ListState& list) {
    std::unordered_map<std::string, double> values;
    const Field* field = find_field(list.sort);
    if (field != nullptr && field->unit != Unit::text) {
        const Shown shown = shown_reasons(state, track);
        const FieldContext context{track.vm.isa, sum_of(shown.exits).count, shown.duration_s};
        for (const ExitStats& stats : shown.exits) {
            values[reason_key(stats)] = number_of(field->value(stats, context)).value_or(-1.0);
        }
    }
    std::vector<SortedRow> rows;
    for (const ReasonTrack& reason : track.reasons) {
        std::string label = reason_label(track.vm.isa, reason.now);
        if (!contains(label, list.filter)) continue;
        std::string key = reason_key(reason.now);
        const double value = list.sort == "rate" ? reason.smooth_rate : values[key];
        rows.push_back({value, std::move(label), {}, std::move(key)});
    }
    return rows;
}

std::vector<SortedRow> vcpu_rows(const State& state, const VmTrack& track, const ListState& list) {
    std::vector<SortedRow> rows;
    for (const VcpuInfo& vcpu : track.vm.vcpus) {
        const ExitStats sum =
            list.sort == "id" ? ExitStats{} : sum_of(shown_vcpu(state, track, vcpu.id).exits);
        double value = 0.0;
        if (list.sort == "rate") value = static_cast<double>(sum.count);
        if (list.sort == "time") value = static_cast<double>(sum.time_ns);
        if (list.sort == "wait") value = static_cast<double>(sum.preempted_ns);
        rows.push_back({value, fmt::format("{:010}", vcpu.id), {}, fmt::format("{}", vcpu.id)});
    }
    return rows;
}

// What a target is sorted by: as reasons are, by smoothed rates, or by sums.
double target_value(const State& state, const TargetStats& sum, std::string_view sort) {
    const auto count = static_cast<double>(sum.count);
    const auto time_ns = static_cast<double>(sum.time_ns);
    if (sort == "mean") return sum.count > 0 ? time_ns / count : -1.0;
    if (sort == "name") return 0.0;
    if (state.cumulative) return sort == "rate" ? count : time_ns;
    const auto found = state.targets.rates.find(sum.target);
    const TargetRates rates = found == state.targets.rates.end() ? TargetRates{} : found->second;
    return sort == "rate" ? rates.count : rates.time_ns;
}

// All since the screen was opened, also those that do not come any more, or not since zero.
std::vector<SortedRow> target_rows(const State& state, const VmTrack& track,
                                   const ListState& list) {
    const ReasonTargets& open = state.targets;
    const Targets since_zero = targets_since(open.now, open.zero);
    std::vector<SortedRow> rows;
    for (const TargetStats& stats : targets_since(open.now, open.base).known) {
        std::string key = target_key(stats);
        std::string label = target_row_label(state, track, key);
        if (!contains(label, list.filter)) continue;
        const auto place =
            std::ranges::lower_bound(since_zero.known, stats.target, {}, &TargetStats::target);
        const bool came = place != since_zero.known.end() && place->target == stats.target;
        const TargetStats sum = came ? *place : TargetStats{{}, stats.target};
        rows.push_back({target_value(state, sum, list.sort), std::move(label), {}, std::move(key)});
    }
    return rows;
}

// They are no targets: they come last in any order.
void add_sums_of_targets(const State& state, const VmTrack& track, std::vector<std::string>& keys) {
    const Targets all = targets_since(state.targets.now, state.targets.base);
    const auto add = [&](const TargetSum& sum, std::string_view row) {
        const std::string key(row);
        if (sum.count == 0) return;
        if (contains(target_row_label(state, track, key), list_of(state).filter)) {
            keys.push_back(key);
        }
    };
    add(all.other, other_targets);
    add(all.unknown, unknown_targets);
}

bool comes_before(const SortedRow& a, const SortedRow& b) {
    if (a.value != b.value) return a.value > b.value;
    if (a.text != b.text) return a.text < b.text;
    if (a.name != b.name) return a.name < b.name;
    return a.key < b.key;
}

std::vector<SortedRow> unsorted_rows(const State& state, const ListState& list) {
    if (state.screen == Screen::vms) return vm_rows(state, list);
    const VmTrack* track = opened(state);
    if (track == nullptr) return {};
    if (state.screen == Screen::targets) return target_rows(state, *track, list);
    return state.screen == Screen::reasons ? reason_rows(state, *track, list)
                                           : vcpu_rows(state, *track, list);
}

// The rows in their previous order; new ones follow.
void keep_order(std::vector<std::string>& keys, const std::vector<std::string>& before) {
    std::unordered_map<std::string_view, std::size_t> places;
    for (std::size_t i = 0; i < before.size(); ++i) places.emplace(before[i], i);
    const auto place = [&](const std::string& key) {
        const auto found = places.find(key);
        return found == places.end() ? before.size() : found->second;
    };
    std::ranges::stable_sort(keys, {}, place);
}

// Fields in their order, but the one that is sorted by at first before them, and the name last.
std::vector<SortKey> field_sort_keys() {
    std::vector<SortKey> keys;
    for (const Field& field : fields()) {
        if (!field.meaning.empty()) keys.push_back({field.key, field.meaning});
    }
    std::ranges::stable_sort(keys, {}, [](const SortKey& sort) {
        return sort.key == "rate" ? 0 : sort.key == "name" ? 2 : 1;
    });
    return keys;
}

}  // namespace

const std::vector<SortKey>& sort_keys(Screen screen) {
    static const std::vector<SortKey> of_vms = {
        {"rate", "exits per second"},   {"cores", "time spent on exits"},
        {"wait", "time without a CPU"}, {"guest", "guest share"},
        {"vcpus", "number of vCPUs"},   {"name", "name"},
        {"pid", "process id"},          {"vmm", "VMM"},
    };
    static const std::vector<SortKey> of_reasons = field_sort_keys();
    static const std::vector<SortKey> of_vcpus = {{"id", "vCPU number"},
                                                  {"rate", "exits per second"},
                                                  {"time", "time"},
                                                  {"wait", "time without a CPU"}};
    static const std::vector<SortKey> of_targets = {
        {"time", "time"}, {"rate", "exits per second"}, {"mean", "mean time"}, {"name", "target"}};
    static const std::vector<SortKey> none;
    switch (screen) {
        case Screen::vms: return of_vms;
        case Screen::reasons: return of_reasons;
        case Screen::vcpus: return of_vcpus;
        case Screen::targets: return of_targets;
        case Screen::histogram: break;
    }
    return none;
}

std::vector<std::string> make_rows(const State& state) {
    const ListState& list = list_of(state);
    ListState sorted_by = list;
    if (state.screen == Screen::histogram) sorted_by.sort = "id";
    std::vector<SortedRow> rows = unsorted_rows(state, sorted_by);
    std::ranges::sort(rows, comes_before);
    std::vector<std::string> keys;
    keys.reserve(rows.size() + 1);
    for (SortedRow& row : rows) keys.push_back(std::move(row.key));
    if (list.reverse) std::ranges::reverse(keys);
    if (state.frozen) keep_order(keys, list.rows);
    if (state.screen == Screen::histogram) keys.insert(keys.begin(), "all");
    const VmTrack* track = opened(state);
    if (state.screen == Screen::targets && track != nullptr) {
        add_sums_of_targets(state, *track, keys);
    }
    return keys;
}

}  // namespace exittop
