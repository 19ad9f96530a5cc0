// SPDX-License-Identifier: GPL-2.0-only
// Whole numbers: sums that stay in range, and numbers in text.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>
#include <system_error>

namespace exittop {

/// Sum that stays at the highest value where it would overflow: counts come from files, too.
constexpr std::uint64_t saturating_add(std::uint64_t a, std::uint64_t b) {
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/// Difference that stays at zero where it would be negative: counts that seem to go back do not
/// become huge ones.
constexpr std::uint64_t saturating_subtract(std::uint64_t a, std::uint64_t b) {
    return a > b ? a - b : 0;
}

/// The number that a text begins with, which is taken off the text; none, and the text as it was,
/// where there is no digit or the number is out of range. No sign, blank or "0x" before it.
template <typename Number>
std::optional<Number> take_number(std::string_view& text, int base = 10) {
    Number number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
    if (error != std::errc{}) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return number;
}

/// The number that is all of a text.
template <typename Number>
std::optional<Number> parse_number(std::string_view text, int base = 10) {
    const auto number = take_number<Number>(text, base);
    return text.empty() ? number : std::nullopt;
}

}  // namespace exittop
