// SPDX-License-Identifier: GPL-2.0-only
#include "output/batch_format.h"

#include <sstream>

#include <fmt/format.h>

#include "output/csv.h"
#include "output/json.h"

namespace exittop {

namespace {

std::string csv_lines(const Snapshot& interval, const TableOptions& options, bool is_first) {
    const std::string prefix =
        fmt::format("{},{:.3f},", csv_field(interval.taken_at), interval.duration_s);
    std::istringstream lines(to_csv(interval, options.per_vcpu));
    std::string line;
    std::getline(lines, line);
    std::string out = is_first ? "taken_at,duration_s," + line + "\n" : "";
    while (std::getline(lines, line)) out += prefix + line + "\n";  // Fields hold no line breaks.
    return out;
}

}  // namespace

std::string batch_text(const Snapshot& interval, Format format, const TableOptions& options,
                       bool is_first) {
    switch (format) {
        case Format::json: return to_json(interval);
        case Format::csv: return csv_lines(interval, options, is_first);
        case Format::table: break;
    }
    const std::string gap = is_first ? "" : "\n";
    return gap + strong(interval.taken_at, options.color) + "\n" + dump_table(interval, options);
}

}  // namespace exittop
