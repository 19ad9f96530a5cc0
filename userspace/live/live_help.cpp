// SPDX-License-Identifier: GPL-2.0-only
// The live view's help and its sort picker.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "live/live_draw.h"

namespace exittop {

namespace {

struct HelpLine {
    const char* key;
    const char* text;
};

constexpr std::array help = {
    HelpLine{"", "Keys"},
    HelpLine{"Up Down k j", "select; also PgUp, PgDn, Home, End, mouse wheel and click"},
    HelpLine{"Enter", "go down: a VM's reasons, what a reason's exits are about"},
    HelpLine{"Esc", "go back; the selection is where it was"},
    HelpLine{"Tab", "a VM's reasons or its vCPUs; a reason's targets or vCPUs"},
    HelpLine{"s F6", "choose what to sort by"},
    HelpLine{"r", "reverse the order"},
    HelpLine{"/ F4", "filter by a part of the VM's, reason's or target's name"},
    HelpLine{"Space", "pause what is shown; counting goes on"},
    HelpLine{"f", "freeze the order of rows; values go on"},
    HelpLine{"c", "rates of the last interval, or sums"},
    HelpLine{"z", "set the sums to zero"},
    HelpLine{"b", "take this interval as the baseline: values become ratios to it"},
    HelpLine{"+ -", "longer or shorter interval"},
    HelpLine{"e", "keep VMs that ended"},
    HelpLine{"m", "measure what exittop costs per event, in the kernel"},
    HelpLine{"w", "write the counts since the start to a run file"},
    HelpLine{"q", "quit"},
    HelpLine{"", ""},
    HelpLine{"", "Columns"},
    HelpLine{"EXITS/s", "VM exits per second in the last interval"},
    HelpLine{"CORE", "share of one core spent on exits: with polling, without sleep or wait"},
    HelpLine{"WAIT", "share of one core that was wanted and not got: what ESX calls"},
    HelpLine{" ", "ready time and guests see as steal"},
    HelpLine{"GUEST", "share of the vCPUs' time that was spent in the guest"},
    HelpLine{"TIME/s", "time of exits per second, the sum of these parts:"},
    HelpLine{"KERNEL    K", "on a CPU, in the host's kernel; also parts that are not known"},
    HelpLine{"VMM       V", "on a CPU, in the VMM"},
    HelpLine{"POLLED    P", "on a CPU, in KVM's halt polling"},
    HelpLine{"PREEMPTED W", "ready to run, but waited for a CPU"},
    HelpLine{"HALTED    H", "asleep, as the guest had nothing to do"},
    HelpLine{"BLOCKED   B", "asleep elsewhere, such as for a disk"},
    HelpLine{"TIME BY PART", "a bar of these letters: where the time went"},
    HelpLine{"MEAN P50 P99", "of one exit, until the guest runs again"},
    HelpLine{"TARGET", "the MSR, port, address, ...; counted while its screen is open"},
    HelpLine{"1.52x", "with a baseline: the value is 1.52 times that of the baseline"},
    HelpLine{"new", "the baseline has no such exits"},
};

constexpr std::size_t key_width = 13;

}  // namespace

std::vector<Line> draw_help(const State& state, std::size_t lines) {
    const std::size_t last = help.size() > lines ? help.size() - lines : 0;
    const std::size_t first = std::min(state.picked, last);
    std::vector<Line> drawn;
    for (std::size_t i = first; i < help.size() && drawn.size() < lines; ++i) {
        if (*help[i].key == '\0') {
            drawn.push_back({{help[i].text, Role::strong}});
        } else {
            drawn.push_back({{fmt::format("  {:<{}} ", help[i].key, key_width), Role::key},
                             {help[i].text, Role::normal}});
        }
    }
    return drawn;
}

void overlay_sort(const State& state, std::vector<Line>& lines) {
    const auto& keys = sort_keys(state.screen);
    const LiveLayout layout = layout_of(state);
    const std::size_t room = layout.list_rows + layout.below;
    const std::size_t first = state.picked >= room ? state.picked - room + 1 : 0;
    lines.resize(std::max(lines.size(), std::min(keys.size() - first, room) + 1));
    lines[0] = {{pad(" SORT BY", state.width, Align::left), Role::heading}};
    for (std::size_t i = first; i < keys.size() && i - first < room; ++i) {
        const bool picked = i == state.picked;
        lines[i - first + 1] = {
            {pad(fmt::format("{}{:<8} {}", picked ? ">" : " ", keys[i].key, keys[i].meaning),
                 std::min<std::size_t>(state.width, 34), Align::left),
             picked ? Role::selected : Role::normal}};
    }
}

}  // namespace exittop
