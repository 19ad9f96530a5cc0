// SPDX-License-Identifier: GPL-2.0-only
// Durations as people write them: "500ms", "5s", "1.5s", "2m", "1h"; a bare number is seconds.
// Needs only the standard library, because exitleaf uses it too.
#pragma once

#include <chrono>
#include <expected>
#include <string>
#include <string_view>

namespace exittop {

/// From a nanosecond to ten years. The error continues a sentence that begins with the text: "is
/// negative: ...".
[[nodiscard]] std::expected<std::chrono::nanoseconds, std::string_view> parse_duration(
    std::string_view text);

/// In the largest unit in which it is a whole number ("90s", "1h"), else in milliseconds. It can be
/// read back exactly; if it is not a whole number of milliseconds, only up to ten days.
std::string duration_text(std::chrono::nanoseconds duration);

}  // namespace exittop
