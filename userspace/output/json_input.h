// SPDX-License-Identifier: GPL-2.0-only
// Reads what json.h writes of snapshots and runs.
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "model/run.h"

namespace exittop {

/// The run in a text, or one line that says where in it something is wrong. Files may come from
/// anywhere: types and ranges are checked, duplicate keys are rejected, size and depth are bounded.
/// Unknown keys are ignored, because later versions may add some. A plain snapshot is a run without
/// further facts.
std::expected<Run, std::string> from_json(std::string_view text);

}  // namespace exittop
