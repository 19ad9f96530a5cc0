// SPDX-License-Identifier: GPL-2.0-only
#include "option_values.h"

#include <charconv>
#include <cmath>
#include <system_error>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "fields.h"
#include "text.h"

namespace exittop {

namespace {

constexpr std::size_t shown_columns = 60;
constexpr double longest_seconds = 10.0 * 366 * 86400;
constexpr std::chrono::milliseconds shortest_delay{100};
constexpr std::chrono::seconds shortest_interval{1};

}  // namespace

std::string in_quotes(std::string_view typed) {
    return fmt::format("'{}'", sanitise(typed, shown_columns));
}

UsageError not_among(std::string_view option, std::string_view typed,
                     std::span<const std::string_view> words) {
    return {fmt::format("{} {} is none of {}", option, in_quotes(typed), fmt::join(words, ", "))};
}

std::string choose_sort(std::string_view typed) {
    if (find_field(typed) != nullptr) return std::string(typed);
    std::vector<std::string_view> keys;
    for (const Field& field : fields()) keys.push_back(field.key);
    throw not_among("--sort", typed, keys);
}

LeafMeanings choose_layout(std::string_view typed) {
    const auto found = std::ranges::find(leaf_layouts, typed, &LeafLayout::name);
    if (found != leaf_layouts.end()) return found->meanings;
    std::vector<std::string_view> names;
    for (const LeafLayout& layout : leaf_layouts) names.push_back(layout.name);
    throw not_among("--layout", typed, names);
}

std::uint32_t whole_number(std::string_view option, std::string_view typed, std::uint32_t most) {
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(typed.data(), typed.data() + typed.size(), number);
    if (error == std::errc{} && end == typed.data() + typed.size() && number >= 1 &&
        number <= most) {
        return number;
    }
    throw UsageError{
        fmt::format("{} {} is no whole number from 1 to {}", option, in_quotes(typed), most)};
}

std::chrono::nanoseconds duration_value(std::string_view option, std::string_view typed) {
    const auto duration = parse_duration(typed);
    if (!duration) throw UsageError{fmt::format("{} {}", option, duration.error())};
    return *duration;
}

std::chrono::nanoseconds delay_value(std::string_view typed) {
    const auto delay = duration_value("--delay", typed);
    if (delay >= shortest_delay) return delay;
    throw UsageError{fmt::format("--delay {} is too short: 0.1 at least", in_quotes(typed))};
}

std::chrono::nanoseconds interval_value(std::string_view typed) {
    const auto interval = duration_value("--interval", typed);
    if (interval >= shortest_interval) return interval;
    throw UsageError{fmt::format("--interval {} is too short: 1 at least", in_quotes(typed))};
}

std::string textfile_value(std::string_view typed) {
    if (typed == "-" || typed.ends_with(".prom")) return std::string(typed);
    throw UsageError{fmt::format("--textfile {} does not end in .prom: node_exporter would not "
                                 "read it",
                                 in_quotes(typed))};
}

std::expected<std::chrono::nanoseconds, std::string> parse_duration(std::string_view text) {
    const auto wrong = [text](std::string_view what) {
        return std::unexpected(fmt::format("{} {}", in_quotes(text), what));
    };
    double seconds = 0.0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (error == std::errc::result_out_of_range) return wrong("is out of range");
    if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(seconds)) {
        return wrong("is no number of seconds");
    }
    if (seconds < 0.0) return wrong("is negative");
    if (seconds < 1e-9) return wrong("is too short: nothing can be counted in no time");
    if (seconds > longest_seconds) return wrong("is more than ten years");
    return std::chrono::nanoseconds(std::llround(seconds * 1e9));
}

}  // namespace exittop
