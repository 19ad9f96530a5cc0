// SPDX-License-Identifier: GPL-2.0-only
#include "base/duration.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <system_error>

namespace exittop {

namespace {

using std::chrono::nanoseconds;

struct Unit {
    std::string_view name;
    std::int64_t ns;
};

constexpr std::array units = {
    Unit{"h", nanoseconds(std::chrono::hours(1)).count()},
    Unit{"m", nanoseconds(std::chrono::minutes(1)).count()},
    Unit{"s", nanoseconds(std::chrono::seconds(1)).count()},
    Unit{"ms", nanoseconds(std::chrono::milliseconds(1)).count()},
};
constexpr const Unit& second = units[2];
constexpr const Unit& millisecond = units[3];

constexpr nanoseconds longest = std::chrono::hours(24) * 366 * 10;

// Nothing, if there is no such unit.
const Unit* find_unit(std::string_view name) {
    if (name.empty()) return &second;
    const auto found = std::ranges::find(units, name, &Unit::name);
    return found != units.end() ? &*found : nullptr;
}

}  // namespace

std::expected<nanoseconds, std::string_view> parse_duration(std::string_view text) {
    const char* const text_begin = text.data();
    const char* const text_end = text_begin + text.size();
    double number = 0.0;
    const auto [number_end, error] = std::from_chars(text_begin, text_end, number);
    const Unit* unit = find_unit({number_end, text_end});
    const bool is_beyond = error == std::errc::result_out_of_range;
    if (unit == nullptr || !(is_beyond || (error == std::errc{} && std::isfinite(number)))) {
        return std::unexpected("is not a duration: 500ms, 5s, 2m, 1h, or a number of seconds");
    }
    if (is_beyond) return std::unexpected("is out of range: from a nanosecond to ten years");
    const double ns = number * static_cast<double>(unit->ns);
    if (ns < 0.0) return std::unexpected("is negative: a duration is more than 0");
    if (ns < 1.0) return std::unexpected("is too short: a nanosecond at least");
    if (ns > static_cast<double>(longest.count())) {
        return std::unexpected("is too long: ten years are the most");
    }
    return nanoseconds(std::llround(ns));
}

std::string duration_text(nanoseconds duration) {
    const std::int64_t ns = duration.count();
    for (const Unit& unit : units) {
        if (ns % unit.ns == 0) return std::to_string(ns / unit.ns).append(unit.name);
    }
    // The digits after the point: those of 1,000,000 plus the rest, without the leading 1.
    std::string fraction = std::to_string(millisecond.ns + ns % millisecond.ns).substr(1);
    fraction.resize(fraction.find_last_not_of('0') + 1);
    return std::to_string(ns / millisecond.ns)
        .append(".")
        .append(fraction)
        .append(millisecond.name);
}

}  // namespace exittop
