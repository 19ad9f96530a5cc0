// SPDX-License-Identifier: GPL-2.0-only
#include "base/size.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <system_error>

namespace exittop {

namespace {

struct SizeUnit {
    std::string_view name;
    std::uint64_t bytes;
};

constexpr std::array size_units = {
    SizeUnit{"", 1},           SizeUnit{"B", 1},          SizeUnit{"K", 1U << 10},
    SizeUnit{"KiB", 1U << 10}, SizeUnit{"M", 1U << 20},   SizeUnit{"MiB", 1U << 20},
    SizeUnit{"G", 1U << 30},   SizeUnit{"GiB", 1U << 30},
};

// Below it, a number of bytes is exact as a double.
constexpr std::uint64_t largest_size = std::uint64_t{1} << 40;

}  // namespace

std::expected<std::uint64_t, std::string_view> parse_size(std::string_view text) {
    const char* const text_begin = text.data();
    const char* const text_end = text_begin + text.size();
    double number = 0.0;
    const auto [number_end, error] = std::from_chars(text_begin, text_end, number);
    const auto unit =
        std::ranges::find(size_units, std::string_view(number_end, text_end), &SizeUnit::name);
    const bool is_beyond = error == std::errc::result_out_of_range;
    if (unit == size_units.end() ||
        !(is_beyond || (error == std::errc{} && std::isfinite(number)))) {
        return std::unexpected("is not a size: 64MiB, 128M, 1G, or a number of bytes");
    }
    if (is_beyond) return std::unexpected("is out of range: from a byte to 1024GiB");
    const double bytes = number * static_cast<double>(unit->bytes);
    if (bytes < 0.0) return std::unexpected("is negative: a size is more than 0");
    if (bytes < 1.0) return std::unexpected("is too small: a byte at least");
    if (bytes > static_cast<double>(largest_size)) {
        return std::unexpected("is too large: 1024GiB are the most");
    }
    return static_cast<std::uint64_t>(bytes);
}

}  // namespace exittop
