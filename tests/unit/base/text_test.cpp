// SPDX-License-Identifier: GPL-2.0-only
#include "base/text.h"

#include <string>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "output/grid.h"

namespace exittop {
namespace {

using namespace std::string_literals;

TEST(LowerCase, IsOfAsciiAlone) {
    EXPECT_EQ(lower_cased("EPT_Violation-9 \u00c4"), "ept_violation-9 \u00c4");
    EXPECT_EQ(lower_cased(""), "");
}

TEST(Sanitise, Table) {
    struct Case {
        std::string raw, shown;
    };
    const Case cases[] = {
        {"", ""},
        {"web-01 (test)", "web-01 (test)"},
        {"\x1b[2J", "\\x1b[2J"},
        {"a\nb\tc\r", "a\\x0ab\\x09c\\x0d"},
        {"nul\0!"s, "nul\\x00!"},
        {"\x7f", "\\x7f"},
        {"\u009b31m", "<U+009B>31m"},  // C1: CSI in one character
        {"caf\u00e9 \u4e2d\u6587", "caf\u00e9 \u4e2d\u6587"},
        {"a\xff\xfe!", "a\ufffd\ufffd!"},
        {"\xc3", "\ufffd"},                                // cut short
        {"\xc0\xaf", "\ufffd\ufffd"},                      // overlong
        {"\xed\xa0\x80", "\ufffd\ufffd\ufffd"},            // a surrogate
        {"\xf4\x90\x80\x80", "\ufffd\ufffd\ufffd\ufffd"},  // beyond Unicode
        {"x\u202ey", "x<U+202E>y"},                        // right-to-left override
        {"x\u2066y", "x<U+2066>y"},                        // bidi isolate
        {"x\u200by\ufeff", "x<U+200B>y<U+FEFF>"},          // zero width
        {"\U000e0041", "<U+E0041>"},                       // a tag
        {"x\u2028y", "x<U+2028>y"},                        // line separator
        {"e\u0301", "e\u0301"},                            // a combining mark after its letter
        {"\u0301", "<U+0301>"},                            // and one without
        {"e\u0301\u0301\u0301", "e\u0301\u0301<U+0301>"},
    };
    for (const Case& c : cases) EXPECT_EQ(sanitise(c.raw), c.shown);
}

TEST(Sanitise, IsHarmlessAndStable) {
    EXPECT_TRUE(rc::check("sanitise", [](const std::string& raw) {
        const std::string shown = sanitise(raw);
        for (const char c : shown) RC_ASSERT(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
        RC_ASSERT(sanitise(shown) == shown);
        const auto columns = *rc::gen::inRange<std::size_t>(0, 40);
        RC_ASSERT(display_width(sanitise(raw, columns)) <= columns);
        RC_ASSERT(display_width(pad(shown, columns, Align::right)) >= columns);
    }));
}

TEST(Width, CountsColumns) {
    EXPECT_EQ(display_width("abc"), 3U);
    EXPECT_EQ(display_width("\u4e2d\u6587"), 4U);
    EXPECT_EQ(display_width("e\u0301"), 1U);
    EXPECT_EQ(display_width("\U0001f600"), 2U);
}

TEST(Fit, CutsAtColumns) {
    EXPECT_EQ(fit("abcdef", 6), "abcdef");
    EXPECT_EQ(fit("abcdef", 4), "abc\u2026");
    EXPECT_EQ(fit("abcdef", 1), "\u2026");
    EXPECT_EQ(fit("abcdef", 0), "");
    EXPECT_EQ(fit("\u4e2d\u6587\u4e2d", 4), "\u4e2d\u2026");  // The second one has no room.
    EXPECT_EQ(sanitise(std::string(4096, 'x'), 64).size(), 63 + std::string("\u2026").size());
}

TEST(Pad, AlignsByColumns) {
    EXPECT_EQ(pad("ab", 4, Align::left), "ab  ");
    EXPECT_EQ(pad("ab", 4, Align::right), "  ab");
    EXPECT_EQ(pad("\u4e2d", 4, Align::right), "  \u4e2d");
    EXPECT_EQ(pad("abcde", 4, Align::left), "abcde");
}

TEST(ListInLines, BreaksBetweenItems) {
    struct Case {
        std::size_t width;
        const char* lines;
    };
    const Case cases[] = {
        {80, "time: 10% kernel, 20% VMM, 70% halted\n"},
        {37, "time: 10% kernel, 20% VMM, 70% halted\n"},
        {36, "time: 10% kernel, 20% VMM,\n  70% halted\n"},
        {20, "time: 10% kernel,\n  20% VMM,\n  70% halted\n"},
        {1, "time: 10% kernel,\n  20% VMM,\n  70% halted\n"},
    };
    for (const auto& [width, lines] : cases) {
        EXPECT_EQ(list_in_lines("time:", {"10% kernel", "20% VMM", "70% halted"}, width, 2), lines);
    }
    EXPECT_EQ(list_in_lines("time:", {}, 80, 2), "time:\n");
}

TEST(CutBytes, KeepsSequencesWhole) {
    EXPECT_EQ(cut_bytes("abc", 3), "abc");
    EXPECT_EQ(cut_bytes("abcd", 3), "abc");
    EXPECT_EQ(cut_bytes("ab\u4e2d", 4), "ab");
    EXPECT_EQ(cut_bytes("ab\u4e2d", 5), "ab\u4e2d");
    EXPECT_EQ(cut_bytes(std::string(9, '\x80'), 5), std::string(5, '\x80'));
}

TEST(Color, OnlyWhereItIsOn) {
    EXPECT_EQ(strong("a", Color::off), "a");
    EXPECT_EQ(strong("a", Color::on), "\x1b[1ma\x1b[0m");
    EXPECT_EQ(alarming("a", Color::on), "\x1b[1;31ma\x1b[0m");
    EXPECT_EQ(alarming("", Color::on), "");
}

TEST(Numbers, GroupDigits) {
    EXPECT_EQ(group_digits(0), "0");
    EXPECT_EQ(group_digits(999), "999");
    EXPECT_EQ(group_digits(1'000), "1,000");
    EXPECT_EQ(group_digits(UINT64_MAX), "18,446,744,073,709,551,615");
}

TEST(Numbers, Nanoseconds) {
    struct Case {
        std::uint64_t ns;
        const char* shown;
    };
    const Case cases[] = {
        {0, "0ns"},
        {999, "999ns"},
        {1'000, "1.00us"},
        {2'414, "2.41us"},
        {9'996, "10.0us"},
        {99'960, "100us"},
        {999'499, "999us"},
        {999'600, "1.00ms"},
        {24'100'000, "24.1ms"},
        {999'999'999, "1.00s"},
        {599'000'000'000, "599s"},
        {600'000'000'000, "10.0min"},
        {36'000'000'000'000, "10.0h"},
        {360'000'000'000'000, "4.17d"},
        {UINT64_MAX, "213504d"},
    };
    for (const Case& c : cases) EXPECT_EQ(print_ns(c.ns), c.shown) << c.ns;
}

TEST(Numbers, RatesSecondsPercents) {
    EXPECT_EQ(print_rate(0.0), "0");
    EXPECT_EQ(print_rate(0.25), "0.25");
    EXPECT_EQ(print_rate(13.94), "13.9");
    EXPECT_EQ(print_rate(99.96), "100");
    EXPECT_EQ(print_rate(156'662.1), "156,662");
    EXPECT_EQ(print_rate(1e300), "1e+300");
    EXPECT_EQ(print_seconds(10.0), "10 s");
    EXPECT_EQ(print_seconds(2.5), "2.5 s");
    EXPECT_EQ(print_seconds(3600.4), "3,600 s");
    EXPECT_EQ(print_percent(0.0), "0.0%");
    EXPECT_EQ(print_percent(0.0001), "<0.1%");
    EXPECT_EQ(print_percent(0.4521), "45.2%");
    EXPECT_EQ(print_percent(1.0), "100.0%");
    EXPECT_EQ(print_ratio(0.0), "0.00x");
    EXPECT_EQ(print_ratio(0.001), "<0.01x");
    EXPECT_EQ(print_ratio(1.5), "1.50x");
    EXPECT_EQ(print_ratio(23.24), "23.2x");
    EXPECT_EQ(print_ratio(2'000'000.0), "2,000,000x");
    EXPECT_EQ(print_number_of(1, "vCPU"), "1 vCPU");
    EXPECT_EQ(print_number_of(2'000, "VM"), "2,000 VMs");
}

TEST(Grid, AlignsAndGivesWayInTheFirstColumn) {
    const std::vector<GridColumn> columns = {{"NAME", Align::left}, {"COUNT", Align::right}};
    const std::vector<GridRow> rows = {{{"a-name-that-is-long", "1"}, false},
                                       {{"\u4e2d", "1,000"}, true}};
    EXPECT_EQ(draw_grid(columns, rows, {80, 1, Color::off}), " NAME                 COUNT\n"
                                                             " a-name-that-is-long      1\n"
                                                             " \u4e2d                   1,000\n");
    EXPECT_EQ(draw_grid(columns, rows, {20, 0, Color::off}), "NAME           COUNT\n"
                                                             "a-name-that-i\u2026     1\n"
                                                             "\u4e2d             1,000\n");
    const std::string colored = draw_grid(columns, rows, {80, 0, Color::on});
    EXPECT_NE(colored.find("\x1b[1m\u4e2d"), std::string::npos);
}

}  // namespace
}  // namespace exittop
