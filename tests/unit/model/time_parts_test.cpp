// SPDX-License-Identifier: GPL-2.0-only
#include "model/time_parts.h"

#include <gtest/gtest.h>

namespace exittop {
namespace {

TEST(TimeParts, AreASet) {
    TimeParts parts;
    EXPECT_TRUE(parts.empty());
    parts.add(TimePart::halted);
    parts.add(TimePart::halted);
    EXPECT_EQ(parts, TimeParts{TimePart::halted});
    EXPECT_TRUE(parts.contains(TimePart::halted));
    EXPECT_FALSE(parts.contains(TimePart::blocked));
    EXPECT_FALSE(parts.empty());
}

TEST(TimeParts, AreCombined) {
    constexpr TimeParts a = {TimePart::vmm, TimePart::halted};
    constexpr TimeParts b = {TimePart::halted, TimePart::polled};
    EXPECT_EQ(a & b, TimeParts{TimePart::halted});
    EXPECT_EQ(a - b, TimeParts{TimePart::vmm});
    EXPECT_EQ(a & TimeParts::all(), a);
    EXPECT_TRUE((a - TimeParts::all()).empty());
}

TEST(TimeParts, OneOfThoseOffTheCpuTellsTheTimeOnIt) {
    for (const TimePart off : {TimePart::preempted, TimePart::halted, TimePart::blocked}) {
        EXPECT_TRUE(knows_on_cpu({off}));
    }
    EXPECT_FALSE(knows_on_cpu({TimePart::vmm, TimePart::polled}));
}

}  // namespace
}  // namespace exittop
