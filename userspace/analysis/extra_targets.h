// SPDX-License-Identifier: GPL-2.0-only
// What the exits were about that later runs of a comparison have more of than the first.
#pragma once

#include <cstddef>

#include "analysis/comparison.h"

namespace exittop {

/// Only reasons with at least this share of the extra exits keep their targets,
inline constexpr double extra_reason_share = 0.01;
/// and of these only targets with at least this share are told apart,
inline constexpr double extra_target_share = 0.001;
/// at most so many of a reason. What is left of a reason is in its `other`.
inline constexpr std::size_t most_extra_targets = 10;

/// The comparison with only the targets that tell what the extra exits are. A reason that has a
/// single target has none here: it would repeat the reason's own numbers.
Comparison extra_targets(Comparison comparison);

}  // namespace exittop
