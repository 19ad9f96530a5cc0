// SPDX-License-Identifier: GPL-2.0-only
// Under which conditions runs were made, and what makes them not comparable.
#pragma once

#include <span>
#include <vector>

#include "analysis/comparison.h"

namespace exittop {

/// What is known of a run's conditions: the same names in the same order for every run.
std::vector<Fact> run_facts(const Run& run);

/// What differs from the first run, except how memory is translated, and what within a run
/// contradicts its label. Each warning has a name; see the manual page.
std::vector<Warning> comparability_warnings(std::span<const Run> runs, Basis basis);

}  // namespace exittop
