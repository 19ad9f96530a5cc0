// SPDX-License-Identifier: GPL-2.0-only
// The table of fields and what works on it.
#include "model/fields.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

namespace exittop {

namespace {

template <std::uint64_t ExitStats::* member>
Value stored_value(const ExitStats& stats, const FieldContext&) {
    return stats.*member;
}

Value reason_value(const ExitStats& stats, const FieldContext& context) {
    return reason_label(context.isa, stats);
}

Value code_value(const ExitStats& stats, const FieldContext&) { return std::uint64_t{stats.code}; }

Value share_value(const ExitStats& stats, const FieldContext& context) {
    if (context.total_count == 0) return {};
    return static_cast<double>(stats.count) / static_cast<double>(context.total_count);
}

Value rate_value(const ExitStats& stats, const FieldContext& context) {
    if (!(context.duration_s > 0.0)) return {};
    return static_cast<double>(stats.count) / context.duration_s;
}

Value mean_value(const ExitStats& stats, const FieldContext&) {
    if (stats.count == 0 || stats.time_ns == 0) return {};
    return stats.time_ns / stats.count;
}

// Where nothing happened, the longest time is not 0 but unknown.
Value max_value(const ExitStats& stats, const FieldContext&) {
    if (stats.count == 0) return {};
    return stats.max_ns;
}

template <int percent>
Value percentile_value(const ExitStats& stats, const FieldContext&) {
    if (stats.histogram.empty()) return {};
    return stats.histogram.percentile(percent / 100.0, stats.max_ns);
}

Value kernel_value(const ExitStats& stats, const FieldContext&) {
    const std::uint64_t elsewhere = saturating_add(stats.vmm_ns, stats.halted_ns);
    return stats.time_ns > elsewhere ? stats.time_ns - elsewhere : std::uint64_t{0};
}

constexpr std::array table = {
    Field{"name", "", "REASON", Unit::text, CountDetail::count, reason_value, nullptr},
    Field{"code", "", "CODE", Unit::code, CountDetail::count, code_value, nullptr},
    Field{"count", "count", "COUNT", Unit::count, CountDetail::count,
          stored_value<&ExitStats::count>, &ExitStats::count},
    Field{"share", "", "SHARE", Unit::ratio, CountDetail::count, share_value, nullptr},
    Field{"rate", "", "RATE/s", Unit::per_second, CountDetail::count, rate_value, nullptr},
    Field{"time", "time_ns", "TIME", Unit::nanoseconds, CountDetail::time,
          stored_value<&ExitStats::time_ns>, &ExitStats::time_ns},
    Field{"kernel", "", "KERNEL", Unit::nanoseconds, CountDetail::time, kernel_value, nullptr,
          true},
    Field{"vmm", "vmm_ns", "VMM", Unit::nanoseconds, CountDetail::time,
          stored_value<&ExitStats::vmm_ns>, &ExitStats::vmm_ns, true},
    Field{"halted", "halted_ns", "HALTED", Unit::nanoseconds, CountDetail::time,
          stored_value<&ExitStats::halted_ns>, &ExitStats::halted_ns, true},
    Field{"mean", "mean_ns", "MEAN", Unit::nanoseconds, CountDetail::time, mean_value, nullptr},
    Field{"p50", "p50_ns", "P50", Unit::nanoseconds, CountDetail::histogram, percentile_value<50>,
          nullptr},
    Field{"p99", "p99_ns", "P99", Unit::nanoseconds, CountDetail::histogram, percentile_value<99>,
          nullptr},
    Field{"max", "max_ns", "MAX", Unit::nanoseconds, CountDetail::time, max_value,
          &ExitStats::max_ns},
};

// Unknown values are less than any known one.
double as_number(const Value& value) {
    if (const auto* whole = std::get_if<std::uint64_t>(&value)) return static_cast<double>(*whole);
    if (const auto* real = std::get_if<double>(&value)) return *real;
    return -1.0;
}

bool ordered(const Value& a, const Value& b) {
    const auto* name_a = std::get_if<std::string>(&a);
    const auto* name_b = std::get_if<std::string>(&b);
    if (name_a != nullptr && name_b != nullptr) return *name_a < *name_b;
    const auto* whole_a = std::get_if<std::uint64_t>(&a);
    const auto* whole_b = std::get_if<std::uint64_t>(&b);
    if (whole_a != nullptr && whole_b != nullptr) return *whole_a > *whole_b;
    return as_number(a) > as_number(b);
}

}  // namespace

std::span<const Field> fields() { return table; }

bool is_known(const Field& field, const Snapshot& snapshot) {
    return field.needs <= snapshot.detail && (snapshot.split || !field.of_split);
}

const Field* find_field(std::string_view key) {
    const auto* found = std::ranges::find(table, key, &Field::key);
    return found == table.end() ? nullptr : found;
}

std::string print_value(const Value& value, Unit unit) {
    if (std::holds_alternative<std::monostate>(value)) return "-";
    if (const auto* text = std::get_if<std::string>(&value)) return *text;
    if (const auto* real = std::get_if<double>(&value)) {
        return unit == Unit::ratio ? print_percent(*real) : print_rate(*real);
    }
    const auto whole = std::get<std::uint64_t>(value);
    if (unit == Unit::nanoseconds) return print_ns(whole);
    return unit == Unit::code ? fmt::format("{:#x}", whole) : group_digits(whole);
}

std::string plain_value(const Value& value) {
    if (const auto* text = std::get_if<std::string>(&value)) return *text;
    if (const auto* real = std::get_if<double>(&value)) return fmt::format("{}", *real);
    if (const auto* whole = std::get_if<std::uint64_t>(&value)) return fmt::format("{}", *whole);
    return {};
}

Align alignment(Unit unit) { return unit == Unit::text ? Align::left : Align::right; }

std::string reason_label(Isa isa, const ExitStats& stats) {
    const std::string name = exit_reason_name(isa, stats.code);
    return stats.level == GuestLevel::l2 ? "L2 " + name : name;
}

ExitStats sum_of(std::span<const ExitStats> exits) {
    ExitStats sum;
    for (const ExitStats& stats : exits) sum += stats;
    return sum;
}

void sort_exits(std::vector<ExitStats>& exits, const Field& by, const FieldContext& context) {
    struct Keyed {
        Value key;
        ExitStats stats;
    };
    std::vector<Keyed> keyed;  // A percentile is not computed anew for every comparison.
    keyed.reserve(exits.size());
    for (ExitStats& stats : exits) {
        Value key = by.value(stats, context);
        keyed.push_back({std::move(key), std::move(stats)});
    }
    std::ranges::sort(keyed, [](const Keyed& a, const Keyed& b) {
        if (ordered(a.key, b.key)) return true;
        if (ordered(b.key, a.key)) return false;
        if (a.stats.count != b.stats.count) return a.stats.count > b.stats.count;
        return key_of(a.stats) < key_of(b.stats);
    });
    for (std::size_t i = 0; i < exits.size(); ++i) exits[i] = std::move(keyed[i].stats);
}

}  // namespace exittop
