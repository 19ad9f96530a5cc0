// SPDX-License-Identifier: GPL-2.0-only
#include "option_values.h"

#include <gtest/gtest.h>

namespace exittop {
namespace {

using namespace std::chrono_literals;

TEST(OptionValues, Durations) {
    EXPECT_EQ(parse_duration("10"), 10s);
    EXPECT_EQ(parse_duration("0.001"), 1ms);
    EXPECT_EQ(parse_duration("1e2"), 100s);
    EXPECT_EQ(parse_duration(".5"), 500ms);
    for (const char* text : {"", " ", "x", "1x", "1 ", " 1", "5s", "nan", "inf", "-inf", "-nan(1)",
                             "0", "-0", "0.0", "-1", "1e-400", "1e400", "0x10", "+5", "1,5",
                             "400000000", "99999999999999999999", "--", "\x1b[2J"}) {
        const auto duration = parse_duration(text);
        ASSERT_FALSE(duration) << text;
        EXPECT_EQ(duration.error().find_first_of("\n\x1b"), std::string::npos);
    }
}

}  // namespace
}  // namespace exittop
