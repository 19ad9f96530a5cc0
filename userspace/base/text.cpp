// SPDX-License-Identifier: GPL-2.0-only
// Sanitising and measuring text, printing numbers.
#include "base/text.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>
#include <utf8proc.h>

namespace exittop {

namespace {

constexpr std::string_view replacement = "\xef\xbf\xbd";  // U+FFFD
constexpr std::string_view ellipsis = "\xe2\x80\xa6";     // U+2026
constexpr unsigned kept_marks = 2;

struct CodePoint {
    utf8proc_int32_t value = 0;
    std::size_t bytes = 1;
    bool valid = false;
};

// The first code point of non-empty text; an invalid byte is taken alone.
CodePoint decode(std::string_view text) {
    CodePoint c;
    const auto bytes = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                        static_cast<utf8proc_ssize_t>(text.size()), &c.value);
    if (bytes < 1) return {};
    return {c.value, static_cast<std::size_t>(bytes), true};
}

// Columns; negative for characters that are invisible or change how others are shown: control and
// format characters, separators, fillers, variation selectors and tags, and what is not assigned.
int width_of(utf8proc_int32_t c) {
    switch (utf8proc_category(c)) {
        case UTF8PROC_CATEGORY_CN:
        case UTF8PROC_CATEGORY_CC:
        case UTF8PROC_CATEGORY_CF:
        case UTF8PROC_CATEGORY_CS:
        case UTF8PROC_CATEGORY_ZL:
        case UTF8PROC_CATEGORY_ZP: return -1;
        default: return utf8proc_get_property(c)->ignorable ? -1 : utf8proc_charwidth(c);
    }
}

std::size_t columns_of(const CodePoint& c) {
    return c.valid ? static_cast<std::size_t>(std::max(width_of(c.value), 0)) : 1;
}

std::string escape(utf8proc_int32_t c) {
    if (c < 0x80) return fmt::format("\\x{:02x}", static_cast<unsigned>(c));
    return fmt::format("<U+{:04X}>", static_cast<unsigned>(c));
}

std::string in_style(std::string_view style, std::string_view text, Color color) {
    if (color == Color::off || text.empty()) return std::string(text);
    return fmt::format("\x1b[{}m{}\x1b[0m", style, text);
}

// Three significant digits of a positive number below 1000.
std::string three_digits(double value) {
    if (value < 9.995) return fmt::format("{:.2f}", value);
    if (value < 99.95) return fmt::format("{:.1f}", value);
    return fmt::format("{:.0f}", value);
}

}  // namespace

std::string sanitise(std::string_view bytes) {
    std::string out;
    out.reserve(bytes.size());
    unsigned marks = kept_marks;  // None is kept before the first character.
    while (!bytes.empty()) {
        const CodePoint c = decode(bytes);
        const int width = c.valid ? width_of(c.value) : -1;
        const bool kept = width > 0 || (width == 0 && marks < kept_marks);
        marks = width == 0 ? marks + 1 : 0;
        if (kept) {
            out += bytes.substr(0, c.bytes);
        } else {
            out += c.valid ? escape(c.value) : std::string(replacement);
        }
        bytes.remove_prefix(c.bytes);
    }
    return out;
}

std::string sanitise(std::string_view bytes, std::size_t columns) {
    return fit(sanitise(bytes), columns);
}

std::size_t display_width(std::string_view text) {
    std::size_t columns = 0;
    while (!text.empty()) {
        const CodePoint c = decode(text);
        columns += columns_of(c);
        text.remove_prefix(c.bytes);
    }
    return columns;
}

std::string fit(std::string_view text, std::size_t columns) {
    if (display_width(text) <= columns) return std::string(text);
    if (columns == 0) return {};
    std::size_t used = 0;
    std::size_t kept = 0;
    while (kept < text.size()) {
        const CodePoint c = decode(text.substr(kept));
        if (used + columns_of(c) > columns - 1) break;
        used += columns_of(c);
        kept += c.bytes;
    }
    return std::string(text.substr(0, kept)) + std::string(ellipsis);
}

std::string pad(std::string_view text, std::size_t columns, Align align) {
    const std::size_t width = display_width(text);
    const std::string blanks(columns > width ? columns - width : 0, ' ');
    return align == Align::left ? std::string(text) + blanks : blanks + std::string(text);
}

