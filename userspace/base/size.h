// SPDX-License-Identifier: GPL-2.0-only
// Sizes of memory as people write them: "64MiB", "128M", "1.5G"; a bare number is bytes.
#pragma once

#include <cstdint>
#include <expected>
#include <string_view>

namespace exittop {

/// From a byte to a tebibyte, in bytes. K, M and G are powers of 1024, as print_bytes() prints
/// them. The error continues a sentence that begins with the text: "is negative: ...".
[[nodiscard]] std::expected<std::uint64_t, std::string_view> parse_size(std::string_view text);

}  // namespace exittop
