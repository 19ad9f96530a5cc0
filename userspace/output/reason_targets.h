// SPDX-License-Identifier: GPL-2.0-only
// What `exittop reasons --targets` prints: the targets of reasons that have a name.
#pragma once

#include <cstddef>
#include <string>

#include "base/text.h"
#include "output/reasons_report.h"

namespace exittop {

/// For people: per reason what kind of targets it has, and which of them have a name. Sentences are
/// wrapped at `width` columns (but never fewer than 40).
std::string reason_targets_table(const ReasonRows& rows, std::size_t width, Color color);

/// For programs: isa, code in decimal, reason, target, name.
std::string reason_targets_csv(const ReasonRows& rows);

}  // namespace exittop
