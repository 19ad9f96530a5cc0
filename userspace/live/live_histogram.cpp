// SPDX-License-Identifier: GPL-2.0-only
// The live view's drawing of how long the exits of one reason took, and what that reason is.
#include <algorithm>

#include <fmt/format.h>

#include "live/live_draw.h"
#include "output/reasons_report.h"
#include "output/table.h"

namespace exittop {

namespace {

// The table's bars consist of "@"; blocks are used if the terminal has them, because they look
// calmer.
std::string with_blocks(std::string_view line) {
    std::string out;
    for (const char c : line) out += c == '@' ? std::string("█") : std::string(1, c);
    return out;
}

const char* time_of(Since since) {
    switch (since) {
        case Since::interval: return "in the last interval";
        case Since::zero: return "since zero";
        case Since::start: break;
    }
    return "since the start";
}

std::vector<Line> draw_bars(const Histogram& histogram, std::size_t width, std::size_t lines,
                            Glyphs glyphs) {
    std::vector<Line> drawn;
    const std::string text = histogram_lines(histogram, width, lines);
    for (std::size_t begin = 0; begin < text.size() && drawn.size() < lines;) {
        const std::size_t end = text.find('\n', begin);
        const std::string_view line = std::string_view(text).substr(begin, end - begin);
        const std::size_t bar = std::min(line.find('|'), line.size());
        const std::string_view bars = line.substr(bar);
        drawn.push_back(
            {{std::string(line.substr(0, bar)), Role::normal},
             {glyphs == Glyphs::utf8 ? with_blocks(bars) : std::string(bars), Role::trail}});
        begin = end + 1;
    }
    return drawn;
}

}  // namespace

std::vector<Line> draw_histogram(const State& state, const VmTrack& track, std::size_t lines,
                                 Glyphs glyphs) {
    const ListState& list = list_of(state);
    const bool of_vcpu = state.screen == Screen::histogram && list.place < list.rows.size();
    const std::string key = of_vcpu ? list.rows[list.place] : "all";
    const Shown shown = shown_of(state, track, key);
    const ExitStats* stats = find_reason(shown.exits, state.reason);
    const ReasonTrack* known = find_reason(track, state.reason);

    std::vector<Line> explained;
    if (const auto* reason = known ? find_exit_reason(track.vm.isa, known->now.code) : nullptr) {
        const std::size_t width = std::clamp<std::size_t>(state.width, 10, 102) - 2;
        for (std::string& line : reason_text(*reason, width)) {
            explained.push_back({{"  " + std::move(line), Role::normal}});
        }
    }
    std::vector<Line> drawn;
    drawn.push_back({});
    drawn.push_back(
        {{fmt::format("  {}: time per exit, {}", vcpu_label(key), time_of(shown.distributions)),
          Role::strong}});
    if (stats == nullptr || stats->histogram.empty()) {
        drawn.push_back({{"  no completed exit", Role::dim}});
    } else {
        // The explanation is shortened first: the drawing matters more.
        const std::size_t room = lines > 3 ? lines - 3 : 1;
        const std::size_t text = lines > explained.size() + 9 ? explained.size() + 1 : 0;
        std::ranges::move(
            draw_bars(stats->histogram, state.width, room - std::min(room - 1, text), glyphs),
            std::back_inserter(drawn));
    }
    drawn.push_back({});
    std::ranges::move(explained, std::back_inserter(drawn));
    drawn.resize(std::min(drawn.size(), lines));
    return drawn;
}

}  // namespace exittop
