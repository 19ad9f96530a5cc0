// SPDX-License-Identifier: GPL-2.0-only
// What the exits of the opened reason were about: counted from when its screen was opened, since
// counting them costs, and so that what is shown is of the load that one looks at.
#include <algorithm>
#include <utility>

#include "base/text.h"
#include "live/live_state.h"
#include "model/target_label.h"

namespace exittop {

namespace {

// What the opened VM's reason had when it was last read in full; nothing: not counted by target.
const Targets* read_targets(const State& state, const VmTrack& track) {
    const ReasonTrack* reason = find_reason(track, state.reason);
    if (reason == nullptr) return nullptr;
    const auto found = track.targets.find(key_of(reason->now));
    return found == track.targets.end() ? nullptr : &found->second;
}

// Whether the reason had exits in the last interval, all of it after targets were counted.
bool had_exits(const State& state, const VmTrack& track) {
    if (track.from_s < state.targets.since_s) return false;
    const ReasonTrack* reason = find_reason(track, state.reason);
    return reason != nullptr && reason->interval.count > 0;
}

void begin(ReasonTargets& targets, Targets base, double at_s) {
    targets = {.wanted = true, .begun = true, .since_s = at_s, .now_s = at_s, .zero_s = at_s};
    targets.now = targets.zero = base;
    targets.base = std::move(base);
}

// One that came later begins at 0, so that it does not jump to the top.
void smooth(ReasonTargets& targets, bool first) {
    std::map<std::string, TargetRates> rates;
    for (const TargetStats& now : targets.now.known) {
        const auto found =
            std::ranges::lower_bound(targets.interval.known, now.target, {}, &TargetStats::target);
        const bool came = found != targets.interval.known.end() && found->target == now.target;
        const TargetSum sum = came ? TargetSum(*found) : TargetSum{};
        const auto before = targets.rates.find(now.target);
        const TargetRates was = before == targets.rates.end() ? TargetRates{} : before->second;
        const double seconds = targets.interval_s;
        rates[now.target] = {
            smoothed(was.count, static_cast<double>(sum.count) / seconds, first),
            smoothed(was.time_ns, static_cast<double>(sum.time_ns) / seconds, first)};
    }
    targets.rates = std::move(rates);
}

}  // namespace

std::map<ReasonKey, Targets> take_out_targets(Vm& vm) {
    std::map<ReasonKey, Targets> taken;
    for (Vcpu& vcpu : vm.vcpus) {
        for (ExitStats& stats : vcpu.exits) {
            if (!stats.targets) continue;
            taken[key_of(stats)] += *stats.targets;
            stats.targets.reset();
        }
    }
    return taken;
}

void open_targets(State& state) {
    state.targets = {.wanted = true};
    state.targets_error.clear();
    begin_targets(state);
}

void close_targets(State& state) {
    state.targets = {};
    state.targets_error.clear();
}

void begin_targets(State& state) {
    const bool counted = state.chosen_targets || state.targets_vm == state.vm;
    if (!state.targets.wanted || state.targets.begun || !counted) return;
    const VmTrack* track = opened(state);
    if (track == nullptr || !track->full) return;  // It comes with the next sample.
    const Targets* read = read_targets(state, *track);
    const bool is_before = track->taken_s < state.targets_on_s;
    begin(state.targets, read == nullptr || is_before ? Targets{} : *read,
          std::max(track->taken_s, state.targets_on_s));
}

void take_targets(State& state) {
    begin_targets(state);
    ReasonTargets& targets = state.targets;
    const VmTrack* track = opened(state);
    if (!targets.begun || track == nullptr || !track->full) return;
    const double seconds = track->taken_s - targets.now_s;
    if (seconds < shortest_s) return;
    const bool first = !targets.sampled;
    targets.sampled = true;
    const Targets* read = read_targets(state, *track);
    targets.none = read == nullptr && (targets.none || had_exits(state, *track));
    if (read == nullptr) return;
    targets.interval = targets_since(*read, targets.now);
    targets.interval_s = seconds;
    targets.now = *read;
    targets.now_s = track->taken_s;
    smooth(targets, first);
}

void take_switched(State& state, const TargetsSwitched& switched) {
    state.targets_vm = switched.vm;
    state.targets_on_s = switched.at_s;
    state.cost.target_bytes = switched.bytes;
    if (!switched.error.empty()) {
        (state.targets.wanted ? state.targets_error : state.note) = switched.error;
    } else if (state.targets.wanted && switched.vm == state.vm) {
        begin(state.targets, {}, switched.at_s);
    }
}

std::string wants_targets(const State& state) {
    return state.targets.wanted && !state.chosen_targets ? state.vm : std::string();
}

bool counts_targets(const State& state) {
    return state.chosen_targets || !state.targets_vm.empty();
}

ShownTargets shown_targets(const State& state) {
    const ReasonTargets& targets = state.targets;
    if (!state.cumulative) return {targets.interval, targets.interval_s};
    return {targets_since(targets.now, targets.zero), targets.now_s - targets.zero_s};
}

std::string target_key(const TargetStats& stats) { return "=" + stats.target; }

std::string target_row_label(const State& state, const VmTrack& track, const std::string& key) {
    if (key == other_targets) return "other";
    if (key == unknown_targets) {
        const std::string why = sanitise(state.targets.now.why);
        return why.empty() ? "unknown" : "unknown (" + why + ")";
    }
    const std::string_view target = std::string_view(key).substr(1);
    const ReasonTrack* reason = find_reason(track, state.reason);
    return reason == nullptr ? sanitise(target)
                             : labelled_target(track.vm.isa, reason->now.code, target);
}

}  // namespace exittop
