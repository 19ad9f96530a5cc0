// SPDX-License-Identifier: GPL-2.0-only
// The live view's list of what the exits of a reason were about, and why it is empty.
#include <algorithm>
#include <map>
#include <memory>

#include <fmt/format.h>

#include "live/live_draw.h"

namespace exittop {

namespace {

// What the cells are made from, by the key of the row.
struct TargetCells {
    std::map<std::string, TargetSum> sums;
    TargetSum total;
    double duration_s = 0.0;
    bool per_second = false;  // of the interval, not sums

    [[nodiscard]] std::string print(std::size_t column, const std::string& key) const {
        const auto found = sums.find(key);
        const TargetSum sum = found == sums.end() ? TargetSum{} : found->second;
        switch (column) {
            case 0: return per_second ? print_rate(rate_of(sum.count)) : group_digits(sum.count);
            case 1: return total.count > 0 ? print_percent(ratio(sum.count, total.count)) : "-";
            case 2:
                return print_ns(per_second ? static_cast<std::uint64_t>(rate_of(sum.time_ns))
                                           : sum.time_ns);
            default: return sum.count > 0 ? print_ns(sum.time_ns / sum.count) : "-";
        }
    }

private:
    [[nodiscard]] double rate_of(std::uint64_t sum) const {
        return duration_s > 0.0 ? static_cast<double>(sum) / duration_s : 0.0;
    }
    static double ratio(std::uint64_t part, std::uint64_t all) {
        return static_cast<double>(part) / static_cast<double>(all);
    }
};

TargetCells target_cells(const State& state) {
    const ShownTargets shown = shown_targets(state);
    TargetCells cells;
    cells.total = sum_of(shown.targets);
    cells.duration_s = shown.duration_s;
    cells.per_second = !state.cumulative;
    for (const TargetStats& stats : shown.targets.known) cells.sums[target_key(stats)] = stats;
    cells.sums[std::string(other_targets)] = shown.targets.other;
    cells.sums[std::string(unknown_targets)] = shown.targets.unknown;
    return cells;
}

std::string label_of_reason(const State& state, const VmTrack& track) {
    const ReasonTrack* reason = find_reason(track, state.reason);
    return reason == nullptr ? "this reason" : reason_label(track.vm.isa, reason->now);
}

}  // namespace

LiveTable target_list(const State& state, const VmTrack& track) {
    const auto cells = std::make_shared<TargetCells>(target_cells(state));
    std::size_t longest = 0;
    for (const std::string& key : list_of(state).rows) {
        longest = std::max(longest, display_width(target_row_label(state, track, key)));
    }
    const char* per = cells->per_second ? "/s" : "";
    LiveTable table;
    table.columns = {{cells->per_second ? "RATE/s" : "COUNT", 9, 9, 1, Align::right, Role::normal},
                     {"SHARE", 6, 6, 2, Align::right, Role::normal},
                     {fmt::format("TIME{}", per), 7, 7, 4, Align::right, Role::normal},
                     {"MEAN", 6, 6, 3, Align::right, Role::normal},
                     {"TARGET", 20, longest, 0, Align::left, Role::strong}};
    table.role = [](const std::string& key) {
        return key == other_targets || key == unknown_targets ? Role::dim : Role::normal;
    };
    table.cell = [cells, &state, &track](std::size_t column, const std::string& key, std::size_t) {
        return column < 4 ? cells->print(column, key) : target_row_label(state, track, key);
    };
    return table;
}

std::string no_targets_text(const State& state, const VmTrack& track) {
    if (!state.targets_error.empty()) return sanitise(state.targets_error);
    const std::string reason = label_of_reason(state, track);
    if (state.targets.none && state.chosen_targets && !state.chosen_targets->reasons.empty()) {
        return fmt::format("{} is not among the reasons that --targets names.", reason);
    }
    if (state.targets.none) {
        return fmt::format("{} has no target of its own: --targets rip says where the guest was.",
                           reason);
    }
    if (!state.targets.sampled) {
        return state.paused ? "Paused: what comes is shown when it goes on."
                            : "What comes from now on is shown with the next sample.";
    }
    return "No exit of this reason since the screen was opened.";
}

}  // namespace exittop