std::vector<std::string> wrap(std::string_view text, std::size_t width) {
    std::vector<std::string> lines;
    while (text.size() > width) {
        const std::size_t blank = text.rfind(' ', width);
        const bool breaks = blank != std::string_view::npos && blank > 0;
        const std::size_t length = breaks ? blank : width;
        lines.emplace_back(text.substr(0, length));
        text.remove_prefix(length + (breaks ? 1 : 0));
    }
    lines.emplace_back(text);
    return lines;
}

std::string list_in_lines(std::string begin, const std::vector<std::string>& items,
                          std::size_t width, std::size_t indent) {
    std::string out;
    std::string line = std::move(begin);
    for (const std::string& item : items) {
        const bool is_last = &item == &items.back();
        const std::size_t needed = display_width(line) + 1 + item.size() + (is_last ? 0 : 1);
        const bool is_first = &item == &items.front();
        if (needed > width && !is_first) {
            out += line + "\n";
            line = std::string(indent, ' ') + item;
        } else {
            line += " " + item;
        }
        if (!is_last) line += ",";
    }
    return out + line + "\n";
}

std::string_view cut_bytes(std::string_view bytes, std::size_t limit) {
    if (bytes.size() <= limit) return bytes;
    std::size_t end = limit;
    // A sequence has at most three continuation bytes; more of them are not UTF-8.
    for (int back = 0; back < 3 && end > 0 && (bytes[end] & 0xc0) == 0x80; ++back) --end;
    return bytes.substr(0, (bytes[end] & 0xc0) == 0x80 ? limit : end);
}

std::string strong(std::string_view text, Color color) { return in_style("1", text, color); }
std::string alarming(std::string_view text, Color color) { return in_style("1;31", text, color); }

std::string lower_cased(std::string_view text) {
    std::string lower(text);
    std::ranges::transform(lower, lower.begin(), lower_case);
    return lower;
}

std::string group_digits(std::uint64_t value) {
    std::string digits = fmt::format("{}", value);
    for (std::size_t place = digits.size(); place > 3; place -= 3) digits.insert(place - 3, ",");
    return digits;
}

std::string print_ns(std::uint64_t ns) {
    if (ns < 1000) return fmt::format("{}ns", ns);
    struct Unit {
        double ns;
        double end;  // First printed value that needs the next unit.
        const char* name;
    };
    static constexpr std::array units = {
        Unit{1e3, 999.5, "us"},   Unit{1e6, 999.5, "ms"},   Unit{1e9, 599.5, "s"},
        Unit{60e9, 599.5, "min"}, Unit{3600e9, 99.95, "h"},
    };
    const auto value = static_cast<double>(ns);
    for (const Unit& unit : units) {
        if (value / unit.ns < unit.end) return three_digits(value / unit.ns) + unit.name;
    }
    const double days = value / 86400e9;
    return days < 999.5 ? three_digits(days) + "d" : fmt::format("{:.0f}d", days);
}

std::string print_rate(double per_second) {
    if (!(per_second > 0.0)) return "0";
    if (per_second < 99.95) return three_digits(per_second);
    return per_second < 1e18 ? group_digits(static_cast<std::uint64_t>(std::llround(per_second)))
                             : fmt::format("{:.3g}", per_second);
}

std::string print_seconds(double seconds) {
    if (seconds < 99.95 || !(seconds < 1e15)) return fmt::format("{:.3g} s", seconds);
    return group_digits(static_cast<std::uint64_t>(std::llround(seconds))) + " s";
}

std::string print_percent(double ratio) {
    if (ratio > 0.0 && ratio < 0.0005) return "<0.1%";
    return fmt::format("{:.1f}%", 100.0 * ratio);
}

std::string print_ratio(double ratio) {
    if (ratio > 0.0 && ratio < 0.01) return "<0.01x";
    return ratio < 10.0 ? fmt::format("{:.2f}x", ratio) : print_rate(ratio) + "x";
}

std::string print_bytes(std::uint64_t bytes) {
    static constexpr std::array units = {"B", "KiB", "MiB", "GiB"};
    if (bytes < 1024) return fmt::format("{} B", bytes);
    double value = static_cast<double>(bytes);
    std::size_t unit = 0;
    for (; value >= 1024 && unit + 1 < units.size(); ++unit) value /= 1024;
    return fmt::format("{:.1f} {}", value, units[unit]);
}

std::string print_number_of(std::uint64_t number, std::string_view noun) {
    return fmt::format("{} {}{}", group_digits(number), noun, number == 1 ? "" : "s");
}

}  // namespace exittop
