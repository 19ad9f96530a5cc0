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

/// All of a file that a user named, up to 256 MiB, or why it cannot be had.
std::expected<std::string, Error> read_input(const std::filesystem::path& path);

/// First line of a file without its newline; nothing if it cannot be read.
std::optional<std::string> read_line(const std::filesystem::path& path);

/// Writes all of the text to stdout, or says why it did not arrive (closed, full disk).
std::expected<void, Error> write_stdout(std::string_view text);

/// An error if stdout is a pipe that nobody reads any more.
std::expected<void, Error> check_stdout();

/// An error if write_file() would refuse: to be told before the work rather than after it. For
/// commands that have --force.
std::expected<void, Error> check_writable(const std::filesystem::path& path, bool overwrite);

/// Writes a file that is there in full or, where this fails, as it was before: by a temporary file
/// in the same folder, whose name ends in ".tmp". A file that exists is replaced only if wanted,
/// and what is not a regular file never. Through symbolic links, but not those that somebody else
/// put into a folder that everyone can write to (file_place.h).
std::expected<void, Error> write_file(const std::filesystem::path& path, std::string_view text,
                                      bool overwrite);

/// The same for a file that others read while it is written again and again: always 0644, and with
/// a temporary file of always the same name, so that one that a killed process left does not stay.
std::expected<void, Error> publish_file(const std::filesystem::path& path, std::string_view text);

/// Removes such a file, where it is still there.
void withdraw_file(const std::filesystem::path& path);

/// Makes a folder, and those that it lies in, where it is not there; through the same links.
std::expected<void, Error> make_folder(const std::filesystem::path& path);

/// One line on stderr, "exittop: TEXT". For destructors, too: takes no memory.
void report(std::string_view text) noexcept;

}  // namespace exittop
