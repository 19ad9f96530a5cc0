// SPDX-License-Identifier: GPL-2.0-only
// What is known of the exits of one reason, field by field: how it is called, computed, printed and
// sorted. The one table that tables, CSV and JSON are made from.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/text.h"
#include "model/snapshot.h"

namespace exittop {

/// What a field's value is measured in; decides how it is printed.
enum class Unit { text, code, count, nanoseconds, ratio, per_second };

/// Nothing where a value is not known (the mean of exits that were not timed).
using Value = std::variant<std::monostate, std::uint64_t, double, std::string>;

/// What a field needs to know beyond the exits themselves.
struct FieldContext {
    Isa isa = Isa::unknown;
    std::uint64_t total_count = 0;  ///< Exits of the whole VM, for shares.
    double duration_s = 0.0;
};

struct Field {
    std::string_view key;        ///< As in --sort: "time".
    std::string_view data_name;  ///< In JSON and CSV: "time_ns". Empty: not among the data.
    std::string_view heading;    ///< In tables: "TIME".
    Unit unit;
    CountDetail needs;  ///< Nothing is known of it where less was counted.
    Value (*value)(const ExitStats&, const FieldContext&);
    /// Where the value is stored if it is no derived one; this is what files hold.
    std::uint64_t ExitStats::* stored;
    bool of_split = false;  ///< A part of the time: known where Snapshot::split.
};

/// Whether a snapshot can tell a field's values.
bool is_known(const Field& field, const Snapshot& snapshot);

/// All fields, in the order of a full table.
std::span<const Field> fields();
/// The field of a key, or nullptr.
const Field* find_field(std::string_view key);

/// For people: "2.41us", "1,234", "-".
std::string print_value(const Value& value, Unit unit);
/// For programs: plain numbers with full precision; empty if there is no value.
std::string plain_value(const Value& value);
Align alignment(Unit unit);

/// Name of a reason with its guest's level: "npf", "L2 CPUID".
std::string reason_label(Isa isa, const ExitStats& stats);

/// Exits of all reasons in one.
ExitStats sum_of(std::span<const ExitStats> exits);

/// Orders exits by a field: names ascending, numbers descending, unknown ones last; what is equal
/// stays in the order of count, then level and code.
void sort_exits(std::vector<ExitStats>& exits, const Field& by, const FieldContext& context);

}  // namespace exittop
