// SPDX-License-Identifier: GPL-2.0-only
#include "model/delta.h"

#include <algorithm>
#include <functional>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "model/fields.h"
#include "samples.h"

namespace exittop {
namespace {

const ExitStats& find_exits(const Snapshot& snapshot, std::size_t vm, std::uint32_t code) {
    const auto& exits = snapshot.vms.at(vm).vcpus.at(0).exits;
    const auto found = std::ranges::find(exits, code, &ExitStats::code);
    static const ExitStats none;
    return found == exits.end() ? none : *found;
}

TEST(Delta, NothingHappened) {
    const Snapshot snapshot = test::make_snapshot();
    const Snapshot delta = snapshot_since(snapshot, test::make_snapshot());
    ASSERT_EQ(delta.vms.size(), 1U);  // The other one had ended before.
    EXPECT_EQ(delta.vms[0].vcpus.size(), 2U);
    EXPECT_TRUE(exits_by_reason(delta.vms[0]).empty());
}

TEST(Delta, SinceTheBeginning) {
    const Snapshot snapshot = test::make_snapshot();
    EXPECT_EQ(snapshot_since(snapshot, {}), snapshot);
}

TEST(Delta, ExitsInBetween) {
    const Snapshot earlier = test::make_snapshot();
    Snapshot later = earlier;
    later.duration_s = 12.0;
    later.lost.table_full = 7;
    later.cost.cpu_ns += 17;
    later.cost.vcpus_used = 2;
    later.vms[0].vcpus[0].guest_ns += 9;
    ExitStats more = test::make_exits(30, {{50'000, 4}});
    more.vmm_ns = 11;
    more.halted_ns = 13;
    later.vms[0].vcpus[0].exits[3] += more;
    const Snapshot delta = snapshot_since(later, earlier);
    EXPECT_EQ(delta.duration_s, 2.0);
    EXPECT_EQ(delta.lost.table_full, 7U);
    EXPECT_EQ(delta.cost.cpu_ns, 17U);
    EXPECT_EQ(delta.cost.vcpus_used, 2U) << "a state, no count";
    EXPECT_EQ(delta.vms[0].vcpus[0].guest_ns, 9U);
    ASSERT_EQ(delta.vms[0].vcpus[0].exits.size(), 1U);
    const ExitStats& stats = find_exits(delta, 0, 30);
    EXPECT_EQ(stats.count, 4U);
    EXPECT_EQ(stats.time_ns, 200'000U);
    EXPECT_EQ(stats.vmm_ns, 11U);
    EXPECT_EQ(stats.halted_ns, 13U);
    EXPECT_EQ(stats.histogram, more.histogram);
    // No record: at most the end of the bucket.
    EXPECT_EQ(stats.max_ns, bucket_upper(bucket_of(50'000)) - 1);
}

TEST(Delta, ARecordIsExact) {
    const Snapshot earlier = test::make_snapshot();
    Snapshot later = earlier;
    later.vms[0].vcpus[0].exits[3] += test::make_exits(30, {{7'654'321, 1}});
    EXPECT_EQ(find_exits(snapshot_since(later, earlier), 0, 30).max_ns, 7'654'321U);
}

TEST(Delta, VmsThatCameAndWent) {
    const Snapshot earlier = test::make_snapshot();
    Snapshot later = earlier;
    later.vms[0].ended = true;
    later.vms.push_back(test::make_ended_vm());
    later.vms.back().id = "3";
    later.vms.back().ended = false;
    Snapshot delta = snapshot_since(later, earlier);
    ASSERT_EQ(delta.vms.size(), 2U);
    EXPECT_EQ(sum_of(exits_by_reason(delta.vms[1])).count, 12U);

    later.vms.erase(later.vms.begin());
    delta = snapshot_since(later, earlier);
    EXPECT_EQ(delta.vms.size(), 1U);
}

TEST(Delta, CountersThatGoBackAreNothing) {
    const Snapshot later = test::make_snapshot();
    Snapshot earlier = later;
    earlier.duration_s = 20.0;
    earlier.lost.program_missed = 4;
    for (Vcpu& vcpu : earlier.vms[0].vcpus) {
        vcpu.guest_ns += 5;
        for (ExitStats& stats : vcpu.exits) stats += stats;
    }
    const Snapshot delta = snapshot_since(later, earlier);
    EXPECT_EQ(delta.duration_s, 0.0);
    EXPECT_EQ(delta.lost, Lost{});
    EXPECT_EQ(delta.vms[0].vcpus[0].guest_ns, 0U);
    EXPECT_TRUE(exits_by_reason(delta.vms[0]).empty());
}

TEST(Delta, AnotherProcessOrThreadIsNew) {
    Snapshot later = test::make_snapshot();
    const Snapshot earlier = later;
    later.vms[0].pid = 5'555;
    Snapshot delta = snapshot_since(later, earlier);
    EXPECT_EQ(delta.vms[0], later.vms[0]);

    later = earlier;
    later.vms[0].vcpus[0].tid = 5'556;
    delta = snapshot_since(later, earlier);
    EXPECT_EQ(delta.vms[0].vcpus[0], later.vms[0].vcpus[0]);
    EXPECT_TRUE(delta.vms[0].vcpus[1].exits.empty());
}

// ---- What holds for all snapshots that follow one another.

std::uint64_t up_to(std::uint64_t most) {
    return *rc::gen::resize(rc::kNominalSize, rc::gen::inRange<std::uint64_t>(0, most + 1));
}

void exit_some(ExitStats& stats) {
    ExitStats more;
    for (std::uint64_t i = up_to(3); i > 0; --i) {
        const std::uint64_t ns = up_to(3) == 0 ? up_to(UINT64_C(1) << 40) : up_to(5'000);
        more += test::make_exits(stats.code, {{ns, 1 + up_to(3)}});
        more.vmm_ns += ns / 2;
        more.halted_ns += ns / 3;
    }
    stats += more;
}

void exit_some(std::vector<ExitStats>& exits) {
    for (const GuestLevel level : {GuestLevel::l1, GuestLevel::l2}) {
        for (std::uint32_t code = 0; code < 3; ++code) {
            if (up_to(1) == 0) continue;
            const auto found = std::ranges::find_if(exits, [&](const ExitStats& stats) {
                return stats.level == level && stats.code == code;
            });
            if (found != exits.end()) {
                exit_some(*found);
                continue;
            }
            ExitStats stats;
            stats.code = code;
            stats.level = level;
            exit_some(stats);
            if (stats.count > 0) exits.push_back(stats);
        }
    }
    std::ranges::sort(exits, {}, key_of);
}

Snapshot follow(const Snapshot& before) {
    Snapshot after = before;
    after.taken_at += "+";
    after.duration_s += static_cast<double>(up_to(5));
    for (const LostCause& cause : lost_causes()) after.lost.*cause.value += up_to(2);
    after.lost.unknown["later"] += up_to(2);
    after.cost.cpu_ns += up_to(9);
    after.cost.runs += up_to(9);
    after.cost.vcpus_used = static_cast<std::uint32_t>(up_to(9));
    for (std::uint64_t i = up_to(2); i > 0; --i) {
        Vm vm;
        vm.id = std::to_string(after.vms.size() + 1);
        vm.name = std::string(1, static_cast<char>('a' + up_to(2)));
        vm.pid = static_cast<std::uint32_t>(up_to(3));
        after.vms.push_back(vm);
    }
    for (Vm& vm : after.vms) {
        if (vm.ended) continue;
        for (std::uint64_t i = up_to(1); i > 0; --i) {
            Vcpu vcpu;
            vcpu.id = static_cast<std::uint32_t>(vm.vcpus.size());
            vm.vcpus.push_back(vcpu);
        }
        for (Vcpu& vcpu : vm.vcpus) {
            vcpu.guest_ns += up_to(9);
            vcpu.kvm_exits = vcpu.kvm_exits.value_or(0) + up_to(9);
            vcpu.untraced += up_to(2);
            vcpu.uncounted += up_to(2);
            exit_some(vcpu.exits);
        }
        vm.ended = up_to(3) == 0;
    }
    std::ranges::sort(after.vms, {}, [](const Vm& vm) { return std::tie(vm.name, vm.id); });
    return after;
}

TEST(Delta, WhatKvmCountedInBetweenIsKnownWhereBothEndsAre) {
    const auto with = [](std::optional<std::uint64_t> kvm_exits, std::uint64_t untraced) {
        Snapshot snapshot = test::make_snapshot();
        snapshot.vms[0].vcpus[0].kvm_exits = kvm_exits;
        snapshot.vms[0].vcpus[0].untraced = untraced;
        return snapshot;
    };
    const auto first = [](const Snapshot& delta) { return delta.vms[0].vcpus[0]; };
    const Snapshot known = snapshot_since(with(150, 7), with(100, 4));
    EXPECT_EQ(first(known).kvm_exits, 50U);
    EXPECT_EQ(first(known).untraced, 3U);
    const Snapshot unknown = snapshot_since(with(std::nullopt, 0), with(100, 4));
    EXPECT_EQ(first(unknown).kvm_exits, std::nullopt);
    EXPECT_EQ(first(unknown).untraced, 0U);
    const Snapshot new_known = snapshot_since(with(150, 7), with(std::nullopt, 0));
    EXPECT_EQ(first(new_known).kvm_exits, std::nullopt);
}

/// All that adds up, of all VMs together.
std::vector<std::uint64_t> numbers_of(const Snapshot& snapshot) {
    ExitStats exits;
    VcpuInfo vcpus;
    vcpus.kvm_exits = 0;
    for (const Vm& vm : snapshot.vms) {
        exits += sum_of(exits_by_reason(vm));
        vcpus += sum_of_vcpus(vm);
    }
    std::vector<std::uint64_t> numbers = {
        vcpus.guest_ns,          *vcpus.kvm_exits,
        vcpus.untraced,          vcpus.uncounted,
        exits.histogram.total(), lost_total(snapshot.lost),
        snapshot.cost.cpu_ns,    snapshot.cost.runs,
        snapshot.cost.run_ns,    std::uint64_t(snapshot.duration_s)};
    for (const auto number : exit_numbers) numbers.push_back(exits.*number);
    return numbers;
}

TEST(Delta, PartsOfTheTimeAreKnownWhereBothEndsKnowThem) {
    Snapshot earlier, later;
    earlier.known_parts = {TimePart::vmm, TimePart::halted};
    later.known_parts = {TimePart::halted, TimePart::polled};
    EXPECT_EQ(snapshot_since(later, earlier).known_parts, TimeParts{TimePart::halted});
}

TEST(Delta, PartsAddUp) {
    EXPECT_TRUE(rc::check("(b - a) + (c - b) == c - a", [] {
        const Snapshot a = follow({});
        const Snapshot b = follow(a);
        const Snapshot c = follow(b);
        std::vector<std::uint64_t> sums = numbers_of(snapshot_since(b, a));
        std::ranges::transform(sums, numbers_of(snapshot_since(c, b)), sums.begin(), std::plus{});
        RC_ASSERT(sums == numbers_of(snapshot_since(c, a)));
    }));
}

TEST(Delta, NothingIsMoreThanTheLaterOne) {
    EXPECT_TRUE(rc::check("bounds, whatever the two are", [] {
        const Snapshot a = follow(follow({}));
        Snapshot b = follow(follow({}));
        const Snapshot delta = snapshot_since(b, a);
        for (const Vm& vm : delta.vms) {
            const auto whole = std::ranges::find(b.vms, vm.id, &Vm::id);
            RC_ASSERT(whole != b.vms.end());
            const ExitStats part = sum_of(exits_by_reason(vm));
            const ExitStats sum = sum_of(exits_by_reason(*whole));
            RC_ASSERT(part.count <= sum.count);
            RC_ASSERT(part.time_ns <= sum.time_ns);
            RC_ASSERT(part.max_ns <= sum.max_ns);
            RC_ASSERT(part.histogram.total() <= sum.histogram.total());
        }
        RC_ASSERT(delta.duration_s >= 0.0);
    }));
}

}  // namespace
}  // namespace exittop
