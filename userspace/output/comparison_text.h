// SPDX-License-Identifier: GPL-2.0-only
// Values of a comparison as all of its outputs for people print them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "analysis/comparison.h"

namespace exittop {

/// "1,234", "45.2%" of a share, "0.25": counts of one run are whole, means of several need not be.
std::string print_amount(double value, Basis basis);
/// "+1,234", "0".
std::string print_delta(double delta, Basis basis);
/// "new", "gone", or nothing.
std::string change_name(Change change);
/// "23.2x", "new", "gone", "-".
std::string print_ratio(const Versus& versus);
/// "beyond" or "within" (the noise); "-" if unknown.
std::string print_noise(const Versus& versus);
/// "2.41us", "-".
std::string print_time(const std::optional<double>& ns);

/// "0x6e0 IA32_TSC_DEADLINE write", "others (13)", "unknown"; harmless to print.
std::string target_label(const ReasonRow& reason, const TargetRow& target);

/// What the words of "#PF write kernel protection" mean; empty where there is no such target.
std::string page_fault_note(const Comparison& comparison);

/// A fact of a run, raw; empty where it is not known.
std::string fact_of(const RunSummary& run, std::string_view name);

bool has_repeats(const Comparison& comparison);

/// The test behind the column NOISE, and whether there are enough repetitions for it; empty if
/// there is no such column.
std::string noise_line(const Comparison& comparison);

}  // namespace exittop
