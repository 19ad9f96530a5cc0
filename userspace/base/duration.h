// SPDX-License-Identifier: GPL-2.0-only
// Durations as people write them: "500ms", "5s", "1.5s", "2m", "1h"; a bare number is seconds.
// Needs nothing but the standard library, as exitleaf reads them too.
#pragma once

#include <chrono>
#include <expected>
#include <string>
#include <string_view>

namespace exittop {

/// From a nanosecond to ten years; or what is wrong with the text and what would be right, to be
/// read after the text: "is negative: ...".
[[nodiscard]] std::expected<std::chrono::nanoseconds, std::string_view> parse_duration(
    std::string_view text);

/// In the largest unit in which it is a whole number ("90s", "1h"), else in milliseconds. It reads
/// back as the same; where it is not a whole number of milliseconds, up to ten days.
std::string duration_text(std::chrono::nanoseconds duration);

}  // namespace exittop
