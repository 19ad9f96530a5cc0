// SPDX-License-Identifier: GPL-2.0-only
#include "base/duration.h"

#include <cstdint>
#include <string>

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace exittop {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

constexpr nanoseconds ten_years = 24h * 366 * 10;

TEST(Duration, IsRead) {
    struct Case {
        const char* text;
        nanoseconds duration;
    };
    for (const Case& c : {
             Case{"500ms", 500ms},
             {"5s", 5s},
             {"2m", 2min},
             {"1h", 1h},
             {"1.5s", 1500ms},
             {".5s", 500ms},
             {"5.s", 5s},
             {"0.5ms", 500us},
             {"1.5h", 90min},
             {"0090s", 90s},
             {"0.1m", 6s},
             {"10", 10s},
             {"0.001", 1ms},
             {".5", 500ms},
             {"1e3", 1000s},
             {"1e-3s", 1ms},
             {"1E2ms", 100ms},
             {"0.000000001", 1ns},
             {"0.000001ms", 1ns},
             {"87840h", ten_years},
             {"316224000", ten_years},
         }) {
        const auto duration = parse_duration(c.text);
        ASSERT_TRUE(duration) << c.text << ' ' << duration.error();
        EXPECT_EQ(*duration, c.duration) << c.text;
    }
}

TEST(Duration, IsNone) {
    struct Case {
        const char* text;
        const char* said;
    };
    constexpr const char* none = "is not a duration: 500ms, 5s, 2m, 1h, or a number of seconds";
    for (const Case& c : {
             Case{"", none},
             {" ", none},
             {"x", none},
             {"s", none},
             {"ms", none},
             {".", none},
             {"5x", none},
             {"5 s", none},
             {" 5s", none},
             {"5s ", none},
             {"5S", none},
             {"5sec", none},
             {"5us", none},
             {"5d", none},
             {"1h30m", none},
             {"5ss", none},
             {"5sm", none},
             {"1,5", none},
             {"+5", none},
             {"0x10", none},
             {"1e", none},
             {"--", none},
             {"-", none},
             {"-s", none},
             {"\x1b[2J", none},
             {"5\n", none},
             {"nan", none},
             {"nans", none},
             {"-nan(1)", none},
             {"inf", none},
             {"-inf", none},
             {"infinitys", none},
             {"1e400x", none},
             {"-1s", "is negative: a duration is more than 0"},
             {"-0.001ms", "is negative: a duration is more than 0"},
             {"0", "is too short: a nanosecond at least"},
             {"-0", "is too short: a nanosecond at least"},
             {"0.0h", "is too short: a nanosecond at least"},
             {"0.4e-9", "is too short: a nanosecond at least"},
             {"87840.1h", "is too long: ten years are the most"},
             {"400000000", "is too long: ten years are the most"},
             {"9223372036854775808", "is too long: ten years are the most"},
             {"99999999999999999999h", "is too long: ten years are the most"},
             {"1e308h", "is too long: ten years are the most"},
             {"1e400", "is out of range: from a nanosecond to ten years"},
             {"1e400h", "is out of range: from a nanosecond to ten years"},
             {"1e-400", "is out of range: from a nanosecond to ten years"},
         }) {
        const auto duration = parse_duration(c.text);
        ASSERT_FALSE(duration) << c.text;
        EXPECT_EQ(duration.error(), c.said) << c.text;
    }
    EXPECT_FALSE(parse_duration({"5\0s", 3}));
    EXPECT_FALSE(parse_duration({}));
}

TEST(Duration, AsText) {
    EXPECT_EQ(duration_text(100ms), "100ms");
    EXPECT_EQ(duration_text(1s), "1s");
    EXPECT_EQ(duration_text(90s), "90s");
    EXPECT_EQ(duration_text(120s), "2m");
    EXPECT_EQ(duration_text(24h), "24h");
    EXPECT_EQ(duration_text(1500ms), "1500ms");
    EXPECT_EQ(duration_text(1ns), "0.000001ms");
    EXPECT_EQ(duration_text(2500us), "2.5ms");
    EXPECT_EQ(duration_text(61s + 20us), "61000.02ms");
}

// A floating-point number of 53 bits is what a text is read through.
TEST(Duration, TextReadsBack) {
    EXPECT_TRUE(rc::check([] {
        const nanoseconds unit = *rc::gen::element<nanoseconds>(1ns, 1ms, 1s, 1min, 1h);
        const nanoseconds longest = unit == 1ns ? nanoseconds(240h) : ten_years;
        const nanoseconds duration = *rc::gen::inRange(std::int64_t{1}, longest / unit + 1) * unit;
        const auto read = parse_duration(duration_text(duration));
        RC_ASSERT(read.has_value());
        RC_ASSERT(*read == duration);
    }));
}

TEST(Duration, AnyTextIsReadOrRefused) {
    EXPECT_TRUE(rc::check([] {
        const std::string text =
            *rc::gen::container<std::string>(rc::gen::elementOf(std::string("0123456789.e-+ msh")));
        const auto duration = parse_duration(text);
        if (duration) {
            RC_ASSERT(*duration >= 1ns);
            RC_ASSERT(*duration <= ten_years);
        } else {
            RC_ASSERT(duration.error().starts_with("is "));
        }
    }));
}

}  // namespace
}  // namespace exittop
