// SPDX-License-Identifier: GPL-2.0-only
// Snapshots and runs as JSON, schema "exittop/1": written for other programs, read back for
// comparisons. A run is the snapshot of its first repetition with more members: other facts about
// it, and in "repeats" the snapshots of the other repetitions.
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "analysis/comparison.h"
#include "output/reasons_report.h"

namespace exittop {

/// One object, ended by a newline. ASCII only, whatever names hold; invalid UTF-8 is replaced.
std::string to_json(const Snapshot& snapshot);
std::string to_json(const Run& run);
/// Schema "exittop-comparison/1"; not read back.
std::string to_json(const Comparison& comparison);
/// Schema "exittop-reasons/1": what the reasons mean, or which of their targets have a name; not
/// read back.
std::string to_json(const ReasonRows& rows);
std::string targets_to_json(const ReasonRows& rows);

/// The run in a text, or one line that says where in it something is wrong. Files may come from
/// anywhere: types and ranges are checked, duplicate keys are rejected, size and depth are bounded.
/// Unknown keys are ignored, because later versions may add some. A plain snapshot is a run without
/// further facts.
std::expected<Run, std::string> from_json(std::string_view text);

}  // namespace exittop
