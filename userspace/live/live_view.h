// SPDX-License-Identifier: GPL-2.0-only
// Draws the live view: a pure function of its state, to lines of text in roles. The terminal
// decides what a role looks like.
#pragma once

#include <string>
#include <vector>

#include "live/live_state.h"

namespace exittop {

/// The role of a piece of text. Roles add no information that is not in the text. A bar is a
/// split_bar(), each of whose letters has a look of its own, also in the selected row.
enum class Role {
    normal,
    strong,
    dim,
    heading,
    selected,
    trail,
    key,
    notice,
    alarm,
    bar,
    selected_bar
};

struct Span {
    std::string text;  ///< Sanitised UTF-8.
    Role role = Role::normal;
    bool operator==(const Span&) const = default;
};
using Line = std::vector<Span>;

enum class Glyphs { utf8, ascii };

/// Exactly `state.height` lines, none wider than `state.width`.
std::vector<Line> draw(const State& state, Glyphs glyphs);

/// The text alone, lines without blanks at their ends.
std::string plain_text(const std::vector<Line>& lines);

}  // namespace exittop
