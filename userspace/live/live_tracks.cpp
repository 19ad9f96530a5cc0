// SPDX-License-Identifier: GPL-2.0-only
// What a new sample does to the live view's state: rates, smoothed rates, trails, and the VMs that
// came or went.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/text.h"
#include "live/live_state.h"
#include "model/delta.h"
#include "output/table.h"

namespace exittop {

namespace {

// An ended VM is shown for so long.
constexpr double fade_s = 10.0;

double per_second(std::uint64_t count, double seconds) {
    return seconds > 0.0 ? static_cast<double>(count) / seconds : 0.0;
}

ReasonKey key_of_track(const ReasonTrack& track) { return key_of(track.now); }

ReasonTrack& reason_track(std::vector<ReasonTrack>& reasons, const ExitStats& stats) {
    auto place = std::ranges::lower_bound(reasons, key_of(stats), {}, key_of_track);
    if (place == reasons.end() || key_of_track(*place) != key_of(stats)) {
        ReasonTrack made;
        made.now.code = made.interval.code = made.zero.code = stats.code;
        made.now.level = made.interval.level = made.zero.level = stats.level;
        place = reasons.insert(place, std::move(made));
    }
    return *place;
}

void take_reason(VmTrack& track, const ExitStats& now, double interval_s, bool first) {
    ReasonTrack& reason = reason_track(track.reasons, now);
    reason.interval = exits_since(now, reason.now);
    reason.now = now;
    const double rate = per_second(reason.interval.count, interval_s);
    reason.smooth_rate = smoothed(reason.smooth_rate, rate, first);
    reason.trail.add(rate, interval_s);
}

// Of the time of so many vCPUs, given how much of it was spent in the guest in a second.
double guest_share(double guest_ns_per_s, std::size_t vcpus) {
    return vcpus > 0 ? std::clamp(guest_ns_per_s * 1e-9 / static_cast<double>(vcpus), 0.0, 1.0)
                     : 0.0;
}

// Rates of a VM as a whole, from those of its reasons.
void sum_up(VmTrack& track, double interval_s, bool first) {
    std::uint64_t count = 0;
    std::uint64_t busy = 0;
    std::uint64_t waited = 0;
    for (const ReasonTrack& reason : track.reasons) {
        count += reason.interval.count;
        busy += on_cpu_ns(reason.interval);
        waited += reason.interval.preempted_ns;
    }
    // An exit's time is known when it ends, so that a long one may be longer than the interval.
    const auto vcpus = static_cast<double>(track.vm.vcpus.size());
    track.rate = per_second(count, interval_s);
    track.cores = std::min(per_second(busy, interval_s) * 1e-9, vcpus);
    track.waits = std::min(per_second(waited, interval_s) * 1e-9, vcpus);
    const std::uint64_t guest_ns = sum_of_vcpus(track.vm).guest_ns;
    const std::uint64_t gained_ns = saturating_subtract(guest_ns, track.guest_ns);
    track.guest = guest_share(per_second(gained_ns, interval_s), track.vm.vcpus.size());
    track.guest_ns = guest_ns;
    track.smooth_rate = smoothed(track.smooth_rate, track.rate, first);
    track.smooth_cores = smoothed(track.smooth_cores, track.cores, first);
    track.smooth_waits = smoothed(track.smooth_waits, track.waits, first);
    track.smooth_guest = smoothed(track.smooth_guest, track.guest, first);
    track.trail.add(track.rate, interval_s);
}

// Puts the VM of a new sample in the place of the one before.
void replace_vm(VmTrack& track, VmOverview&& vm, std::optional<Vm>&& full, double taken_s) {
    track.before.reset();
    if (full && track.full && taken_s - track.taken_s >= shortest_s) {
        track.before = TakenVm{std::move(*track.full), track.taken_s};
    }
    track.vm = std::move(vm);
    track.full = std::move(full);
    track.targets.clear();
    if (track.full) track.targets = take_out_targets(*track.full);
    track.taken_s = taken_s;
}

void take_vm(State& state, VmOverview&& vm, std::optional<Vm>&& full) {
    VmTrack& track = state.tracks[vm.id];
    const bool first = track.label.empty();
    if (first) {
        track.label = sanitise(vm.name.empty() ? "(no name)" : vm.name, name_columns);
        track.since_s = track.to_s = state.duration_s - state.interval_s;
    }
    track.seen = true;
    track.from_s = std::exchange(track.to_s, state.duration_s);
    if (vm.ended && track.ended_s < 0.0) track.ended_s = state.duration_s;
    replace_vm(track, std::move(vm), std::move(full), state.duration_s);

    const double interval_s = track.to_s - track.from_s;
    for (const ExitStats& stats : track.vm.exits) take_reason(track, stats, interval_s, first);
    sum_up(track, interval_s, first);
}

// A VM of which no exit had been seen has another id from its first exit on: what led to it leads
// to the one with exits.
void follow_woken(State& state) {
    ListState& list = state.lists[static_cast<std::size_t>(Screen::vms)];
    for (const auto& [id, silent] : state.tracks) {
        if (!silent.vm.silent || silent.seen) continue;
        const auto woken = std::ranges::find_if(state.tracks, [&silent](const auto& each) {
            const VmTrack& track = each.second;
            return track.vm.pid == silent.vm.pid && track.seen && !track.vm.silent &&
                   !track.vm.ended;
        });
        if (woken == state.tracks.end()) continue;
        if (state.vm == id) state.vm = woken->first;
        if (list.selected == id) list.selected = woken->first;
        std::ranges::replace(list.rows, id, woken->first);
    }
}

// The VM that is looked at, if it is no longer in the samples: it stays, ended.
void end_opened(State& state) {
    const auto found = state.tracks.find(opened_vm(state));
    if (found == state.tracks.end() || found->second.seen) return;
    VmTrack& track = found->second;
    track.vm.ended = true;
    if (track.ended_s < 0.0) track.ended_s = state.duration_s;
    track.rate = track.cores = track.waits = track.guest = 0.0;
}

// VMs that are no longer in the samples, and ended ones that have faded.
void drop_ended(State& state) {
    std::erase_if(state.tracks, [&state](const auto& each) {
        const VmTrack& track = each.second;
        if (each.first == opened_vm(state)) return false;
        if (track.ended_s < 0.0) return !track.seen;
        const bool old = !state.keep_ended && state.duration_s - track.ended_s > fade_s;
        if (old) state.faded.insert(each.first);
        return old;
    });
}

void take_cost(State& state, const Cost& cost) {
    const std::uint64_t cpu = saturating_subtract(cost.cpu_ns, state.cost.cpu_ns);
    state.cpu_share =
        state.interval_s > 0.0 ? static_cast<double>(cpu) * 1e-9 / state.interval_s : 0.0;
    const std::uint64_t runs = saturating_subtract(cost.runs, state.cost.runs);
    const std::uint64_t run_ns = saturating_subtract(cost.run_ns, state.cost.run_ns);
    state.ns_per_event = runs > 0 ? static_cast<double>(run_ns) / static_cast<double>(runs) : 0.0;
    state.cost = cost;
}

}  // namespace

void Trail::add(double rate, double seconds) {
    constexpr double enough = 0.95;  // Timers are not exact: a second may come a little early.
    count_ += rate * seconds;
    seconds_ += seconds;
    due_ = std::min(due_ + seconds, static_cast<double>(length));
    if (due_ < enough) return;
    const auto mean = static_cast<float>(count_ / seconds_);
    for (; due_ >= enough; due_ -= 1.0) {
        values_[next_] = mean;
        next_ = (next_ + 1) % length;
        used_ = std::min(used_ + 1, length);
    }
    count_ = seconds_ = 0.0;
}

void take_sample(State& state, Sample&& sample) {
    if (state.paused) return;
    Overview& overview = sample.overview;
    state.waiting.clear();
    state.host = host_line(overview.host);
    state.taken_at = overview.taken_at;
    state.interval_s = std::max(0.0, overview.duration_s - state.duration_s);
    state.duration_s = overview.duration_s;
    state.lost = overview.lost;
    state.known_parts = overview.known_parts;
    take_cost(state, overview.cost);
    for (auto& [id, track] : state.tracks) track.seen = false;
    std::set<std::string> faded;
    for (VmOverview& vm : overview.vms) {
        if (state.faded.contains(vm.id)) {
            faded.insert(vm.id);
            continue;
        }
        const bool in_full = overview.in_full && overview.in_full->id == vm.id;
        take_vm(state, std::move(vm), in_full ? std::move(overview.in_full) : std::nullopt);
    }
    state.faded = std::move(faded);
    follow_woken(state);
    end_opened(state);
    drop_ended(state);
    take_targets(state);
}

const Baseline::VmBaseline* Baseline::find(const std::string& name) const {
    const auto found = vms.find(name);
    if (found != vms.end()) return &found->second;
    return vms.size() == 1 ? &vms.begin()->second : nullptr;
}

Baseline baseline_from(const Snapshot& run, std::string label) {
    Baseline baseline{std::move(label), run.duration_s, {}, run.known_parts};
    for (const Vm& vm : run.vms) {
        const double guest_rate = per_second(sum_of_vcpus(vm).guest_ns, run.duration_s);
        const double guest = guest_share(guest_rate, vm.vcpus.size());
        baseline.vms.insert_or_assign(vm.name, Baseline::VmBaseline{exits_by_reason(vm), guest});
    }
    return baseline;
}

std::string reason_key(const ExitStats& stats) {
    return fmt::format("{}.{}", static_cast<unsigned>(stats.level), stats.code);
}

const ReasonTrack* find_reason(const VmTrack& track, const std::string& key) {
    const auto found = std::ranges::find(
        track.reasons, key, [](const ReasonTrack& reason) { return reason_key(reason.now); });
    return found == track.reasons.end() ? nullptr : &*found;
}

const ExitStats* find_reason(const std::vector<ExitStats>& exits, const std::string& key) {
    const auto found = std::ranges::find(exits, key, reason_key);
    return found == exits.end() ? nullptr : &*found;
}

namespace {

const std::vector<ExitStats>& exits_of(const Vm& vm, std::uint32_t id) {
    static const std::vector<ExitStats> none;
    const auto found = std::ranges::find(vm.vcpus, id, &Vcpu::id);
    return found == vm.vcpus.end() ? none : found->exits;
}

}  // namespace

Shown shown_reasons(const State& state, const VmTrack& track) {
    Shown shown{track.full ? exits_by_reason(*track.full) : track.vm.exits,
                state.cumulative ? state.duration_s - state.zero_s : track.to_s - track.from_s,
                state.cumulative ? Since::zero : Since::interval};
    // Distributions are those since the start until there are two samples of them.
    const std::optional<TakenVm>& earlier = state.cumulative ? track.zero : track.before;
    if (earlier && (state.cumulative || earlier->taken_s == track.from_s)) {
        shown.exits = exits_since(shown.exits, exits_by_reason(earlier->vm));
    } else if (!state.cumulative || state.zero_s > 0.0) {
        shown.distributions = Since::start;
    }
    std::vector<ExitStats> counted;  // A reason may be newer than the sample: it is in the next.
    for (ExitStats& stats : shown.exits) {
        const auto found = std::ranges::find(track.reasons, key_of(stats), key_of_track);
        if (found == track.reasons.end()) continue;
        counted.push_back(shown_numbers(state, *found));
        counted.back().histogram = std::move(stats.histogram);
        counted.back().max_ns = stats.max_ns;
    }
    shown.exits = std::move(counted);
    return shown;
}

ExitStats shown_numbers(const State& state, const ReasonTrack& reason) {
    return state.cumulative ? exits_since(reason.now, reason.zero) : reason.interval;
}

ExitStats shown_sum(const State& state, const VmTrack& track) {
    ExitStats sum;
    for (const ReasonTrack& reason : track.reasons) sum.add_numbers(shown_numbers(state, reason));
    return sum;
}

double shown_vcpu_s(const State& state, const VmTrack& track) {
    const std::optional<TakenVm>& earlier = state.cumulative ? track.zero : track.before;
    return track.taken_s - (earlier ? earlier->taken_s : track.since_s);
}

Shown shown_vcpu(const State& state, const VmTrack& track, std::uint32_t vcpu) {
    const std::optional<TakenVm>& earlier = state.cumulative ? track.zero : track.before;
    Shown shown{track.full ? exits_of(*track.full, vcpu) : std::vector<ExitStats>{},
                shown_vcpu_s(state, track), state.cumulative ? Since::zero : Since::interval};
    if (earlier) {
        shown.exits = exits_since(shown.exits, exits_of(earlier->vm, vcpu));
    } else if (!state.cumulative || state.zero_s > 0.0) {
        shown.distributions = Since::start;
    }
    return shown;
}

}  // namespace exittop
