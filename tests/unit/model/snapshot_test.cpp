// SPDX-License-Identifier: GPL-2.0-only
#include "model/snapshot.h"

#include <set>

#include <gtest/gtest.h>

#include "model/overview.h"
#include "samples.h"

namespace exittop {
namespace {

TEST(ExitStats, Add) {
    ExitStats a = test::make_exits(10, {{1'000, 3}});
    a.vmm_ns = 5;
    a += test::make_exits(10, {{9'000, 1}});
    EXPECT_EQ(a.count, 4U);
    EXPECT_EQ(a.time_ns, 12'000U);
    EXPECT_EQ(a.max_ns, 9'000U);
    EXPECT_EQ(a.vmm_ns, 5U);
    EXPECT_EQ(a.histogram.total(), 4U);
}

TEST(ExitStats, EveryNumberAddsUp) {
    EXPECT_EQ(sizeof(ExitStats), sizeof(ReasonKey) + exit_numbers.size() * sizeof(std::uint64_t) +
                                     sizeof(ExitStats::max_ns) + sizeof(Histogram) +
                                     sizeof(ExitStats::targets));
    ExitStats one, most;
    for (const auto number : exit_numbers) {
        one.*number = 1;
        most.*number = UINT64_MAX;
    }
    ExitStats sum = one;
    sum += one;
    for (const auto number : exit_numbers) EXPECT_EQ(sum.*number, 2U);
    sum += most;
    EXPECT_EQ(sum, most) << "it stays in range";
}

TEST(ExitStats, AreFoundByTheirReason) {
    std::vector<ExitStats> exits;
    entry_of(exits, {GuestLevel::l2, 1}) += test::make_exits(1, {{100, 3}});
    entry_of(exits, {GuestLevel::l1, 9}).count = 5;
    entry_of(exits, {GuestLevel::l2, 1}).add_numbers(test::make_exits(1, {{900, 1}}));
    ASSERT_EQ(exits.size(), 2U);
    EXPECT_EQ(find_entry(exits, {GuestLevel::l1, 9}), &exits[0]);
    EXPECT_EQ(find_entry(exits, {GuestLevel::l1, 1}), nullptr);
    EXPECT_EQ(exits[1].count, 4U);
    EXPECT_EQ(exits[1].max_ns, 900U);
    EXPECT_EQ(exits[1].histogram.total(), 3U) << "numbers alone were added";
}

TEST(Vcpus, AreSummed) {
    Vm vm = test::make_web_vm();
    test::add_kvm_counts(vm);
    vm.vcpus[0].untraced = 5;
    vm.vcpus[1].uncounted = 7;
    const VcpuInfo sum = sum_of_vcpus(vm);
    EXPECT_EQ(sum.guest_ns, 13'300'000'000U);
    EXPECT_EQ(sum.kvm_exits, *vm.vcpus[0].kvm_exits + *vm.vcpus[1].kvm_exits);
    EXPECT_EQ(sum.untraced, 5U);
    EXPECT_EQ(uncounted_exits(vm), 7U);
    EXPECT_EQ(sum_of_vcpus(overview_of(vm)), sum);
    vm.vcpus[1].kvm_exits.reset();
    EXPECT_EQ(sum_of_vcpus(vm).kvm_exits, std::nullopt);
}

TEST(Snapshot, ExitsByReasonMergesVcpusNotLevels) {
    const std::vector<ExitStats> exits = exits_by_reason(test::make_web_vm());
    ASSERT_EQ(exits.size(), 6U);
    EXPECT_EQ(exits[0].code, 1U);
    EXPECT_EQ(exits[0].count, 32'000U);
    EXPECT_EQ(exits[1].code, 10U);
    EXPECT_EQ(exits[1].count, 424U);
    EXPECT_EQ(exits.back().level, GuestLevel::l2);
    EXPECT_EQ(exits.back().count, 77U);
}

TEST(KvmCount, SumsWhatIsKnown) {
    Snapshot snapshot = test::make_snapshot();
    snapshot.vms[0].vcpus[0].kvm_exits = 1'000;
    snapshot.vms[0].vcpus[0].untraced = 17;
    snapshot.vms[0].vcpus[1].kvm_exits.reset();
    EXPECT_EQ(kvm_count(snapshot.vms[0]), (KvmCount{1'000, 17, 1, 1}));
    EXPECT_EQ(kvm_count(snapshot.vms), (KvmCount{1'012, 17, 2, 1}));
    EXPECT_EQ(kvm_count(std::vector<Vm>{}), KvmCount{});
}

TEST(Lost, EveryCauseIsNamedOnce) {
    std::set<std::string> names;
    Lost lost;
    for (const LostCause& cause : lost_causes()) {
        names.insert(cause.name);
        lost.*cause.value += 1;
    }
    EXPECT_EQ(names.size(), lost_causes().size());
    EXPECT_EQ(sizeof(Lost), lost_causes().size() * sizeof(std::uint64_t) + sizeof(lost.unknown));
    EXPECT_EQ(lost_total(lost), lost_causes().size());
    EXPECT_EQ(lost_total({}), 0U);
}

TEST(Lost, CausesOfAnotherVersionCountToo) {
    Lost lost;
    lost.table_full = 1;
    lost.unknown = {{"new\x1b", 2}, {"none", 0}};
    lost += lost;
    EXPECT_EQ(lost_total(lost), 6U);
    const std::vector<Loss> all = losses(lost);
    ASSERT_EQ(all.size(), 2U);
    EXPECT_EQ(all[0].cause, "table_full");
    EXPECT_EQ(all[1], (Loss{"new\\x1b", 4, "a cause that this version does not know"}));
}

TEST(Paging, Names) {
    EXPECT_EQ(paging_name(Paging::ept), "ept");
    EXPECT_EQ(paging_name(Paging::npt), "npt");
    EXPECT_EQ(paging_name(Paging::shadow), "shadow");
    EXPECT_EQ(paging_name(Paging::unknown), "unknown");
}

}  // namespace
}  // namespace exittop
