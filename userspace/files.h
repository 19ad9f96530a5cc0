// SPDX-License-Identifier: GPL-2.0-only
// Small files of /proc and /sys, and writing results: the seam to the file system.
#pragma once

#include <cstddef>
#include <expected>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "error.h"

namespace exittop {

/// Contents of a file, cut at `limit` bytes; nothing if it cannot be read.
std::optional<std::string> read_file(const std::filesystem::path& path, std::size_t limit = 65536);

/// First line of a file without its newline; nothing if it cannot be read.
std::optional<std::string> read_line(const std::filesystem::path& path);

/// Writes all of the text to stdout, or says why it did not arrive (closed, full disk).
std::expected<void, Error> write_stdout(std::string_view text);

/// One line on stderr, "exittop: TEXT".
void report(std::string_view text);

}  // namespace exittop
