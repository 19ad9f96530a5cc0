// SPDX-License-Identifier: GPL-2.0-only
// What `exittop reasons` prints: the table of exit reasons, or the rows that a name or number
// picks.
#pragma once

#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/text.h"
#include "model/exit_reason.h"

namespace exittop {

/// Rows of the table, by ISA and then by code.
using ReasonRows = std::vector<const ExitReason*>;

struct ReasonQuery {
    std::optional<Isa> isa;  ///< Both if not given.
    std::string what;        ///< A name, a number in decimal or hex (0x), or empty for all.
};

/// The rows asked for; where there are none, an error (usage) that offers names like the one given.
std::expected<ReasonRows, Error> select_reasons(const ReasonQuery& query);

/// For people: what each reason means and, after an arrow, what to do; lines of at most `width`
/// columns (but never fewer than 40).
std::string reasons_table(const ReasonRows& rows, std::size_t width, Color color);

/// Lines of at most `width` columns (at least 8) with what a reason means and, after an arrow, what
/// to do.
std::vector<std::string> reason_text(const ExitReason& reason, std::size_t width);

/// For programs: isa, code in decimal, name, meaning, advice.
std::string reasons_csv(const ReasonRows& rows);

}  // namespace exittop
