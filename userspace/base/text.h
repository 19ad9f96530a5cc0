// SPDX-License-Identifier: GPL-2.0-only
// Text for terminals: sanitising untrusted text, counting columns, numbers with units.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace exittop {

/// Whether escape sequences for colour are written. Colour only repeats what the words say.
enum class Color { off, on };
enum class Align { left, right };

/// Longest name of a VM that is kept, and the columns it gets in a table.
inline constexpr std::size_t name_bytes = 1024;
inline constexpr std::size_t name_columns = 64;

/// UTF-8 that a terminal only prints: control characters become "\x1b",
/// invalid bytes U+FFFD, and what is invisible or reorders text (zero width, bidi) "<U+202E>".
/// Two combining marks per character are kept, so that names stay names.
std::string sanitise(std::string_view bytes);
/// The same, cut to `columns` with an ellipsis.
std::string sanitise(std::string_view bytes, std::size_t columns);

/// Columns that sanitised text takes on a terminal; wide characters take two.
std::size_t display_width(std::string_view text);
/// Sanitised text cut to `columns`, the last of them an ellipsis where something was cut.
std::string fit(std::string_view text, std::size_t columns);
/// Sanitised text with blanks up to `columns`; longer text stays as it is.
std::string pad(std::string_view text, std::size_t columns, Align align);

/// Lines of whole words, each at most `width` columns, of plain ASCII.
std::vector<std::string> wrap(std::string_view text, std::size_t width);

/// Items behind a beginning, separated by commas, in lines of at most `width` columns, each ended
/// by a newline; from the second on they are indented. An item is never broken, and is plain ASCII.
std::string list_in_lines(std::string begin, const std::vector<std::string>& items,
                          std::size_t width, std::size_t indent);

/// At most `limit` bytes of raw text, cut before a UTF-8 sequence rather than within it.
std::string_view cut_bytes(std::string_view bytes, std::size_t limit);

/// Text in bold (headings, names) or bold red (warnings) where colour is on.
std::string strong(std::string_view text, Color color);
std::string alarming(std::string_view text, Color color);

/// ASCII letters in lower case; other bytes stay as they are.
constexpr char lower_case(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
std::string lower_cased(std::string_view text);

/// "1,234,567"
std::string group_digits(std::uint64_t value);
/// Three digits and a unit: "812ns", "2.41us", "24.1ms", "3.05s", "12.5min", "30.2h", "45.1d".
std::string print_ns(std::uint64_t ns);
/// A rate: "0.25", "13.9", "1,567".
std::string print_rate(double per_second);
/// Seconds of counting, for people: "10 s", "2.5 s".
std::string print_seconds(double seconds);
/// A ratio as "45.2%"; less than 0.05% but not zero is "<0.1%".
std::string print_percent(double ratio);
/// How many times as much: "1.52x", "23.2x", "<0.01x".
std::string print_ratio(double ratio);
/// Memory: "512 B", "33.6 MiB".
std::string print_bytes(std::uint64_t bytes);
/// "1 vCPU", "2 vCPUs".
std::string print_number_of(std::uint64_t number, std::string_view noun);

}  // namespace exittop
