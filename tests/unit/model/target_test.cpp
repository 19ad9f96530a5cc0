// SPDX-License-Identifier: GPL-2.0-only
#include "model/target.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace exittop {
namespace {

TEST(Target, IsWrittenAsScriptsExpect) {
    EXPECT_EQ(msr_target(0x6e0, TargetAccess::write), "0x6e0 write");
    EXPECT_EQ(msr_target(0x10, TargetAccess::unknown), "0x10");
    EXPECT_EQ(port_target(0x3f8, true, 1), "port 0x3f8 out 1");
    EXPECT_EQ(port_target(0x608, false, 4), "port 0x608 in 4");
    EXPECT_EQ(mmio_target(0xfee000b0, TargetAccess::write), "0xfee000b0 write");
    EXPECT_EQ(page_target(0x7f3a1000, TargetAccess::write), "page 0x7f3a1000 write");
    EXPECT_EQ(register_target("cr", 3, "write"), "cr3 write");
    EXPECT_EQ(exception_target(6), "#UD");
    EXPECT_EQ(exception_target(15), "vector 0xf");
    EXPECT_EQ(exception_target(200), "vector 0xc8");
    EXPECT_EQ(leaf_target(1), "leaf 0x1");
    EXPECT_EQ(leaf_target(4, 2), "leaf 0x4.2");
    EXPECT_EQ(leaf_target(0xd, 17), "leaf 0xd.17");
    EXPECT_EQ(hypercall_target("kvm", 5), "hypercall kvm 5");
    EXPECT_EQ(hypercall_target("hyperv", 0x5c), "hypercall hyperv 0x5c");
    EXPECT_EQ(apic_target(0xb0, TargetAccess::write), "apic 0xb0 write");
    EXPECT_EQ(ghcb_target(0x80000001), "ghcb 0x80000001");
    EXPECT_EQ(rip_target(0xffffffff81073744), "rip 0xffffffff81073744");
}

TEST(Target, OfAPageFaultIsItsKind) {
    EXPECT_EQ(page_fault_target(0), "#PF read kernel");
    EXPECT_EQ(page_fault_target(2 | 4), "#PF write user");
    EXPECT_EQ(page_fault_target(1 | 2), "#PF write kernel protection");
    EXPECT_EQ(page_fault_target(4 | 16), "#PF fetch user");
    EXPECT_EQ(page_fault_target(1 | 8), "#PF read kernel protection reserved");
}

Targets sample(std::vector<TargetStats> known, TargetSum other = {}, TargetSum unknown = {}) {
    return {std::move(known), other, unknown, unknown.count > 0 ? "why" : ""};
}

TEST(Targets, OfSeveralVcpusAreAddedByTarget) {
    Targets sum = sample({{{2, 20}, "a"}, {{1, 10}, "c"}}, {1, 5});
    sum += sample({{{3, 30}, "a"}, {{4, 40}, "b"}}, {2, 6}, {7, 70});
    EXPECT_EQ(sum, sample({{{5, 50}, "a"}, {{4, 40}, "b"}, {{1, 10}, "c"}}, {3, 11}, {7, 70}));
    EXPECT_EQ(sum_of(sum), (TargetSum{20, 181}));
    EXPECT_EQ(sample({}) += sum, sum);
    EXPECT_EQ(Targets(sum) += sample({}), sum);
}

TEST(Targets, AreFilledUpByUnknownOnes) {
    Targets targets = sample({{{2, 20}, "a"}}, {1, 5});
    targets.fill_up({3, 25}, "early");
    EXPECT_EQ(targets, sample({{{2, 20}, "a"}}, {1, 5}));
    targets.fill_up({10, 100}, "early");
    EXPECT_EQ(targets.unknown, (TargetSum{7, 75}));
    EXPECT_EQ(targets.why, "early");
    targets.fill_up({11, 101}, "later");
    EXPECT_EQ(targets.unknown, (TargetSum{8, 76}));
    EXPECT_EQ(targets.why, "early");
}

TEST(Targets, InAnyOrderAreOrderedAndAddedUp) {
    Targets targets = sample({{{1, 10}, "c"}, {{2, 20}, "a"}, {{3, 30}, "c"}, {{4, 40}, "b"}});
    targets.order();
    EXPECT_EQ(targets, sample({{{2, 20}, "a"}, {{4, 40}, "b"}, {{4, 40}, "c"}}));
    Targets none;
    none.order();
    EXPECT_EQ(none, Targets{});
}

TEST(Targets, SinceAnEarlierTimeAreThoseOfTheTimeBetween) {
    const Targets earlier = sample({{{2, 20}, "a"}, {{5, 50}, "b"}}, {1, 5});
    const Targets later = sample({{{2, 20}, "a"}, {{9, 91}, "b"}, {{1, 3}, "c"}}, {4, 9});
    EXPECT_EQ(targets_since(later, earlier), sample({{{4, 41}, "b"}, {{1, 3}, "c"}}, {3, 4}));
}

TEST(Targets, ThatMadeRoomTakeTheirEarlierCountsOutOfTheOthers) {
    const Targets earlier = sample({{{2, 20}, "a"}}, {1, 5});
    // "a" had one exit more, then went to the others, which had two of their own.
    const Targets later = sample({{{6, 60}, "b"}}, {1 + 3 + 2, 5 + 30 + 8});
    const Targets since = targets_since(later, earlier);
    EXPECT_EQ(since, sample({{{6, 60}, "b"}}, {3, 18}));
    EXPECT_EQ(sum_of(since).count, sum_of(later).count - sum_of(earlier).count);
}

TEST(Targets, ThatCameBackAfterMakingRoomAddUpToo) {
    const Targets earlier = sample({{{5, 50}, "a"}}, {1, 5});
    const Targets later = sample({{{2, 20}, "a"}, {{4, 40}, "b"}}, {6, 55});
    const Targets since = targets_since(later, earlier);
    EXPECT_EQ(since, sample({{{2, 20}, "a"}, {{4, 40}, "b"}}));
    EXPECT_EQ(sum_of(since).count, sum_of(later).count - sum_of(earlier).count);
}

TEST(Targets, AreListedByWhatTheyCost) {
    const Targets targets = sample({{{9, 1}, "a"}, {{1, 7}, "b"}, {{3, 1}, "c"}});
    std::vector<std::string> order;
    for (const TargetStats& stats : dearest_first(targets)) order.push_back(stats.target);
    EXPECT_EQ(order, (std::vector<std::string>{"b", "a", "c"}));
}

}  // namespace
}  // namespace exittop
