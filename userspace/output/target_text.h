// SPDX-License-Identifier: GPL-2.0-only
// Targets for people: with what they are called, and so many of them that they can be read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/snapshot.h"
#include "model/target_label.h"

namespace exittop {

/// Longest target with its name in a table.
inline constexpr std::size_t target_columns = 44;
/// Targets of a reason that tables and pages show, where there are more.
inline constexpr std::size_t most_targets = 10;

/// "others (13)", "others (13 or more)", "others": what is left of a list of targets, of which
/// `number` are known. Targets beyond those that are kept were not told apart.
std::string others_label(std::size_t number, bool has_more);

struct TargetLine {
    std::string label;  ///< Harmless, at most target_columns wide.
    TargetSum sum;
};
/// The dearest targets of a reason, then all others in one, then "unknown". No lines where nothing
/// of it is known: why, unknown_lines() says.
std::vector<TargetLine> target_lines(const Targets& targets, Isa isa, std::uint32_t code);

/// A reason that has unknown targets.
struct UnknownTargets {
    std::string reason;  ///< Its label.
    std::string why;     ///< Raw.
};
/// "unknown targets: they have none (HLT, INVLPG)", a line for each cause; harmless.
std::vector<std::string> unknown_lines(const std::vector<UnknownTargets>& unknown);
std::vector<std::string> unknown_lines(const std::vector<ExitStats>& exits, Isa isa);

/// Whether exits were counted by target, be there exits or not.
bool counts_targets(const Snapshot& snapshot);

}  // namespace exittop
