// SPDX-License-Identifier: GPL-2.0-only
// Counting by target, switched on and off while exits go on. The targets here are those that the
// exit code says: there is no KVM whose registers could be read.
#include <gtest/gtest.h>

#include <string>

#include "detached_program.h"

namespace exittop::test {
namespace {

constexpr std::uint32_t read_cr0 = 0x00, write_cr3 = 0x13, hlt = 0x78, io = 0x7b;

class CountedByTarget : public DetachedProgram {
protected:
    std::vector<ExitStats> exits_of(std::uint64_t vcpu) {
        const std::uint32_t number = number_of(vcpu);
        return read_slot(program_->slots()[number], 0, {}, program_->target_sources()(number))
            .vcpu.exits;
    }
    Targets targets_of(std::uint64_t vcpu, std::uint32_t code) {
        for (const ExitStats& stats : exits_of(vcpu)) {
            if (stats.code == code) return stats.targets.value_or(Targets{});
        }
        return {};
    }
};

class TargetsOn : public CountedByTarget {
protected:
    void SetUp() override {
        load(16, TargetRequest{.choice = {}, .isa = Isa::svm, .from_start = false});
    }

    void switch_on(std::uint64_t vcpu) {
        ASSERT_TRUE(program_->open_targets());
        program_->count_by_target(number_of(vcpu));
    }
};

class TargetsFromStart : public CountedByTarget {
protected:
    void SetUp() override {
        load(16, TargetRequest{.choice = {}, .isa = Isa::svm, .from_start = true});
        ASSERT_TRUE(program_->open_targets());
        program_->memory().by_target = EXITTOP_BY_TARGET;
    }
};

TEST_F(TargetsOn, CountEachCompletedExitOnce) {
    exit_and_entry(vcpu_a, write_cr3);
    switch_on(vcpu_a);
    for (int i = 0; i < 5; ++i) exit_and_entry(vcpu_a, write_cr3);
    for (int i = 0; i < 3; ++i) exit_and_entry(vcpu_a, read_cr0);
    exit(vcpu_a, write_cr3);
    EXPECT_EQ(sum_of(targets_of(vcpu_a, write_cr3)).count, 5U) << "the last is not completed";
    entry(vcpu_a);
    const Targets targets = targets_of(vcpu_a, write_cr3);
    ASSERT_EQ(targets.known.size(), 1U);
    EXPECT_EQ(targets.known[0].target, "cr3 write");
    EXPECT_EQ(targets.known[0].count, 6U);
    EXPECT_GT(targets.known[0].time_ns, 0U);
    EXPECT_EQ(targets_of(vcpu_a, read_cr0).known.at(0).target, "cr0 read");
    EXPECT_EQ(count(vcpu_a, write_cr3), 7U) << "with the one before";
}

TEST_F(TargetsOn, TellsWhatThisKernelDoesNotTell) {
    exit_and_entry(vcpu_a, io);
    switch_on(vcpu_a);
    exit_and_entry(vcpu_a, io);
    const Targets targets = targets_of(vcpu_a, io);
    EXPECT_TRUE(targets.known.empty());
    EXPECT_EQ(targets.unknown.count, 1U);
    EXPECT_NE(targets.why, "");
}

TEST_F(TargetsOn, LeavesOtherReasonsAndVcpusAlone) {
    exit_and_entry(vcpu_a, hlt);
    exit_and_entry(vcpu_b, write_cr3);
    switch_on(vcpu_a);
    exit_and_entry(vcpu_a, hlt);
    exit_and_entry(vcpu_b, write_cr3);
    EXPECT_FALSE(exits_of(vcpu_a).at(0).targets) << "a HLT has none";
    EXPECT_EQ(sum_of(targets_of(vcpu_b, write_cr3)).count, 0U);
    EXPECT_EQ(count(vcpu_b, write_cr3), 2U);
}

TEST_F(TargetsOn, SwitchedAHundredTimesNothingIsMissedOrCountedTwice) {
    exit_and_entry(vcpu_a, write_cr3);
    for (unsigned round = 1; round <= 100; ++round) {
        exit(vcpu_a, write_cr3);
        switch_on(vcpu_a);
        entry(vcpu_a);
        ASSERT_EQ(sum_of(targets_of(vcpu_a, write_cr3)).count, 0U) << "the exit came before";
        exit_and_entry(vcpu_a, write_cr3);
        exit_and_entry(vcpu_a, write_cr3);
        ASSERT_EQ(sum_of(targets_of(vcpu_a, write_cr3)).count, 2U) << "counts begin anew";
        exit(vcpu_a, write_cr3);
        program_->close_targets();
        entry(vcpu_a);
        ASSERT_EQ(program_->target_bytes(), 0U);
        ASSERT_EQ(count(vcpu_a, write_cr3), 1 + 4 * round);
        ASSERT_EQ(read(vcpu_a).vcpu.exits.at(0).histogram.total(), 1 + 4 * round);
    }
    EXPECT_EQ(read(vcpu_a).lost, Lost{});
}

TEST_F(TargetsOn, EndWithTheirVcpu) {
    exit_and_entry(vcpu_a, write_cr3);
    switch_on(vcpu_a);
    exit_and_entry(vcpu_a, write_cr3);
    const std::uint32_t number = number_of(vcpu_a);
    program_->end_slot(number, vcpu_a);
    EXPECT_EQ(program_->slot_states()[number], EXITTOP_SLOT_ENDED);
    program_->release_slot(number);
    exit_and_entry(vcpu_a, write_cr3);
    EXPECT_EQ(sum_of(targets_of(vcpu_a, write_cr3)).count, 0U) << "its successor's are not on";
}

TEST_F(TargetsFromStart, AreCountedInTheAreaOfEachVcpu) {
    for (int i = 0; i < 3; ++i) exit_and_entry(vcpu_a, write_cr3);
    exit_and_entry(vcpu_a, read_cr0);
    exit_and_entry(vcpu_a, hlt);
    exit_and_entry(vcpu_b, write_cr3);
    EXPECT_EQ(targets_of(vcpu_a, write_cr3).known.at(0).count, 3U);
    EXPECT_EQ(targets_of(vcpu_a, read_cr0).known.at(0).target, "cr0 read");
    EXPECT_EQ(targets_of(vcpu_b, write_cr3).known.at(0).count, 1U);
    EXPECT_EQ(read(vcpu_a).lost, Lost{});
}

TEST_F(TargetsFromStart, AreNotThoseOfAnExitWithoutEntry) {
    exit(vcpu_a, write_cr3);
    exit_and_entry(vcpu_a, hlt);
    exit_and_entry(vcpu_a, write_cr3);
    EXPECT_EQ(sum_of(targets_of(vcpu_a, write_cr3)).count, 1U);
    EXPECT_EQ(sum_of(targets_of(vcpu_a, hlt)).count, 0U);
}

TEST_F(TargetsFromStart, BeginAnewWithTheNextVcpuOfTheSlot) {
    exit_and_entry(vcpu_a, write_cr3);
    const std::uint32_t number = number_of(vcpu_a);
    program_->end_slot(number, vcpu_a);
    program_->release_slot(number);
    exit_and_entry(vcpu_a, write_cr3);
    EXPECT_EQ(sum_of(targets_of(vcpu_a, write_cr3)).count, 1U);
}

}  // namespace
}  // namespace exittop::test
