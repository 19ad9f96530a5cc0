// SPDX-License-Identifier: GPL-2.0-only
// A comparison for people and for programs that read text.
#pragma once

#include <string>

#include "analysis/comparison.h"
#include "output/table.h"

namespace exittop {

/// Warnings and a line for each run; then per reason the counts of all runs with difference and
/// ratio to the first; per reason and run what the exits cost; losses. With `explain`, what causes
/// each reason is in a column of its own.
std::string compare_table(const Comparison& comparison, bool explain, const TableOptions& options);

/// The same as Markdown, with tables as GitHub and its like take them.
std::string compare_markdown(const Comparison& comparison, bool explain);

/// A line for each reason and run, the total last. Warnings are not in it.
std::string compare_csv(const Comparison& comparison, bool explain);

}  // namespace exittop
