// SPDX-License-Identifier: GPL-2.0-only
// The live view's first lines (host, totals, own cost, losses, what is on, where
// the opened VM's time went), its last line (keys),
// and the text instead of an empty list.
#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "live/live_draw.h"
#include "output/split_bar.h"

namespace exittop {

namespace {

struct Totals {
    std::size_t vms = 0;
    std::size_t vcpus = 0;
    double rate = 0.0;
};

Totals totals_of(const State& state) {
    Totals totals;
    for (const auto& [id, track] : state.tracks) {
        totals.rate += track.rate;
        if (track.vm.ended || !track.seen) continue;
        ++totals.vms;
        totals.vcpus += track.vm.vcpus.size();
    }
    return totals;
}

std::string own_cost(const State& state) {
    std::string text = fmt::format("exittop: {} CPU", print_percent(state.cpu_share));
    if (state.ns_per_event > 0.0) {
        return text + fmt::format(", {:.0f} ns/event", state.ns_per_event);
    }
    return text + (state.measure ? ", measuring" : ", ns/event: press m");
}

std::string totals_line(const State& state) {
    const Totals totals = totals_of(state);
    return fmt::format("{}  {}  {} exits/s", print_number_of(totals.vms, "VM"),
                       print_number_of(totals.vcpus, "vCPU"), print_rate(totals.rate));
}

Line lost_line(const State& state) {
    std::string text = fmt::format(" LOST {}:", group_digits(lost_total(state.lost)));
    for (const Loss& loss : losses(state.lost)) {
        text += fmt::format(" {} {} ({})", loss.cause, group_digits(loss.count), loss.meaning);
    }
    return {{pad(fit(text, state.width), state.width, Align::left), Role::alarm}};
}

Line targets_line(const State& state) {
    std::string text = "targets on: adds overhead";
    if (state.cost.target_bytes > 0) {
        text += fmt::format(", {} of kernel memory", print_bytes(state.cost.target_bytes));
    }
    return {{fit(text, state.width), Role::notice}};
}

// What the kernel says of who runs the VM, where its name is its own word: ", uid 107,
// /usr/bin/qemu"; of the file, where there is little room, its last part, or nothing.
std::string owner_of(const State& state, const VmInfo& vm) {
    std::string owner = vm.uid ? fmt::format(", uid {}", *vm.uid) : "";
    if (vm.executable.empty() || state.width < 100) return owner;
    const bool whole = state.width >= 140;
    const std::size_t name = whole ? 0 : vm.executable.rfind('/') + 1;
    return owner + ", " + sanitise(std::string_view(vm.executable).substr(name), whole ? 48 : 20);
}

// "VMs", or on the screens below: "web01 (qemu, pid 4242, ept) › HLT".
std::string path_of(const State& state) {
    if (state.screen == Screen::vms) return "VMs";
    const VmTrack* track = opened(state);
    if (track == nullptr) return "VMs";
    const VmOverview& vm = track->vm;
    const char* state_of = vm.ended                  ? ", ended"
                           : vm.silent               ? ", no exit seen"
                           : uncounted_exits(vm) > 0 ? ", not all counted"
                                                     : "";
    const std::string path =
        fmt::format("{} ({}, pid {}{}, {}{})", fit(track->label, 32),
                    sanitise(vm.vmm.empty() ? "VMM unknown" : vm.vmm, 16), vm.pid,
                    owner_of(state, vm), paging_name(vm.paging), state_of);
    if (state.screen == Screen::reasons) return path + " › reasons";
    if (state.screen == Screen::vcpus) return path + " › vCPUs";
    const ReasonTrack* reason = find_reason(*track, state.reason);
    return reason == nullptr ? path : path + " › " + reason_label(vm.isa, reason->now);
}

// Where the time went of what the path leads to, with the bar's letters, as nothing else on a
// narrow screen tells their names.
Line split_line(const State& state, const VmTrack& track) {
    constexpr std::size_t narrowest = 16, widest = 50;
    const bool of_reason = state.screen == Screen::histogram || state.screen == Screen::targets;
    const ReasonTrack* reason = of_reason ? find_reason(track, state.reason) : nullptr;
    const ExitStats stats = reason ? shown_numbers(state, *reason) : shown_sum(state, track);
    const std::string legend = bar_legend(state.known_parts);
    const std::size_t beside = display_width(legend) + 3;
    const std::size_t room = state.width > beside ? state.width - beside : 0;
    const std::size_t width = std::clamp(room, std::min(state.width, narrowest), widest);
    Line line;
    append(line, " ", Role::normal, state.width);
    append(line, pad(split_bar(stats, state.known_parts, width), width, Align::left), Role::bar,
           state.width);
    append(line, "  " + legend, Role::normal, state.width);
    return line;
}

// For sums: the time over which the screen's values were summed.
double summed_s(const State& state) {
    if (state.screen == Screen::targets) return shown_targets(state).duration_s;
    const VmTrack* track = state.screen == Screen::vcpus ? opened(state) : nullptr;
    return track != nullptr ? shown_vcpu_s(state, *track) : state.duration_s - state.zero_s;
}

std::vector<std::string> what_is_on(const State& state) {
    std::vector<std::string> on;
    if (state.paused) on.emplace_back("PAUSED");
    if (state.frozen) on.emplace_back("order frozen");
    if (state.keep_ended) on.emplace_back("ended kept");
    if (!list_of(state).filter.empty()) on.push_back("filter: " + list_of(state).filter);
    // A baseline has no targets.
    if (state.baseline && state.screen != Screen::targets) {
        on.push_back("ratio to " + sanitise(state.baseline->label, 32));
    }
    if (state.cumulative) on.push_back("sum of " + print_seconds(summed_s(state)));
    if (state.screen != Screen::histogram && !list_of(state).sort.empty()) {
        on.push_back(fmt::format("by {}{}", list_of(state).sort,
                                 list_of(state).reverse ? ", reversed" : ""));
    }
    on.push_back(fmt::format("every {:g} s", state.delay_s));
    return on;
}

struct KeyHelp {
    const char* key;
    const char* text;
};

void append_key(Line& line, const KeyHelp& help, std::size_t width) {
    const std::size_t needed = display_width(help.key) + display_width(help.text) + 2;
    if (line_width(line) + needed > width) return;
    append(line, help.key, Role::key, width);
    append(line, fmt::format(" {} ", help.text), Role::normal, width);
}

const char* filter_prompt(Screen screen) {
    switch (screen) {
        case Screen::vms: return "name: ";
        case Screen::targets: return "target: ";
        case Screen::reasons:
        case Screen::vcpus:
        case Screen::histogram: break;
    }
    return "reason: ";
}

std::vector<KeyHelp> keys_of(const State& state) {
    switch (state.overlay) {
        case Overlay::help: return {{"any key", "back"}, {"Up/Down", "scroll"}};
        case Overlay::sort: return {{"Enter", "sort"}, {"Up/Down", "choose"}, {"Esc", "cancel"}};
        case Overlay::filter:
        case Overlay::none: break;
    }
    std::vector<KeyHelp> keys = {{"q", "quit"}, {"?", "help"}};
    const char* pause = state.paused ? "go on" : "pause";
    const char* sums = state.cumulative ? "rates" : "sums";
    const char* ratio = state.baseline ? "values" : "ratio";
    switch (state.screen) {
        case Screen::vms: keys.insert(keys.end(), {{"Enter", "reasons"}, {"/", "filter"}}); break;
        case Screen::reasons:
            keys.insert(keys.end(),
                        {{"Esc", "back"}, {"Enter", "targets"}, {"Tab", "vCPUs"}, {"/", "filter"}});
            break;
        case Screen::vcpus:
            keys.insert(keys.end(), {{"Esc", "back"}, {"Enter", "histogram"}, {"Tab", "reasons"}});
            break;
        case Screen::histogram:
            keys.insert(keys.end(), {{"Esc", "back"}, {"Up/Down", "vCPU"}, {"Tab", "targets"}});
            break;
        case Screen::targets:
            keys.insert(keys.end(), {{"Esc", "back"}, {"Tab", "vCPUs"}, {"/", "filter"}});
            break;
    }
    if (state.screen != Screen::histogram) {
        keys.insert(keys.end(), {{"s", "sort"}, {"r", "reverse"}, {"f", "freeze"}});
    }
    keys.insert(keys.end(), {{"Space", pause},
                             {"c", sums},
                             {"z", "zero"},
                             {"b", ratio},
                             {"+-", "interval"},
                             {"w", "write"},
                             {"m", "cost"}});
    if (state.screen == Screen::vms) keys.push_back({"e", "keep ended"});
    return keys;
}

}  // namespace

std::vector<Line> draw_header(const State& state) {
    const std::size_t width = state.width;
    const bool lost = lost_total(state.lost) > 0;
    Line totals;
    append(totals, totals_line(state), Role::strong, width);
    append_right(totals, own_cost(state), Role::normal, width);
    if (state.height < 8) {
        return {lost ? lost_line(state) : totals};
    }
    Line host;
    append(host, "exittop ", Role::strong, width);
    // The time is left out only if it leaves too little room for the host.
    const std::size_t time = display_width(state.taken_at) + 2;
    append(host, state.host, Role::normal, width >= 80 ? width - time : width);
    append_right(host, state.taken_at, Role::dim, width);
    std::vector<Line> lines = {host, totals};
    if (lost) lines.push_back(lost_line(state));
    if (counts_targets(state)) lines.push_back(targets_line(state));
    Line path;
    append(path, path_of(state), Role::strong, width);
    const std::vector<std::string> on = what_is_on(state);
    // If there is little room, the first ones matter most.
    for (std::size_t count = on.size(); count > 0; --count) {
        const std::size_t before = path.size();
        const auto end = on.begin() + static_cast<std::ptrdiff_t>(count);
        append_right(path, fmt::format("{}", fmt::join(on.begin(), end, "  ")), Role::notice,
                     width);
        if (path.size() > before) break;
    }
    lines.push_back(std::move(path));
    if (shows_split(state)) lines.push_back(split_line(state, *opened(state)));
    return lines;
}

Line draw_keys(const State& state) {
    Line line;
    if (state.overlay == Overlay::filter) {
        append(line, filter_prompt(state.screen), Role::key, state.width);
        append(line, list_of(state).filter + "_", Role::strong, state.width);
        append(line, "  Enter keeps, Esc cancels", Role::dim, state.width);
        return line;
    }
    if (!state.note.empty() && state.overlay == Overlay::none) {
        return {{fit(sanitise(state.note), state.width), Role::notice}};
    }
    for (const KeyHelp& help : keys_of(state)) append_key(line, help, state.width);
    return line;
}

std::vector<Line> draw_nothing_yet(const State& state) {
    if (!state.waiting.empty()) {
        return {{},
                {{state.waiting, Role::notice}},
                {},
                {{"Counting begins by itself as soon as it is there.", Role::normal}}};
    }
    if (state.taken_at.empty()) return {{}, {{"Starting.", Role::normal}}};
    return {{},
            {{"No VM has exited so far.", Role::notice}},
            {},
            {{"VMs are shown here as soon as they start.", Role::normal}},
            {{"To try it without one: exittop lab", Role::normal}}};
}

}  // namespace exittop
