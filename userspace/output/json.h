// SPDX-License-Identifier: GPL-2.0-only
// Snapshots and runs as JSON, schema "exittop/1": written for other programs, read back for
// comparisons (json_input.h). A run is the snapshot of its first repetition with more members:
// other facts about it, and in "repeats" the snapshots of the other repetitions.
#pragma once

#include <string>
#include <string_view>

#include "analysis/comparison.h"
#include "output/reasons_report.h"

namespace exittop {

inline constexpr std::string_view run_schema = "exittop/1";

/// One object, ended by a newline. ASCII only, whatever names hold; invalid UTF-8 is replaced.
std::string to_json(const Snapshot& snapshot);
std::string to_json(const Run& run);
/// Schema "exittop-comparison/1"; not read back.
std::string to_json(const Comparison& comparison);
/// Schema "exittop-reasons/1": what the reasons mean, or which of their targets have a name; not
/// read back.
std::string to_json(const ReasonRows& rows);
std::string targets_to_json(const ReasonRows& rows);

}  // namespace exittop
