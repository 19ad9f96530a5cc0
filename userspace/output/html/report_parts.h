// SPDX-License-Identifier: GPL-2.0-only
// Parts of the HTML report, and what they share.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "analysis/comparison.h"

namespace exittop {

/// Other people's bytes as text of an element, or of an attribute in double or single quotes:
/// sanitised as for a terminal, so that nothing is invisible or reordered, then escaped. No other
/// place of a page (script, style, an attribute without quotes) is safe for it.
std::string html_text(std::string_view bytes);

/// A run is called by a letter in tables and charts: "A", "B", ..., then by its number.
std::string run_letter(std::size_t run);
/// The class that gives an element the run's colour: "run-0".
std::string run_class(std::size_t run);
/// The letter in the run's colour.
std::string letter_mark(std::size_t run);

/// The name by which links find a reason's explanation.
std::string reason_anchor(const ReasonRow& row);

/// A table with a row for each reason; its cells carry their exact values for sorting and charts.
std::string reasons_html(const Comparison& comparison);

/// A table of what the exits of each reason were about, side by side; empty where no run knows.
std::string targets_html(const Comparison& comparison);

/// Where the time went: a list of what the parts of the time are, a table of the runs, and one of
/// the reasons in each run. The tables are empty where no time is known.
std::string time_legend_html(const Comparison& comparison);
std::string times_html(const Comparison& comparison);
std::string reason_times_html(const Comparison& comparison);

/// A table of the conditions under which the runs were made.
std::string facts_html(const Comparison& comparison);

}  // namespace exittop
