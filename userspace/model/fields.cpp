// SPDX-License-Identifier: GPL-2.0-only
// The table of fields and what works on it.
#include "model/fields.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include <fmt/format.h>

namespace exittop {

namespace {

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

Value mean_cpu_value(const ExitStats& stats, const FieldContext&) {
    if (stats.count == 0 || stats.time_ns == 0) return {};
    return on_cpu_ns(stats) / stats.count;
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

// What of the time was spent in none of its other parts.
Value kernel_value(const ExitStats& stats, const FieldContext&) {
    std::uint64_t rest = stats.time_ns;
    for (const Field& field : fields()) {
        if (field.is_time_part() && field.stored != nullptr) {
            rest = saturating_subtract(rest, stats.*field.stored);
        }
    }
    return rest;
}

constexpr std::size_t wide = 100;
constexpr std::size_t never = std::numeric_limits<std::size_t>::max();

constexpr std::array table = {
    Field{"name", "", "REASON", "name", Unit::text, CountDetail::count, Combine::anew, nullptr,
          reason_value},
    Field{"code", "", "CODE", "", Unit::code, CountDetail::count, Combine::anew, nullptr,
          code_value, Places{.table = never}},
    Field{"count", "count", "COUNT", "exits", Unit::count, CountDetail::count, Combine::sum,
          &ExitStats::count, nullptr, Places{.csv = 1, .live = {9, 1, 1}}},
    Field{"share", "", "SHARE", "", Unit::ratio, CountDetail::count, Combine::anew, nullptr,
          share_value, Places{.live = {6, 4, 0}}},
    Field{"rate", "rate", "RATE/s", "exits per second", Unit::per_second, CountDetail::count,
          Combine::anew, nullptr, rate_value},
    Field{"time", "time_ns", "TIME", "time", Unit::nanoseconds, CountDetail::time, Combine::sum,
          &ExitStats::time_ns, nullptr, Places{.csv = 2, .live = {7, 2, 2}}},
    Field{"kernel", "kernel_ns", "KERNEL", "time in kernel", Unit::nanoseconds, CountDetail::time,
          Combine::sum, nullptr, kernel_value,
          Places{.table = wide, .live = {8, 8, 6}, .time_part = "kernel", .letter = 'K'},
          TimeParts{TimePart::vmm}},
    Field{"vmm", "vmm_ns", "VMM", "time in VMM", Unit::nanoseconds, CountDetail::time, Combine::sum,
          &ExitStats::vmm_ns, nullptr,
          Places{.table = wide, .csv = 4, .live = {7, 9, 7}, .time_part = "VMM", .letter = 'V'},
          TimeParts{TimePart::vmm}},
    Field{
        "polled", "polled_ns", "POLLED", "time polled", Unit::nanoseconds, CountDetail::time,
        Combine::sum, &ExitStats::polled_ns, nullptr,
        Places{.table = wide, .csv = 9, .live = {8, 13, 10}, .time_part = "polled", .letter = 'P'},
        TimeParts{TimePart::polled}},
    Field{
        "preempted", "preempted_ns", "PREEMPTED", "time without a CPU", Unit::nanoseconds,
        CountDetail::time, Combine::sum, &ExitStats::preempted_ns, nullptr,
        Places{
            .table = wide, .csv = 10, .live = {11, 11, 9}, .time_part = "preempted", .letter = 'W'},
        TimeParts{TimePart::preempted}},
    Field{"halted", "halted_ns", "HALTED", "time halted", Unit::nanoseconds, CountDetail::time,
          Combine::sum, &ExitStats::halted_ns, nullptr,
          Places{.table = wide, .csv = 5, .live = {8, 12, 8}, .time_part = "halted", .letter = 'H'},
          TimeParts{TimePart::halted}},
    Field{"blocked", "blocked_ns", "BLOCKED", "time blocked", Unit::nanoseconds, CountDetail::time,
          Combine::sum, &ExitStats::blocked_ns, nullptr,
          Places{
              .table = wide, .csv = 11, .live = {9, 14, 11}, .time_part = "blocked", .letter = 'B'},
          TimeParts{TimePart::blocked}},
    Field{"mean", "mean_ns", "MEAN", "mean time", Unit::nanoseconds, CountDetail::time,
          Combine::anew, nullptr, mean_value, Places{.csv = 6, .live = {6, 3, 3}}},
    Field{"mean_cpu", "mean_cpu_ns", "CPU MEAN", "mean time on a CPU", Unit::nanoseconds,
          CountDetail::time, Combine::anew, nullptr, mean_cpu_value,
          Places{.table = wide, .csv = 12}, off_cpu_parts},
    Field{"p50", "p50_ns", "P50", "median time", Unit::nanoseconds, CountDetail::histogram,
          Combine::anew, nullptr, percentile_value<50>, Places{.csv = 7, .live = {6, 6, 5}}},
    Field{"p99", "p99_ns", "P99", "99th percentile", Unit::nanoseconds, CountDetail::histogram,
          Combine::anew, nullptr, percentile_value<99>, Places{.csv = 8, .live = {6, 5, 4}}},
    Field{"max", "max_ns", "MAX", "longest time", Unit::nanoseconds, CountDetail::time,
          Combine::maximum, &ExitStats::max_ns, max_value, Places{.csv = 3, .live = {6, 7, 7}}},
};

// Unknown values are less than any known one.
double as_number(const Value& value) { return number_of(value).value_or(-1.0); }

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

bool is_known(const Field& field, TimeParts known) {
    return field.parts.empty() || !(field.parts & known).empty();
}

bool is_known(const Field& field, const SnapshotInfo& snapshot) {
    return field.needs <= snapshot.detail && is_known(field, snapshot.known_parts);
}

void clear_unknown_parts(Snapshot& snapshot) {
    for (const Field& field : fields()) {
        if (field.stored == nullptr || is_known(field, snapshot.known_parts)) continue;
        for (Vm& vm : snapshot.vms) {
            for (Vcpu& vcpu : vm.vcpus) {
                for (ExitStats& stats : vcpu.exits) stats.*field.stored = 0;
            }
        }
    }
}

const Field* find_field(std::string_view key) {
    const auto* found = std::ranges::find(table, key, &Field::key);
    return found == table.end() ? nullptr : found;
}

std::optional<double> number_of(const Value& value) {
    if (const auto* whole = std::get_if<std::uint64_t>(&value)) return static_cast<double>(*whole);
    if (const auto* real = std::get_if<double>(&value)) return *real;
    return std::nullopt;
}

std::string print_value(const Value& value, Unit unit) {
    if (std::holds_alternative<std::monostate>(value)) return "-";
    if (const auto* text = std::get_if<std::string>(&value)) return *text;
    if (const auto* real = std::get_if<double>(&value)) {
        if (unit == Unit::nanoseconds) {
            return print_ns(static_cast<std::uint64_t>(std::llround(std::min(*real, 9e18))));
        }
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
