// SPDX-License-Identifier: GPL-2.0-only
// What is known of the exits of one reason, field by field: how it is called, computed, printed,
// sorted and summed up, and where it is shown. All lists of columns are made from this one table.
#pragma once

#include <cstdint>
#include <optional>
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

/// What becomes of a field where exits of several vCPUs, or times, are taken together.
enum class Combine { anew, sum, maximum };  // anew: computed from what was combined.

/// A column in the live view. Importance: the lower, the longer it stays where the terminal is
/// narrow; 0: it is not in that list.
struct LiveColumnSpace {
    std::size_t width = 0;
    int in_reasons = 0;  ///< Importance among the reasons of a VM,
    int in_vcpus = 0;    ///< and where one reason is shown by vCPU.
};

/// Where a field is shown: in the order of the fields, but for CSV.
struct Places {
    std::size_t table = 0;  ///< In tables, from this width of the terminal on.
    int csv = 0;            ///< Place among the columns of CSV, from 1; 0: none.
    LiveColumnSpace live{};
    /// The name of the part of the exits' time that it is: "VMM". Empty: it is none.
    std::string_view time_part{};
    char letter = '\0';  ///< Of that part, in bars.
};

/// Beside those of the parts, where a bar is of all time of the vCPUs.
inline constexpr char guest_letter = 'G';

struct Field {
    std::string_view key;        ///< As in --sort: "time".
    std::string_view data_name;  ///< In JSON and CSV: "time_ns". Empty: not among the data.
    std::string_view heading;    ///< In tables: "TIME".
    std::string_view meaning;    ///< In the live view's sort picker. Empty: not there.
    Unit unit;
    CountDetail needs;  ///< Nothing is known of it where less was counted.
    Combine combine;
    std::uint64_t ExitStats::* stored;  ///< What files hold; nullptr: it follows from others.
    Value (*derived)(const ExitStats&, const FieldContext&);  ///< nullptr: as it is stored.
    Places places{};
    TimeParts parts{};  ///< It is known where one of these is; empty: it is made from none.

    [[nodiscard]] Value value(const ExitStats& stats, const FieldContext& context) const {
        return derived != nullptr ? derived(stats, context) : Value(stats.*stored);
    }
    [[nodiscard]] constexpr bool sums_up() const { return combine == Combine::sum; }
    [[nodiscard]] bool is_time_part() const { return !places.time_part.empty(); }
};

/// Whether a field's values can be told where these parts of the time are known,
bool is_known(const Field& field, TimeParts known);
/// and whether a snapshot can tell them.
bool is_known(const Field& field, const SnapshotInfo& snapshot);
/// Makes parts of the time 0 that are not known after all.
void clear_unknown_parts(Snapshot& snapshot);

/// All fields, in the order of a full table.
std::span<const Field> fields();
/// The field of a key, or nullptr.
const Field* find_field(std::string_view key);

template <typename Number>
Value value_of(const std::optional<Number>& known) {
    return known ? Value(*known) : Value();
}
/// Nothing of texts, and of what is not known.
std::optional<double> number_of(const Value& value);

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
