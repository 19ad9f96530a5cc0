// SPDX-License-Identifier: GPL-2.0-only
#include "analysis/extra_targets.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "run_samples.h"

namespace exittop {
namespace {

const ReasonRow& row(const Comparison& comparison, std::string_view label) {
    const auto found = std::ranges::find(comparison.rows, label, &ReasonRow::label);
    EXPECT_NE(found, comparison.rows.end()) << label;
    return *found;
}

double sum_of_targets(const ReasonRow& reason, std::size_t run) {
    double sum = 0.0;
    for (const TargetRow& target : reason.targets) {
        if (target.cells[run]) sum += target.cells[run]->count;
    }
    return sum;
}

Comparison extra_of(const std::vector<exittop::Run>& runs) {
    return extra_targets(compare_runs(runs, Basis::count));
}

TEST(ExtraTargets, AreThoseOfReasonsThatGrew) {
    const Comparison comparison =
        extra_of({test::make_ept_run_with_targets(), test::make_shadow_run_with_targets()});
    EXPECT_EQ(row(comparison, "EXCEPTION_NMI").targets.front().target, "#PF write user");
    EXPECT_EQ(row(comparison, "CR_ACCESS").targets.size(), 3U);
    for (const char* reason : {"EPT_VIOLATION", "CPUID", "HLT"}) {
        EXPECT_TRUE(row(comparison, reason).targets.empty()) << reason;
    }
}

TEST(ExtraTargets, WhatIsLeftOfAReasonIsInOther) {
    const Comparison comparison =
        extra_of({test::make_ept_run_with_targets(), test::make_shadow_run_with_targets()});
    const ReasonRow& reason = row(comparison, "EXCEPTION_NMI");
    EXPECT_EQ(sum_of_targets(reason, 1), reason.cells[1].count);
    const TargetRow& other = reason.targets.back();
    EXPECT_EQ(other.kind, TargetRow::Kind::other);
    EXPECT_EQ(other.folded, 3U) << "#UD, #NM and #DB are less than a thousandth";
    EXPECT_EQ(other.cells[1]->count, 115);
}

TEST(ExtraTargets, ASingleTargetRepeatsItsReason) {
    std::vector runs = {test::make_ept_run_with_targets(), test::make_shadow_run_with_targets()};
    Targets& targets = *runs[1].repeats[0].vms[0].vcpus[0].exits[3].targets;
    targets = {};
    targets.add("cr3 write", {30'000, 1});
    EXPECT_TRUE(row(extra_of(runs), "CR_ACCESS").targets.empty());
}

TEST(ExtraTargets, AreNoneWhereNothingGrew) {
    EXPECT_FALSE(has_targets(
        extra_of({test::make_ept_run_with_targets(), test::make_ept_run_with_targets()})));
    EXPECT_FALSE(has_targets(extra_of({test::make_shadow_run_with_targets()})));
}

TEST(ExtraTargets, OfManyTheLargestAreTold) {
    std::vector runs = {test::make_ept_run(), test::make_ept_run()};
    for (exittop::Run& run : runs) {
        const bool later = &run == &runs.back();
        ExitStats& stats = run.repeats[0].vms[0].vcpus[0].exits[0];
        stats.count = 0;
        stats.targets.emplace();
        for (std::uint32_t leaf = 0; leaf < 20; ++leaf) {
            // The largest are those that do not grow.
            const std::uint64_t count = leaf < 5 ? 100'000 : (later ? 1'000 + leaf : 10);
            stats.targets->add(leaf_target(leaf), {count, count});
            stats.count += count;
        }
    }
    const ReasonRow reason = row(extra_of(runs), "CPUID");
    ASSERT_EQ(reason.targets.size(), most_extra_targets + 1);
    EXPECT_EQ(reason.targets.front().target, "leaf 0x13");
    EXPECT_EQ(reason.targets.back().folded, 10U);
    EXPECT_EQ(sum_of_targets(reason, 0), reason.cells[0].count);
    EXPECT_EQ(sum_of_targets(reason, 1), reason.cells[1].count);
}

}  // namespace
}  // namespace exittop
