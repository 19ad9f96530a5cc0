// SPDX-License-Identifier: GPL-2.0-only
// CSV read (RFC 4180): records, and the snapshots that to_csv() and batches wrote.
#pragma once

#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/snapshot.h"

namespace exittop {

struct CsvRecord {
    std::size_t line = 0;            ///< That it begins in, from 1 on.
    std::vector<std::string> cells;  ///< Without quotes; of those that have none, blanks and all.
};

/// Goes through a text record by record. Cells in quotes may hold commas, line breaks and, doubled,
/// quotes. Blanks around the quotes are no part of the cell; quotes within an unquoted one are.
class CsvReader {
public:
    explicit CsvReader(std::string_view text) : rest_(text) {}

    /// Whether lines that begin with # are skipped from here on; at first they are.
    void skip_comments(bool on) { has_comments_ = on; }
    /// The next record, nothing at the end, or what is wrong: "line 3: a quote is not closed".
    /// Empty lines are skipped.
    std::expected<std::optional<CsvRecord>, std::string> next();

private:
    void skip_lines();
    void finish_line();
    std::optional<std::string> read_quoted();
    std::string_view take(std::size_t size);

    std::string_view rest_;
    std::size_t line_ = 1;
    bool has_comments_ = false;
};

/// Whether a heading is that of to_csv(), possibly with other columns as well.
bool is_snapshot_heading(const std::vector<std::string>& heading);

/// The snapshot in such CSV, or one line that says what is wrong and where. It has no more than the
/// CSV: no histograms, and a VM that is not split by vCPU gets one vCPU with all exits. Intervals
/// are added up, and lines of targets are parts of their reason's. VMs with the same name, pid,
/// VMM, UUID and ISA are one.
std::expected<Snapshot, std::string> from_csv(std::string_view text);

}  // namespace exittop
