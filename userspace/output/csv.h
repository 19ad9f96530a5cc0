// SPDX-License-Identifier: GPL-2.0-only
// Snapshots as CSV (RFC 4180): a line per VM (or vCPU), guest level and reason, and target.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/snapshot.h"

namespace exittop {

/// One heading line, then a line per reason of each VM, with vcpu "all", or of each vCPU. What was
/// lost comes last: for each cause that occurred, a line without a VM whose reason is "lost:" and
/// the cause ("lost:table_full"), and whose count is that of the events.
///
/// Where exits were counted by target, there are two more columns, `target` and `target_name`, and
/// behind the line of a reason, where both are empty, one for each of its targets, with the same
/// reason: who adds up counts takes either those that are empty or the others. The target is then
/// a text, "other", or "unknown" with why it is not known for a name.
///
/// Text is sanitised as for terminals, so no field holds a line break. A name that begins with
/// = + - or @ gets a ' in front: spreadsheets would take it for a formula.
std::string to_csv(const Snapshot& snapshot, bool per_vcpu);

inline constexpr std::string_view csv_other_targets = "other";
inline constexpr std::string_view csv_unknown_targets = "unknown";

/// A field quoted where RFC 4180 wants it.
std::string csv_field(std::string_view text);
/// A line of fields.
std::string csv_line(const std::vector<std::string>& cells);
/// Text from other people's command lines or files, made harmless as said above.
std::string csv_foreign(std::string_view bytes);

}  // namespace exittop
