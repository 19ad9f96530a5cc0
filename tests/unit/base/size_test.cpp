// SPDX-License-Identifier: GPL-2.0-only
#include "base/size.h"

#include <string>

#include <gtest/gtest.h>

namespace exittop {
namespace {

constexpr std::uint64_t mib = 1U << 20;

TEST(Size, IsRead) {
    struct Case {
        const char* text;
        std::uint64_t bytes;
    };
    for (const Case& c : {
             Case{"64MiB", 64 * mib},
             {"128M", 128 * mib},
             {"1", 1},
             {"67108864", 64 * mib},
             {"512B", 512},
             {"4K", 4096},
             {"4KiB", 4096},
             {"1G", 1024 * mib},
             {"1.5GiB", 1536 * mib},
             {".5M", mib / 2},
             {"0.3K", 307},
             {"1e3", 1000},
             {"1099511627775", (std::uint64_t{1} << 40) - 1},
             {"1024GiB", std::uint64_t{1} << 40},
         }) {
        const auto size = parse_size(c.text);
        ASSERT_TRUE(size) << c.text << ' ' << size.error();
        EXPECT_EQ(*size, c.bytes) << c.text;
    }
}

TEST(Size, IsNone) {
    struct Case {
        const char* text;
        const char* said;
    };
    constexpr const char* none = "is not a size: 64MiB, 128M, 1G, or a number of bytes";
    for (const Case& c : {
             Case{"", none},
             {" ", none},
             {"M", none},
             {"64 MiB", none},
             {" 64M", none},
             {"64M ", none},
             {"64m", none},
             {"64MB", none},
             {"64Mi", none},
             {"5s", none},
             {"0x10", none},
             {"+5", none},
             {"nan", none},
             {"inf", none},
             {"-inf", none},
             {"1,5G", none},
             {"\x1b[2J", none},
             {"1e999", "is out of range: from a byte to 1024GiB"},
             {"1e999M", "is out of range: from a byte to 1024GiB"},
             {"-1", "is negative: a size is more than 0"},
             {"-1M", "is negative: a size is more than 0"},
             {"0", "is too small: a byte at least"},
             {"0G", "is too small: a byte at least"},
             {"0.9", "is too small: a byte at least"},
             {"1025G", "is too large: 1024GiB are the most"},
             {"1e300", "is too large: 1024GiB are the most"},
         }) {
        const auto size = parse_size(c.text);
        ASSERT_FALSE(size) << c.text;
        EXPECT_EQ(size.error(), c.said) << c.text;
    }
}

}  // namespace
}  // namespace exittop
