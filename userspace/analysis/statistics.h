// SPDX-License-Identifier: GPL-2.0-only
// Statistics of a few repetitions that assume no distribution.
#pragma once

#include <span>
#include <vector>

namespace exittop {

/// 0 for no values.
double mean_of(std::span<const double> values);

/// Sample standard deviation (n - 1); 0 for less than two values.
double standard_deviation(std::span<const double> values);

/// Two-sided p-value of the Mann-Whitney U test: how often a difference in ranks at least this
/// large occurs if both samples come from one distribution. Exact, ties included (a permutation
/// test of the rank sum), for up to 40 values together; beyond that the normal approximation with
/// correction for ties and continuity. 1 where one sample is empty. NaN is not allowed.
double mann_whitney(std::span<const double> a, std::span<const double> b);

/// P-values adjusted for their number (Benjamini and Hochberg 1995): of the tests with an adjusted
/// value below q, a share of q or less is expected to be false alarms.
std::vector<double> adjust_for_number(std::span<const double> p_values);

}  // namespace exittop
