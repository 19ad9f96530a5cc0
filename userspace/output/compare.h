// SPDX-License-Identifier: GPL-2.0-only
// A comparison for people and for programs that read text.
#pragma once

#include <string>

#include "analysis/comparison.h"
#include "output/table.h"

namespace exittop {

/// Warnings and a line for each run; then per reason the counts of all runs with difference and
/// ratio to the first; per reason and run what the exits cost; losses. With `explain`, what causes
/// each reason is in a column of its own. Where the comparison has targets, the most frequent ones
/// are below their reason.
std::string compare_table(const Comparison& comparison, bool explain, const TableOptions& options);

/// The same as Markdown, with tables as GitHub and its like take them.
std::string compare_markdown(const Comparison& comparison, bool explain);

/// A line for each reason and run, the total last. Warnings are not in it. Where the comparison has
/// targets, there are two more columns, as in the CSV of a run, and lines for each target and run
/// that knows it.
std::string compare_csv(const Comparison& comparison, bool explain);

}  // namespace exittop
