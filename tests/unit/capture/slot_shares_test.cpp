// SPDX-License-Identifier: GPL-2.0-only
#include "capture/slot_shares.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <numeric>

#include "exittop_abi.h"

namespace exittop::test {
namespace {

using Counts = std::map<std::uint32_t, std::uint32_t>;

TEST(FairShares, AreAllThatIsWantedOrTheSameForAll) {
    EXPECT_EQ(fair_shares({}, 8), Counts());
    EXPECT_EQ(fair_shares({{1, 3}, {2, 4}}, 8), (Counts{{1, 3}, {2, 4}}));
    EXPECT_EQ(fair_shares({{1, 96}, {2, 2}}, 64), (Counts{{1, 62}, {2, 2}}));
    EXPECT_EQ(fair_shares({{1, 96}, {2, 50}, {3, 10}}, 64), (Counts{{1, 27}, {2, 27}, {3, 10}}));
    EXPECT_EQ(fair_shares({{1, 1}, {2, 1}, {3, 1}}, 2), (Counts{{1, 0}, {2, 1}, {3, 1}}));
}

RC_GTEST_PROP(FairShares, NobodyCouldHaveMoreButOfThoseWithLess, ()) {
    const auto wanted =
        *rc::gen::container<Counts>(rc::gen::inRange(0U, 50U), rc::gen::inRange(1U, 100U));
    const auto slots = *rc::gen::inRange(0U, 300U);
    const Counts shares = fair_shares(wanted, slots);
    std::uint64_t used = 0, in_all = 0;
    for (const auto& [uid, count] : wanted) {
        RC_ASSERT(shares.at(uid) <= count);
        used += shares.at(uid);
        in_all += count;
        if (shares.at(uid) == count) continue;
        for (const auto& [other, share] : shares) RC_ASSERT(share <= shares.at(uid) + 1);
    }
    RC_ASSERT(used == std::min<std::uint64_t>(slots, in_all));
}

/// vCPUs of users, in the order of their first exits; those beyond the slots wait.
std::vector<SlotUse> in_turn(const std::vector<std::uint32_t>& uids, std::uint32_t slots) {
    std::vector<SlotUse> vcpus;
    for (std::uint32_t i = 0; i < uids.size(); ++i) {
        vcpus.push_back({0x1000 * (1 + i), uids[i], i < slots ? i + 1 : 0, 100 + i});
    }
    return vcpus;
}

TEST(SlotPlan, TakesNothingWhereNobodyWaits) {
    EXPECT_EQ(plan_slots({}, 4), SlotPlan());
    EXPECT_EQ(plan_slots(in_turn({1, 1, 1, 1}, 4), 4), SlotPlan());
}

TEST(SlotPlan, AUserAloneKeepsWhatCameFirst) {
    EXPECT_EQ(plan_slots(in_turn({1, 1, 1, 1, 1, 1}, 4), 4), (SlotPlan{{}, {1}}));
}

TEST(SlotPlan, TheNewestOfWhoHasTooManyGivesWay) {
    EXPECT_EQ(plan_slots(in_turn({1, 2, 1, 1, 1, 2}, 4), 4), (SlotPlan{{4}, {1}}));
    EXPECT_EQ(plan_slots(in_turn({1, 1, 1, 1, 2}, 4), 4), (SlotPlan{{4}, {1}}));
    EXPECT_EQ(plan_slots(in_turn({1, 1, 1, 1, 2, 3}, 4), 4), (SlotPlan{{4, 3}, {1}}));
}

TEST(SlotPlan, WhoFindsOneFreeNeedsNobodys) {
    const auto vcpus = in_turn({1, 1, 1, 2}, 3);  // The fourth slot was given back just now.
    EXPECT_EQ(plan_slots(vcpus, 4).evict, std::vector<std::uint32_t>());
}

TEST(SlotPlan, APinnedSlotIsNotTaken) {
    auto vcpus = in_turn({1, 1, 1, 1, 2}, 4);
    vcpus[3].pinned = true;
    EXPECT_EQ(plan_slots(vcpus, 4).evict, std::vector<std::uint32_t>{3}) << "but the next newest";
    for (SlotUse& vcpu : vcpus) vcpu.pinned = true;
    EXPECT_EQ(plan_slots(vcpus, 4).evict, std::vector<std::uint32_t>());
}

TEST(SlotPlan, OnlyASlotThatCanBeReachedIsTaken) {
    constexpr std::uint32_t many = 4096;
    std::vector<SlotUse> vcpus;
    for (std::uint32_t slot = 1; slot < EXITTOP_SLOTS_OF(many); ++slot) {
        vcpus.push_back({0x1000ULL * slot, 1, slot, slot});
    }
    const std::uint64_t waiting = 0x1234'5000;
    vcpus.push_back({waiting, 2, 0, 10'000});
    const SlotPlan plan = plan_slots(vcpus, many);
    ASSERT_EQ(plan.evict.size(), 1U);
    EXPECT_EQ(plan.evict[0], EXITTOP_SLOTS_OF(many) - 1U) << "the newest is an overflow slot";
    std::erase_if(vcpus, [](const SlotUse& vcpu) { return vcpu.slot > many; });
    const auto near = plan_slots(vcpus, many).evict;
    ASSERT_LE(near.size(), 1U);
    const auto first = static_cast<std::uint32_t>(EXITTOP_HASH_SLOT_OF(waiting, many + 1));
    for (const std::uint32_t slot : near) EXPECT_LT(slot - first, EXITTOP_INSERT_PROBES);
}

RC_GTEST_PROP(SlotPlan, NobodyHasMoreThanItsShareAfterIt, ()) {
    const auto uids = *rc::gen::container<std::vector<std::uint32_t>>(rc::gen::inRange(1U, 6U));
    const auto max_vcpus = *rc::gen::inRange(1U, 40U);
    const auto vcpus = in_turn(uids, max_vcpus);
    const SlotPlan plan = plan_slots(vcpus, max_vcpus);
    Counts wanted, have;
    std::size_t waiting = 0;
    for (const SlotUse& vcpu : vcpus) {
        ++wanted[vcpu.uid];
        waiting += vcpu.slot == 0;
        const bool stays =
            vcpu.slot != 0 && std::ranges::find(plan.evict, vcpu.slot) == plan.evict.end();
        have[vcpu.uid] += stays;
    }
    const Counts shares = fair_shares(wanted, max_vcpus);
    std::size_t given = 0;
    for (const auto& [uid, count] : have) {
        RC_ASSERT(count <= shares.at(uid));
        given += shares.at(uid) - count;
    }
    // Up to 64 vCPUs all slots can be reached: whoever gives one up gives it to somebody.
    RC_ASSERT(given == plan.evict.size() || waiting == 0);
}

}  // namespace
}  // namespace exittop::test
