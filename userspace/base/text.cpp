// SPDX-License-Identifier: GPL-2.0-only
// Sanitising and measuring text, printing numbers.
#include "base/text.h"

#include <algorithm>
#include <array>
#include <clocale>
#include <cmath>
#include <cwchar>

#include <fmt/format.h>

namespace exittop {

namespace {

constexpr std::string_view replacement = "\xef\xbf\xbd";  // U+FFFD
constexpr std::string_view ellipsis = "\xe2\x80\xa6";     // U+2026
constexpr unsigned kept_marks = 2;

struct CodePoint {
    char32_t value = 0;
    std::size_t bytes = 1;
    bool valid = false;
};

// What a UTF-8 lead byte announces: bytes of the sequence (0 = no lead byte) and its lowest value.
struct Lead {
    std::size_t bytes;
    char32_t bits;
    char32_t lowest;
};

Lead read_lead(unsigned char byte) {
    if (byte < 0x80) return {1, byte, 0};
    if (byte >= 0xc2 && byte < 0xe0) return {2, byte & 0x1fU, 0x80};
    if (byte >= 0xe0 && byte < 0xf0) return {3, byte & 0x0fU, 0x800};
    if (byte >= 0xf0 && byte < 0xf5) return {4, byte & 0x07U, 0x10000};
    return {0, 0, 0};
}

// The first code point of non-empty text; an invalid byte is taken alone.
CodePoint decode(std::string_view text) {
    const Lead lead = read_lead(static_cast<unsigned char>(text[0]));
    if (lead.bytes == 0 || lead.bytes > text.size()) return {};
    char32_t value = lead.bits;
    for (const char c : text.substr(1, lead.bytes - 1)) {
        const auto byte = static_cast<unsigned char>(c);
        if ((byte & 0xc0) != 0x80) return {};
        value = (value << 6) | (byte & 0x3fU);
    }
    const bool surrogate = value >= 0xd800 && value < 0xe000;
    if (value < lead.lowest || value > 0x10ffff || surrogate) return {};
    return {value, lead.bytes, true};
}

// Characters that show nothing or change how others are shown: Unicode's format characters (Cf),
// line and paragraph separators, fillers, variation selectors and tags.
bool is_invisible(char32_t c) {
    struct Range {
        char32_t first, last;
    };
    static constexpr std::array ranges = {
        Range{0x00ad, 0x00ad},   Range{0x034f, 0x034f},   Range{0x0600, 0x0605},
        Range{0x061c, 0x061c},   Range{0x06dd, 0x06dd},   Range{0x070f, 0x070f},
        Range{0x0890, 0x0891},   Range{0x08e2, 0x08e2},   Range{0x115f, 0x1160},
        Range{0x17b4, 0x17b5},   Range{0x180b, 0x180f},   Range{0x200b, 0x200f},
        Range{0x2028, 0x202e},   Range{0x2060, 0x206f},   Range{0x3164, 0x3164},
        Range{0xfe00, 0xfe0f},   Range{0xfeff, 0xfeff},   Range{0xffa0, 0xffa0},
        Range{0xfff0, 0xfffb},   Range{0x110bd, 0x110bd}, Range{0x110cd, 0x110cd},
        Range{0x13430, 0x1345f}, Range{0x1bca0, 0x1bca3}, Range{0x1d173, 0x1d17a},
        Range{0xe0000, 0xe0fff},
    };
    return std::ranges::any_of(ranges, [c](Range r) { return c >= r.first && c <= r.last; });
}

// wcwidth() answers for the thread's locale, and the user's may be any: C.UTF-8 is set while an
// object lives. Where libc has no such locale only ASCII has a width, and the rest is escaped.
class Utf8Locale {
public:
    Utf8Locale() : before_(uselocale(utf8())) {}
    ~Utf8Locale() { uselocale(before_); }
    Utf8Locale(const Utf8Locale&) = delete;
    Utf8Locale& operator=(const Utf8Locale&) = delete;

    // Columns; negative for what no font may be expected to show.
    [[nodiscard]] int width(char32_t c) const {
        if (c < 0x80) return c >= 0x20 && c != 0x7f ? 1 : -1;
        return utf8() != nullptr ? wcwidth(static_cast<wchar_t>(c)) : -1;
    }

private:
    static locale_t utf8() {
        static const locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
        return locale;
    }
    locale_t before_;
};

std::string escape(char32_t c) {
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
    const Utf8Locale locale;
    std::string out;
    out.reserve(bytes.size());
    unsigned marks = kept_marks;  // None is kept before the first character.
    while (!bytes.empty()) {
        const CodePoint c = decode(bytes);
        const int width = c.valid && !is_invisible(c.value) ? locale.width(c.value) : -1;
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
    const Utf8Locale locale;
    std::size_t columns = 0;
    while (!text.empty()) {
        const CodePoint c = decode(text);
        columns += c.valid ? static_cast<std::size_t>(std::max(locale.width(c.value), 0)) : 1;
        text.remove_prefix(c.bytes);
    }
    return columns;
}

std::string fit(std::string_view text, std::size_t columns) {
    if (display_width(text) <= columns) return std::string(text);
    if (columns == 0) return {};
    const Utf8Locale locale;
    std::size_t used = 0;
    std::size_t kept = 0;
    while (kept < text.size()) {
        const CodePoint c = decode(text.substr(kept));
        const auto width = c.valid ? static_cast<std::size_t>(std::max(locale.width(c.value), 0))
                                   : std::size_t{1};
        if (used + width > columns - 1) break;
        used += width;
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

std::string_view cut_bytes(std::string_view bytes, std::size_t limit) {
    if (bytes.size() <= limit) return bytes;
    std::size_t end = limit;
    // A sequence has at most three continuation bytes; more of them is no UTF-8 anyway.
    for (int back = 0; back < 3 && end > 0 && (bytes[end] & 0xc0) == 0x80; ++back) --end;
    return bytes.substr(0, (bytes[end] & 0xc0) == 0x80 ? limit : end);
}

std::string strong(std::string_view text, Color color) { return in_style("1", text, color); }
std::string alarming(std::string_view text, Color color) { return in_style("1;31", text, color); }

std::string group_digits(std::uint64_t value) {
    std::string digits = fmt::format("{}", value);
    for (std::size_t place = digits.size(); place > 3; place -= 3) digits.insert(place - 3, ",");
    return digits;
}

std::string print_ns(std::uint64_t ns) {
    if (ns < 1000) return fmt::format("{}ns", ns);
    struct Unit {
        double ns;
        double end;  // First printed value that is left to the next unit.
        const char* name;
    };
    static constexpr std::array units = {
        Unit{1e3, 999.5, "us"},       Unit{1e6, 999.5, "ms"}, Unit{1e9, 599.5, "s"},
        Unit{60e9, 599.5, "min"},     Unit{3600e9, 99.95, "h"},
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
