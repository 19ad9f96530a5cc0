// SPDX-License-Identifier: GPL-2.0-only
// Small files of /proc and /sys, and writing results: the seam to the file system.
#pragma once

#include <cstddef>
#include <expected>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace exittop {

/// Contents of a file, cut at `limit` bytes; nothing if it cannot be read.
std::optional<std::string> read_file(const std::filesystem::path& path, std::size_t limit = 65536);

/// All of a file that a user named, up to 256 MiB, or an error.
std::expected<std::string, Error> read_input(const std::filesystem::path& path);

/// First line of a file without its newline; nothing if it cannot be read.
std::optional<std::string> read_line(const std::filesystem::path& path);

/// Writes all of the text to stdout, or returns why it failed (closed, full disk).
std::expected<void, Error> write_stdout(std::string_view text);

/// An error if stdout is a pipe that nobody reads any more.
std::expected<void, Error> check_stdout();

/// An error if write_file() would refuse, to report it before the work. For commands that have
/// --force.
std::expected<void, Error> check_writable(const std::filesystem::path& path, bool overwrite);

/// Writes a file atomically, through a temporary file in the same folder whose name ends in ".tmp".
/// An existing file is replaced only if wanted, and only if it is a regular file. Follows symbolic
/// links, but not those of other users in folders that everyone can write to (file_place.h).
std::expected<void, Error> write_file(const std::filesystem::path& path, std::string_view text,
                                      bool overwrite);

/// The same for a file that is rewritten again and again while others read it: the mode is always
/// 0644, and the temporary file always has the same name, so that a file left by a killed process
/// is replaced.
std::expected<void, Error> publish_file(const std::filesystem::path& path, std::string_view text);

/// Removes such a file if it still exists.
void withdraw_file(const std::filesystem::path& path);

/// Creates a folder and its parents if they do not exist; follows the same links.
std::expected<void, Error> make_folder(const std::filesystem::path& path);

/// One line on stderr, "exittop: TEXT". Allocates no memory, so destructors may use it.
void report(std::string_view text) noexcept;

}  // namespace exittop
