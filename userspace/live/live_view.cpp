// SPDX-License-Identifier: GPL-2.0-only
// Assembles the parts of the live view, and keeps every line within the terminal.
#include "live/live_view.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "live/live_draw.h"

namespace exittop {

namespace {

constexpr std::array utf8_bars = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr std::array ascii_bars = {" ", "_", ".", "-", "=", "+", "*", "%", "#"};

// Sanitised text in ASCII: any other character becomes a "?" per column.
std::string to_ascii(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        std::size_t bytes = 1;
        while (bytes < text.size() && (text[bytes] & 0xc0) == 0x80) ++bytes;
        const std::string_view character = text.substr(0, bytes);
        text.remove_prefix(bytes);
        if (bytes == 1 && (character[0] & 0x80) == 0) {
            out += character;
        } else if (character == "…" || character == "›") {
            out += character == "…" ? '~' : '>';
        } else {
            out.append(display_width(character), '?');
        }
    }
    return out;
}

void append_lines(std::vector<Line>& lines, std::vector<Line> more) {
    std::ranges::move(more, std::back_inserter(lines));
}

LiveTable list_for(const State& state, const VmTrack& track, Glyphs glyphs) {
    switch (state.screen) {
        case Screen::reasons: return reason_list(state, track, glyphs);
        case Screen::vcpus: return vcpu_list(state, track);
        case Screen::targets: return target_list(state, track);
        case Screen::vms:
        case Screen::histogram: break;
    }
    return histogram_list(state, track);
}

std::vector<Line> draw_no_targets(const State& state, const VmTrack& track) {
    std::vector<Line> lines;
    const std::size_t width = std::max<std::size_t>(state.width, 12) - 2;
    for (std::string& line : wrap(no_targets_text(state, track), width)) {
        lines.push_back({{" " + std::move(line), Role::notice}});
    }
    return lines;
}

std::vector<Line> draw_body(const State& state, Glyphs glyphs) {
    const LiveLayout layout = layout_of(state);
    if (state.overlay == Overlay::help) {
        return draw_help(state, layout.list_rows + layout.below + 1);
    }
    if (state.screen == Screen::vms) {
        if (state.tracks.empty()) return draw_nothing_yet(state);
        return draw_table(state, vm_list(state, glyphs));
    }
    const VmTrack* track = opened(state);
    if (track == nullptr) return {{{"This VM is gone; Esc leads back.", Role::notice}}};
    if (track->vm.silent) {
        return {{},
                {{fmt::format("No exit of this VM was seen; it {} {}.",
                              track->vm.ended ? "ended, and had" : "has",
                              print_number_of(track->vm.vcpus.size(), "vCPU")),
                  Role::notice}}};
    }
    if (is_uncounted(track->vm)) {
        return {{},
                {{fmt::format("Not counted: {} of this VM; there is no room (--max-vcpus).",
                              print_number_of(uncounted_exits(track->vm), "exit")),
                  Role::notice}}};
    }
    std::vector<Line> lines = draw_table(state, list_for(state, *track, glyphs));
    if (state.screen == Screen::targets && lines.size() == 1) {
        append_lines(lines, draw_no_targets(state, *track));
    }
    if (state.screen == Screen::histogram || state.screen == Screen::targets) {
        lines.resize(layout.list_rows + 1);
        append_lines(lines, draw_histogram(state, *track, layout.below, glyphs));
    }
    return lines;
}

void clip(Line& line, std::size_t width) {
    Line clipped;
    std::size_t used = 0;
    for (Span& span : line) {
        if (used == width) break;
        span.text = fit(span.text, width - used);
        used += display_width(span.text);
        clipped.push_back(std::move(span));
    }
    line = std::move(clipped);
}

}  // namespace

std::size_t line_width(const Line& line) {
    return std::accumulate(
        line.begin(), line.end(), std::size_t{0},
        [](std::size_t sum, const Span& span) { return sum + display_width(span.text); });
}

void append(Line& line, std::string_view text, Role role, std::size_t width) {
    const std::size_t used = line_width(line);
    if (used < width && !text.empty()) line.push_back({fit(text, width - used), role});
}

void append_right(Line& line, std::string_view text, Role role, std::size_t width) {
    const std::size_t used = line_width(line);
    const std::size_t needed = display_width(text);
    if (text.empty() || used + 2 + needed > width) return;
    line.push_back({std::string(width - used - needed, ' '), Role::normal});
    line.push_back({std::string(text), role});
}

std::string draw_trail(const Trail& trail, std::size_t width, Glyphs glyphs) {
    const auto& bars = glyphs == Glyphs::utf8 ? utf8_bars : ascii_bars;
    const std::size_t shown = std::min(width, trail.size());
    double highest = 0.0;
    for (std::size_t back = 0; back < shown; ++back) highest = std::max(highest, trail.at(back));
    std::string out(width - shown, ' ');
    for (std::size_t back = shown; back-- > 0;) {
        const double value = trail.at(back);
        const double level = highest > 0.0 ? value / highest * double(bars.size() - 1) : 0.0;
        auto bar = static_cast<std::size_t>(std::lround(level));
        if (value > 0.0) bar = std::max<std::size_t>(bar, 1);  // A small value must be visible.
        out += bars[std::min(bar, bars.size() - 1)];
    }
    return out;
}

std::string print_ratio(double now, double baseline) {
    if (!(now >= 0.0) || !(baseline >= 0.0)) return "-";
    if (baseline == 0.0) return now == 0.0 ? "-" : "new";
    return print_ratio(now / baseline);
}

std::vector<Line> draw(const State& state, Glyphs glyphs) {
    std::vector<Line> lines;
    if (state.height == 0) return lines;
    append_lines(lines, draw_header(state));
    std::vector<Line> body = draw_body(state, glyphs);
    if (state.overlay == Overlay::sort) overlay_sort(state, body);
    append_lines(lines, std::move(body));
    lines.resize(state.height);
    lines.back() = draw_keys(state);
    for (Line& line : lines) {
        clip(line, state.width);
        if (glyphs == Glyphs::utf8) continue;
        for (Span& span : line) span.text = to_ascii(span.text);
    }
    return lines;
}

std::string plain_text(const std::vector<Line>& lines) {
    std::string text;
    for (const Line& line : lines) {
        std::string joined;
        for (const Span& span : line) joined += span.text;
        joined.erase(joined.find_last_not_of(' ') + 1);
        text += joined + "\n";
    }
    return text;
}

}  // namespace exittop
