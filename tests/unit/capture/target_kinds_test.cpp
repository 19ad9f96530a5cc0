// SPDX-License-Identifier: GPL-2.0-only
#include "capture/target_kinds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/exit_reason.h"
#include "model/target_name.h"

namespace exittop {
namespace {

constexpr std::uint64_t mib = 1U << 20;

TargetKinds kinds_of(Isa isa, TargetChoice choice = {}, bool vendor_btf = true) {
    return target_kinds({.choice = std::move(choice), .isa = isa}, vendor_btf).value();
}

TEST(TargetKinds, ByDefaultAreThoseThatReasonsHaveOfTheirOwn) {
    EXPECT_EQ(kinds_of(Isa::svm).of(0x7c), EXITTOP_TARGET_MSR_SVM);
    EXPECT_EQ(kinds_of(Isa::svm).of(0x400), EXITTOP_TARGET_NPF);
    EXPECT_EQ(kinds_of(Isa::svm).of(0x4e), EXITTOP_TARGET_PF_SVM);
    EXPECT_EQ(kinds_of(Isa::svm).of(0x78), EXITTOP_TARGET_NONE) << "HLT";
    EXPECT_EQ(kinds_of(Isa::svm).of(0x79), EXITTOP_TARGET_NONE) << "INVLPG";
    EXPECT_EQ(kinds_of(Isa::svm).of(0xffffffff), EXITTOP_TARGET_NONE);
    EXPECT_EQ(kinds_of(Isa::vmx).of(48), EXITTOP_TARGET_EPT_VIOLATION);
    EXPECT_EQ(kinds_of(Isa::vmx).of(12), EXITTOP_TARGET_NONE) << "HLT";
}

TEST(TargetKinds, WithoutBtfAreWhatRegistersTell) {
    const TargetKinds kinds = kinds_of(Isa::svm, {}, false);
    EXPECT_EQ(kinds.of(0x7c), EXITTOP_TARGET_MSR) << "without its direction";
    EXPECT_EQ(kinds.of(0x72), EXITTOP_TARGET_CPUID);
    EXPECT_EQ(kinds.of(0x7b), EXITTOP_TARGET_UNKNOWN);
    EXPECT_EQ(kinds.of(0x13), EXITTOP_TARGET_FIXED) << "the code says it";
}

TEST(TargetKinds, ByRipAreForReasonsWithoutAnother) {
    const TargetKinds kinds = kinds_of(Isa::svm, {.rip = true});
    EXPECT_EQ(kinds.of(0x78), EXITTOP_TARGET_RIP_SVM);
    EXPECT_EQ(kinds.of(0xffffffff), EXITTOP_TARGET_RIP_SVM);
    EXPECT_EQ(kinds.of(0x7c), EXITTOP_TARGET_MSR_SVM);
}

TEST(TargetKinds, OfSomeReasonsAreOfThemAlone) {
    const TargetKinds kinds = kinds_of(Isa::svm, {.reasons = {"hlt", "0x7c"}});
    EXPECT_EQ(kinds.of(0x78), EXITTOP_TARGET_RIP_SVM) << "asked for, so by what there is";
    EXPECT_EQ(kinds.of(0x7c), EXITTOP_TARGET_MSR_SVM);
    EXPECT_EQ(kinds.of(0x7b), EXITTOP_TARGET_NONE);
}

TEST(TargetKinds, OfAReasonOfTheOtherIsaAreAnError) {
    const auto kinds =
        target_kinds({.choice = {.reasons = {"EPT_VIOLATION"}}, .isa = Isa::svm}, true);
    ASSERT_FALSE(kinds);
    EXPECT_EQ(kinds.error().text,
              "--targets EPT_VIOLATION: not a reason of this host, which has SVM (AMD)");
}

TEST(TargetKinds, OfAnUnknownIsaAreAnErrorAndNotNone) {
    EXPECT_FALSE(target_kinds({.choice = {}, .isa = Isa::unknown}, true));
}

// What has a kind here has a name there, and the reverse.
TEST(TargetKinds, AgreeWithTheNamesOfTargets) {
    for (const IsaFacts& isa : isas) {
        const TargetKinds kinds = kinds_of(isa.isa);
        for (const ExitReason& reason : exit_reasons(isa.isa)) {
            EXPECT_EQ(kinds.of(reason.code) != EXITTOP_TARGET_NONE,
                      target_kind(isa.isa, reason.code) != TargetKind::none)
                << isa.name << " " << reason.name;
        }
    }
}

TEST(TargetRoom, IsAsLargeAsTheMemoryAllows) {
    const auto many = target_room(8000, 64 * mib);
    ASSERT_TRUE(many);
    EXPECT_GE(many->entries, 192U);
    EXPECT_LE(many->bytes, 64 * mib);
    EXPECT_EQ(many->reason_entries, 64U);
    const auto few = target_room(64, 64 * mib);
    ASSERT_TRUE(few);
    EXPECT_EQ(few->entries, std::uint32_t{EXITTOP_MOST_TARGETS});
    EXPECT_LE(few->bytes, 4 * mib);
}

TEST(TargetRoom, IsRefusedWhereItIsTooSmall) {
    const auto room = target_room(32768, 64 * mib);
    ASSERT_FALSE(room);
    EXPECT_THAT(room.error().text, testing::HasSubstr("32768 vCPUs take at least"));
    EXPECT_THAT(room.error().text, testing::HasSubstr("--target-memory"));
}

}  // namespace
}  // namespace exittop
