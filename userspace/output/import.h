// SPDX-License-Identifier: GPL-2.0-only
// Reads counts of exits that other programs printed as a run: kernel logs of patched kernels, CPUID
// leaves that guests printed, tables of both, and exittop's own CSV.
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "model/run.h"

namespace exittop {

struct ImportSettings {
    Isa isa = Isa::vmx;    ///< Whose numbers the reasons have.
    std::string column{};  ///< Of a table with several columns of counts: the heading of one.
    std::string label{};   ///< Of the run; empty: the heading of its column, where it has one.
};

/// The run in a text, or one line that says what is wrong with it and where. Three forms are known:
///
/// Lines that name a reason's number and its exits, whatever stands before, between and after
/// ("[ 9.1] exit number 48 exits = 35708", "CPUID(0x4FFFFFFE), exit number 48 exits= 35708",
/// "exit reason 48: 35708 exits"); of lines with the same number the last counts, as counters grow.
///
/// CSV: the reason's number or name first, then a column of counts for each run, with a heading;
/// lines that begin with # are comments.
///
/// CSV that exittop wrote itself, of dump or of batches, whose intervals are added up: that has its
/// VMs with their names and ISA, levels and times (csv_input.h), so `isa` and `column` are ignored.
std::expected<Run, std::string> import_counts(std::string_view text, const ImportSettings& options);

}  // namespace exittop
