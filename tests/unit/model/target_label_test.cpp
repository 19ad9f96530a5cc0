// SPDX-License-Identifier: GPL-2.0-only
#include "model/target_label.h"

#include <gtest/gtest.h>

namespace exittop {
namespace {

TEST(TargetLabel, HasTheNameBehindTheNumber) {
    EXPECT_EQ(labelled_target("0x6e0 write", "IA32_TSC_DEADLINE"), "0x6e0 IA32_TSC_DEADLINE write");
    EXPECT_EQ(labelled_target("port 0x608 in 4", "ACPI PM timer"), "port 0x608 ACPI PM timer in 4");
    EXPECT_EQ(labelled_target("leaf 0x40000000", "hypervisor"), "leaf 0x40000000 hypervisor");
    EXPECT_EQ(labelled_target("leaf 0x4.2", "caches"), "leaf 0x4.2 caches");
    EXPECT_EQ(labelled_target("hypercall kvm 5", "KICK_CPU"), "hypercall kvm 5 KICK_CPU");
    EXPECT_EQ(labelled_target("cr3 write", "page table"), "cr3 page table write");
    EXPECT_EQ(labelled_target("#UD", "invalid opcode"), "#UD invalid opcode");
    EXPECT_EQ(labelled_target("#PF write user", "page fault"), "#PF write user");
    EXPECT_EQ(labelled_target("#PF", "page fault"), "#PF page fault");
    EXPECT_EQ(labelled_target("0x6e0 write", ""), "0x6e0 write");
    EXPECT_EQ(labelled_target("", "name"), " name");
}

TEST(TargetLabel, IsHarmless) {
    EXPECT_EQ(labelled_target(Isa::vmx, 32, "x\x1b[2J"), "x\\x1b[2J");
    EXPECT_EQ(labelled_target(Isa::vmx, 10, "\xff\u202e"), "\ufffd<U+202E>");
    EXPECT_EQ(labelled_target(Isa::vmx, 32, ""), "");
}

}  // namespace
}  // namespace exittop
