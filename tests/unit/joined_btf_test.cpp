// SPDX-License-Identifier: GPL-2.0-only
#include "joined_btf.h"

#include <gtest/gtest.h>
#include <linux/btf.h>

#include <cstring>
#include <string>

namespace exittop {
namespace {

/// BTF whose sections hold these bytes, with strings in front of types and a gap before both: the
/// order is the header's to tell.
std::string btf_of(const std::string& types, const std::string& strings) {
    btf_header header{};
    header.magic = BTF_MAGIC;
    header.version = BTF_VERSION;
    header.hdr_len = sizeof header;
    header.str_off = 4;
    header.str_len = static_cast<std::uint32_t>(strings.size());
    header.type_off = header.str_off + header.str_len;
    header.type_len = static_cast<std::uint32_t>(types.size());
    std::string bytes(sizeof header, '\0');
    std::memcpy(bytes.data(), &header, sizeof header);
    return bytes + "gap." + strings + types;
}

TEST(JoinedBtf, TypesAndStringsGoOnWhereThoseOfVmlinuxEnd) {
    const auto joined = join_btf(btf_of("TYPES", "strings"), btf_of("more", "words"));
    ASSERT_TRUE(joined);
    btf_header header{};
    std::memcpy(&header, joined->data(), sizeof header);
    EXPECT_EQ(header.magic, BTF_MAGIC);
    EXPECT_EQ(header.version, BTF_VERSION);
    const std::string sections = joined->substr(header.hdr_len);
    EXPECT_EQ(sections.substr(header.type_off, header.type_len), "TYPESmore");
    EXPECT_EQ(sections.substr(header.str_off, header.str_len), "stringswords");
    EXPECT_EQ(sections, "TYPESmorestringswords");
}

TEST(JoinedBtf, WhatIsNoBtfIsRefused) {
    const std::string good = btf_of("types", "strings");
    ASSERT_TRUE(join_btf(good, good));
    for (const std::size_t length : {std::size_t(0), sizeof(btf_header) - 1, sizeof(btf_header),
                                     good.size() - 1}) {
        EXPECT_FALSE(join_btf(good.substr(0, length), good)) << length;
        EXPECT_FALSE(join_btf(good, good.substr(0, length))) << length;
    }
    std::string other_order = good;
    std::swap(other_order[0], other_order[1]);
    EXPECT_FALSE(join_btf(good, other_order));
    std::string too_far = good;
    const std::uint32_t huge = 0xffffffff;
    std::memcpy(too_far.data() + offsetof(btf_header, type_off), &huge, sizeof huge);
    EXPECT_FALSE(join_btf(too_far, good));
    std::string long_header = good;
    std::memcpy(long_header.data() + offsetof(btf_header, hdr_len), &huge, sizeof huge);
    EXPECT_FALSE(join_btf(long_header, good));
}

}  // namespace
}  // namespace exittop
