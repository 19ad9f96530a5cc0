// SPDX-License-Identifier: GPL-2.0-only
#include "base/number.h"

#include <gtest/gtest.h>

namespace exittop {
namespace {

TEST(Number, SumsAndDifferencesStayInRange) {
    EXPECT_EQ(saturating_add(2, 3), 5U);
    EXPECT_EQ(saturating_add(UINT64_MAX - 1, 1), UINT64_MAX);
    EXPECT_EQ(saturating_add(UINT64_MAX, 1), UINT64_MAX);
    EXPECT_EQ(saturating_subtract(5, 3), 2U);
    EXPECT_EQ(saturating_subtract(3, 5), 0U);
}

TEST(Number, IsAllOfAText) {
    EXPECT_EQ(parse_number<std::uint32_t>("0"), 0U);
    EXPECT_EQ(parse_number<std::uint32_t>("4294967295"), UINT32_MAX);
    EXPECT_EQ(parse_number<std::uint32_t>("fF", 16), 255U);
    for (const char* text : {"", " 1", "1 ", "+1", "-1", "0x1", "1.0", "4294967296"}) {
        EXPECT_EQ(parse_number<std::uint32_t>(text), std::nullopt) << text;
    }
}

TEST(Number, IsTakenOffWhatFollows) {
    std::string_view text = "512MiB";
    EXPECT_EQ(take_number<std::uint64_t>(text), 512U);
    EXPECT_EQ(text, "MiB");
    EXPECT_EQ(take_number<std::uint64_t>(text), std::nullopt);
    EXPECT_EQ(text, "MiB");
}

}  // namespace
}  // namespace exittop
