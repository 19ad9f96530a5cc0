// SPDX-License-Identifier: GPL-2.0-only
// The parts that the live view is drawn from. For live_view.cpp and its siblings only.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "live/live_view.h"
#include "model/fields.h"

namespace exittop {

/// Appends text as far as it fits into `width` columns of the line.
void append(Line& line, std::string_view text, Role role, std::size_t width);
/// Puts text at the right edge if there is room.
void append_right(Line& line, std::string_view text, Role role, std::size_t width);
std::size_t line_width(const Line& line);

struct LiveColumn {
    std::string heading;
    std::size_t least = 0;  ///< Columns without which it is left out.
    std::size_t most = 0;   ///< What it takes where there is room.
    int importance = 0;     ///< The lower, the longer it stays on narrow terminals.
    Align align = Align::right;
    Role role = Role::normal;
};

struct LiveTable {
    std::vector<LiveColumn> columns;
    /// Text of a cell; at most `width` columns of it are shown.
    std::function<std::string(std::size_t column, const std::string& key, std::size_t width)> cell;
    /// Of a row; normal: by column.
    std::function<Role(const std::string& key)> role = [](const auto&) { return Role::normal; };
};

/// Widths of the columns, 0 for those that are left out.
std::vector<std::size_t> column_widths(const std::vector<LiveColumn>& columns, std::size_t width);
/// The heading, and as many rows as the layout has lines for.
std::vector<Line> draw_table(const State& state, const LiveTable& table);

LiveTable vm_list(const State& state, Glyphs glyphs);
LiveTable reason_list(const State& state, const VmTrack& track, Glyphs glyphs);
LiveTable vcpu_list(const State& state, const VmTrack& track);
LiveTable histogram_list(const State& state, const VmTrack& track);
LiveTable target_list(const State& state, const VmTrack& track);
/// Why there is no target; one sentence.
std::string no_targets_text(const State& state, const VmTrack& track);
/// The part below the list on the screens of a reason, at most `lines` lines.
std::vector<Line> draw_histogram(const State& state, const VmTrack& track, std::size_t lines,
                                 Glyphs glyphs);

std::vector<Line> draw_header(const State& state);
Line draw_keys(const State& state);
/// Shown instead of the list if it is empty.
std::vector<Line> draw_nothing_yet(const State& state);
std::vector<Line> draw_help(const State& state, std::size_t lines);
/// Lays the sort picker over the lines of the list.
void overlay_sort(const State& state, std::vector<Line>& lines);

/// The last samples as bars, the newest at the right; as high as their maximum.
std::string draw_trail(const Trail& trail, std::size_t width, Glyphs glyphs);
/// "1.52x"; "new" where the baseline has nothing, "-" where both have nothing.
std::string print_ratio(double now, double baseline);
/// Exits of what a key of the histogram's list stands for, and its name.
Shown shown_of(const State& state, const VmTrack& track, const std::string& key);
std::string vcpu_label(const std::string& key);

}  // namespace exittop
