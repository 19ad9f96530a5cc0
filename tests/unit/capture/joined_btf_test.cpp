// SPDX-License-Identifier: GPL-2.0-only
#include "capture/joined_btf.h"

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

std::string type(std::uint32_t name, std::uint32_t kind, std::uint32_t members = 0) {
    const btf_type made{name, kind << 24 | members, {0}};
    std::string bytes(sizeof made, '\0');
    std::memcpy(bytes.data(), &made, sizeof made);
    return bytes + std::string(members * sizeof(btf_member), '\0');
}

std::uint32_t name_at(const std::string& joined, std::size_t offset) {
    std::uint32_t name = 0;
    std::memcpy(&name, joined.data() + sizeof(btf_header) + offset, sizeof name);
    return name;
}

TEST(JoinedBtf, TypesThatVmlinuxHasTooLoseTheirNames) {
    const std::string strings("\0kvm_vcpu\0list\0", 15);
    constexpr std::uint32_t vcpu = 1, list = 10, own = 16;
    const std::string vmlinux =
        type(list, BTF_KIND_STRUCT, 2) + type(0, BTF_KIND_PTR) + type(vcpu, BTF_KIND_STRUCT, 3);
    const std::string module = type(own, BTF_KIND_STRUCT, 1) + type(vcpu, BTF_KIND_STRUCT, 3) +
                               type(vcpu, BTF_KIND_TYPEDEF) + type(list, BTF_KIND_STRUCT);
    const auto joined = join_btf(btf_of(vmlinux, strings), btf_of(module, "\0own"));
    ASSERT_TRUE(joined);
    std::size_t offset = vmlinux.size();
    EXPECT_EQ(name_at(*joined, 0), list);
    EXPECT_EQ(name_at(*joined, offset), own);
    offset += sizeof(btf_type) + sizeof(btf_member);
    EXPECT_EQ(name_at(*joined, offset), 0U);
    offset += sizeof(btf_type) + 3 * sizeof(btf_member);
    EXPECT_EQ(name_at(*joined, offset), vcpu) << "a typedef is not the struct of its name";
    offset += sizeof(btf_type);
    EXPECT_EQ(name_at(*joined, offset), 0U);
}

TEST(JoinedBtf, WhatIsBehindAKindThatIsNotKnownStays) {
    const std::string strings("\0list\0", 6);
    const std::string module = type(1, 31) + type(1, BTF_KIND_STRUCT);
    const auto joined = join_btf(btf_of(type(1, BTF_KIND_STRUCT), strings), btf_of(module, ""));
    ASSERT_TRUE(joined);
    EXPECT_EQ(name_at(*joined, 2 * sizeof(btf_type)), 1U);
}

TEST(JoinedBtf, WhatIsNoBtfIsRefused) {
    const std::string good = btf_of("types", "strings");
    ASSERT_TRUE(join_btf(good, good));
    for (const std::size_t length :
         {std::size_t(0), sizeof(btf_header) - 1, sizeof(btf_header), good.size() - 1}) {
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
