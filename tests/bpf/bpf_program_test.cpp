// SPDX-License-Identifier: GPL-2.0-only
// How the BPF program handles events: reasons and their cells, vCPUs and their slots, losses.
#include "capture/bpf_program.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <iostream>
#include <map>
#include <random>
#include <set>
#include <span>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "capture/vm_table.h"
#include "detached_program.h"
#include "kernel_objects.h"

namespace exittop::test {
namespace {

constexpr std::uint32_t invalid_state_failed_entry = 0x80000021;

class Counting : public DetachedProgram {};

TEST_F(Counting, StartsWithNothing) {
    EXPECT_EQ(program_->variant(), AttachVariant::raw_reason);
    EXPECT_EQ(program_->slots().size(), std::size_t{EXITTOP_SLOTS_OF(16)});
    EXPECT_EQ(program_->slot_states().size(), program_->slots().size());
    for (const std::uint8_t state : program_->slot_states()) EXPECT_EQ(state, 0U);
    EXPECT_EQ(program_->memory().table_full, 0U);
    EXPECT_EQ(program_->memory().changes, 0U);
    for (const ProgramFacts& facts : program_->programs()) {
        std::cout << facts.name << ": " << facts.verified_instructions << " instructions verified, "
                  << facts.jited_bytes << " bytes of machine code\n";
        EXPECT_GT(facts.verified_instructions, 0U) << facts.name;
        EXPECT_GT(facts.jited_bytes, 0U) << facts.name;
    }
    EXPECT_EQ(program_->programs().size(), 11U);
}

TEST_F(Counting, NotesWhoAVcpuIs) {
    const std::uint64_t before = monotonic_ns();
    exit(vcpu_a, 0x72);
    const std::uint64_t after = monotonic_ns();
    const vcpu_header& header = slot(vcpu_a).header;
    EXPECT_EQ(program_->slot_states()[number_of(vcpu_a)], EXITTOP_SLOT_IN_USE);
    EXPECT_EQ(header.isa, svm);
    EXPECT_EQ(header.who.pid, static_cast<std::uint32_t>(getpid()));
    EXPECT_EQ(header.who.tid, static_cast<std::uint32_t>(gettid()));
    EXPECT_GE(header.who.first_ns, before);
    EXPECT_LE(header.who.first_ns, header.exit_ns);
    EXPECT_LE(header.exit_ns, after);
    // The kernel keeps 15 characters of it.
    EXPECT_EQ(header.who.command, std::string(program_invocation_short_name).substr(0, 15));
    EXPECT_EQ(header.who.ended_ns, 0U);
    EXPECT_EQ(program_->memory().changes, 1U);
}

TEST_F(Counting, CountsPerReasonAndVcpu) {
    std::map<std::pair<std::uint64_t, std::uint32_t>, std::uint64_t> expected;
    std::minstd_rand random(1);
    for (int i = 0; i < 5'000; ++i) {
        const std::uint64_t vcpu = (1 + random() % 7) * 0x1000;
        const auto code = static_cast<std::uint32_t>(0x60 + random() % 24);
        exit_and_entry(vcpu, code);
        ++expected[{vcpu, code}];
    }
    std::map<std::pair<std::uint64_t, std::uint32_t>, std::uint64_t> found;
    for (std::uint64_t vcpu = 0x1000; vcpu <= 0x7000; vcpu += 0x1000) {
        const SlotContents contents = read(vcpu);
        EXPECT_EQ(lost_total(contents.lost), contents.lost.unknown_code);
        for (const ExitStats& stats : contents.vcpu.exits) {
            found[{vcpu, stats.code}] = stats.count;
            EXPECT_EQ(stats.histogram.total(), stats.count);
            EXPECT_LE(stats.max_ns, stats.time_ns);
            EXPECT_GE(stats.max_ns * stats.count, stats.time_ns);
        }
    }
    EXPECT_EQ(found, expected);
}

TEST_F(Counting, FindsEveryCodeAgain) {
    // The first and last codes that have their own index entry; all other codes are searched for.
    const std::vector<std::uint32_t> codes = {
        0,          1,          0xbf,       0xc0,       0x3ff,
        0x400,      0x401,      0x40f,      0x410,      0x500,
        0xf0000000, 0xffffffff, 0xfffffffe, 0x80000000, invalid_state_failed_entry,
        0x21,       0x100,      0x1c0};
    for (int round = 0; round < 3; ++round) {
        for (const std::uint32_t code : codes) exit_and_entry(vcpu_a, code);
    }
    EXPECT_EQ(read(vcpu_a).vcpu.exits.size(), codes.size());
    for (const std::uint32_t code : codes) EXPECT_EQ(count(vcpu_a, code), 3U) << code;
}

TEST_F(Counting, TimesAnExitUntilItsEntry) {
    exit(vcpu_a, 0x7b);
    const vcpu_header& header = slot(vcpu_a).header;
    const std::uint64_t began = header.exit_ns;
    EXPECT_NE(began, 0U);
    const std::uint64_t earliest = monotonic_ns();
    entry(vcpu_a);
    const std::uint64_t latest = monotonic_ns();
    EXPECT_EQ(header.exit_ns, 0U);
    const ExitStats stats = read(vcpu_a).vcpu.exits.at(0);
    EXPECT_GE(stats.time_ns, earliest - began);
    EXPECT_LE(stats.time_ns, latest - began);
    EXPECT_EQ(stats.max_ns, stats.time_ns);
}

TEST_F(Counting, KeepsAnUnknownIsa) {
    exit(vcpu_a, 0x10, 7);
    EXPECT_EQ(slot(vcpu_a).header.isa, 7U);
    EXPECT_EQ(read(vcpu_a).lost.unknown_code, 1U);
    EXPECT_EQ(count(vcpu_a, 0x10), 1U);
    // A program that reads the code itself cannot read it at address 0, which must not count as
    // reason 0.
    EXPECT_NE(slot(vcpu_a).header.code_at, 0U);
}

TEST_F(Counting, ReasonsBeyondTheRoomAreCountedTogether) {
    constexpr std::uint32_t room = EXITTOP_CELLS - 1;
    for (std::uint32_t code = 0; code < room + 10; ++code) exit_and_entry(vcpu_a, code);
    for (std::uint32_t code = 0; code < room + 10; ++code) exit_and_entry(vcpu_a, code);
    const SlotContents contents = read(vcpu_a);
    EXPECT_EQ(contents.vcpu.exits.size(), room);
    EXPECT_EQ(contents.lost.reasons_full, 20U);
    for (std::uint32_t code = 0; code < room; ++code) EXPECT_EQ(count(vcpu_a, code), 2U);
    EXPECT_EQ(contents.lost.entry_without_exit + contents.lost.exit_without_entry, 0U);
}

TEST_F(Counting, AnExitWithoutEntryIsNoted) {
    exit(vcpu_a, 0x72);
    exit(vcpu_a, 0x7b);
    exit(vcpu_a, 0x7b);
    entry(vcpu_a);
    EXPECT_EQ(read(vcpu_a).lost.exit_without_entry, 2U);
    EXPECT_EQ(count(vcpu_a, 0x7b), 2U);
    EXPECT_EQ(read(vcpu_a).vcpu.exits.at(0).time_ns, 0U) << "what was not timed has no time";
    EXPECT_EQ(read(vcpu_a).vcpu.exits.at(1).histogram.total(), 1U);
}

TEST_F(Counting, AnExitFromBeforeAllWasAttachedIsNoLoss) {
    program_->memory().armed_ns = UINT64_MAX;
    exit(vcpu_a, 0x72);
    exit(vcpu_a, 0x72);
    program_->memory().armed_ns = monotonic_ns();
    exit(vcpu_a, 0x72);
    EXPECT_EQ(read(vcpu_a).lost.exit_without_entry, 0U);
    exit(vcpu_a, 0x72);
    EXPECT_EQ(read(vcpu_a).lost.exit_without_entry, 1U);
}

TEST_F(Counting, AnEntryWithoutExitIsNoted) {
    entry(vcpu_a);
    EXPECT_EQ(number_of(vcpu_a), 0U) << "its exit came before exittop did";
    exit_and_entry(vcpu_a, 0x72);
    EXPECT_EQ(read(vcpu_a).lost, Lost{});
    entry(vcpu_a);
    entry(vcpu_a);
    EXPECT_EQ(read(vcpu_a).lost.entry_without_exit, 2U);
    EXPECT_EQ(count(vcpu_a, 0x72), 1U);
}

TEST_F(Counting, EventsOfATaskWithoutVcpuChangeNothing) {
    exit(vcpu_a, 0x72);
    const vcpu_slot before = slot(vcpu_a);
    const std::array<std::uint64_t, 1> load = {1};
    const std::array<std::uint64_t, 1> put = {0};
    EXPECT_EQ(program_->test_run("fpu_helper", load), 0);
    EXPECT_EQ(program_->test_run("fpu_helper", put), 0);
    EXPECT_EQ(std::memcmp(&before, &slot(vcpu_a), sizeof before), 0);
    EXPECT_EQ(program_->memory().changes, 1U);
}

TEST_F(Counting, WhatIsNotLoadedCannotRun) {
    const std::array<std::uint64_t, 2> arguments = {vcpu_a, svm};
    EXPECT_LT(program_->test_run("exit_typed", arguments), 0);
    EXPECT_EQ(program_->test_run("no_such_program", arguments), -ENOENT);
}

TEST_F(Counting, FollowsTheGuestLevelOfTheVcpu) {
    const auto layout = vcpu_layout();
    const std::uint64_t code = kernel_function("find_task_by_vpid");
    if (!layout || code == 0) GTEST_SKIP() << "this kernel shows no struct kvm_vcpu or no address";
    // Words of the kernel's own code stand for hflags. What they are is known, as the program notes
    // the word where a vCPU keeps its struct kvm.
    std::set<GuestLevel> levels;
    ASSERT_NO_FATAL_FAILURE(load(32));
    // A vCPU's address is a multiple of four: its lowest bits have a meaning of their own in a
    // slot.
    ASSERT_EQ(layout->kvm % 4, layout->hflags % 4);
    const std::uint64_t first = (code + 3) / 4 * 4 + layout->kvm % 4;
    for (std::uint64_t word = first; word < first + 48; word += 4) {
        exit(word - layout->kvm, 0x72);
        const std::uint64_t hflags = slot(word - layout->kvm).header.who.kvm;
        ASSERT_NE(hflags, 0U);
        SCOPED_TRACE(hflags);
        const auto expected = (hflags & layout->guest_mask) != 0 ? GuestLevel::l2 : GuestLevel::l1;
        levels.insert(expected);
        const std::uint64_t vcpu = word - layout->hflags;
        for (const std::uint32_t exit_code : {0x72U, 0x500U, 0x72U, 0x500U, 0x401U}) {
            exit_and_entry(vcpu, exit_code);
        }
        const auto exits = read(vcpu).vcpu.exits;
        ASSERT_EQ(exits.size(), 3U);
        for (const ExitStats& stats : exits) {
            EXPECT_EQ(stats.level, expected);
            EXPECT_EQ(stats.count, stats.code == 0x401 ? 1U : 2U);
        }
    }
    EXPECT_EQ(levels.size(), 2U) << "the words all say the same";
}

/// KVM's own count beside the slot's: stat.exits of a made-up vCPU is a word of the kernel's code,
/// which never changes, so that KVM counts nothing more than at the first exit.
class KvmCounts : public DetachedProgram {
protected:
    void SetUp() override {
        const auto layout = vcpu_layout();
        const std::uint64_t code = kernel_function("find_task_by_vpid");
        if (!layout || code == 0) GTEST_SKIP() << "this kernel shows no struct kvm_vcpu or address";
        load(16);
        vcpu_ = code - layout->exits;
    }
    /// What a look at a vCPU reports after that many of its exits.
    std::int64_t more_after(int exits, exittop_count_order order) {
        for (int i = 0; i < exits; ++i) exit_and_entry(vcpu_, 0x72);
        program_->memory().count_order = order;
        program_->look_at_kvm_counts();
        const std::int64_t more = slot(vcpu_).header.kvm_exits_more;
        const std::uint32_t number = number_of(vcpu_);
        EXPECT_TRUE(forget_vcpu(vcpu_));
        program_->release_slot(number);
        return more;
    }

    std::uint64_t vcpu_ = 0;
};

TEST_F(KvmCounts, AreNotKnownBeforeTheOrderIs) {
    exit_and_entry(vcpu_, 0x72);
    EXPECT_EQ(slot(vcpu_).header.kvm_exits_more, EXITTOP_MORE_UNKNOWN);
    EXPECT_NE(slot(vcpu_).header.kvm_exits_first, EXITTOP_KVM_EXITS_UNKNOWN);
    EXPECT_EQ(more_after(1, EXITTOP_ORDER_UNKNOWN), EXITTOP_MORE_UNKNOWN);
}

TEST_F(KvmCounts, TheFirstExitIsAmongThemWhereKvmCountsFirst) {
    EXPECT_EQ(more_after(1, EXITTOP_COUNTED_FIRST), 0);
}

TEST_F(KvmCounts, AnExitThatKvmIsAboutToCountIsNoDifference) {
    EXPECT_EQ(more_after(1, EXITTOP_TRACED_FIRST), 0);
}

TEST_F(KvmCounts, FewerThanExittopsAreUnknown) {
    EXPECT_LT(more_after(3, EXITTOP_COUNTED_FIRST), 0);
    EXPECT_LT(more_after(3, EXITTOP_TRACED_FIRST), 0);
}

TEST_F(KvmCounts, OfAVcpuThatCannotBeReadAreUnknown) {
    vcpu_ = vcpu_a;
    exit_and_entry(vcpu_, 0x72);
    EXPECT_EQ(slot(vcpu_).header.kvm_exits_first, EXITTOP_KVM_EXITS_UNKNOWN);
    EXPECT_EQ(more_after(1, EXITTOP_COUNTED_FIRST), EXITTOP_MORE_UNKNOWN);
}

/// Index of the hash slot where the search for a vCPU begins, by the low half of its address.
std::uint64_t first_slot_of(std::uint32_t low, std::uint64_t max_vcpus) {
    return std::uint64_t{low * 0x9e3779b1U} * (max_vcpus + 1) >> 32;
}

/// Slots and how they are found. Each test loads for the number of vCPUs that it needs.
class Slots : public DetachedProgram {
protected:
    void SetUp() override {}

    /// What happens in the kernel when KVM frees a vCPU: a kprobe, which cannot be run by hand.
    void destroy(std::uint64_t vcpu) {
        const std::uint32_t number = number_of(vcpu);
        ASSERT_NE(number, 0U);
        ASSERT_TRUE(forget_vcpu(vcpu));
        vcpu_header& header = program_->slots()[number].header;
        header.vcpu = 0;
        header.who.ended_ns = monotonic_ns();
        program_->slot_states()[number] = EXITTOP_SLOT_ENDED;
    }
    /// Exits of vCPUs without a slot, of all and of one.
    std::uint64_t uncounted() {
        std::uint64_t sum = program_->memory().table_full;
        for (const waiting_vcpu& waiting : program_->waiting()) sum += waiting.exits;
        return sum;
    }
    std::uint64_t uncounted(std::uint64_t vcpu) {
        const waiting_vcpu* waiting = waiting_of(vcpu);
        return waiting != nullptr ? waiting->exits : 0;
    }
    const waiting_vcpu* waiting_of(std::uint64_t vcpu) {
        const auto found = std::ranges::find(program_->waiting(), vcpu, &waiting_vcpu::vcpu);
        return found != program_->waiting().end() ? &*found : nullptr;
    }
};

/// Loads for a number of vCPUs, or ends the test if the kernel does not allow it.
#define LOAD_FOR(max_vcpus)                   \
    ASSERT_NO_FATAL_FAILURE(load(max_vcpus)); \
    if (!program_) return

/// Exits of several vCPUs in turn, a different number for each; each must be found in its own slot.
#define EXPECT_COUNTS_APART(vcpus)                                               \
    do {                                                                         \
        for (std::size_t round = 0; round < (vcpus).size(); ++round) {           \
            for (std::size_t i = round; i < (vcpus).size(); ++i) {               \
                ASSERT_NO_FATAL_FAILURE(exit_and_entry((vcpus)[i], 0x72));       \
            }                                                                    \
        }                                                                        \
        for (std::size_t i = 0; i < (vcpus).size(); ++i) {                       \
            EXPECT_EQ(count((vcpus)[i], 0x72), i + 1) << std::hex << (vcpus)[i]; \
            EXPECT_EQ(lost_total(read((vcpus)[i]).lost), 0U);                    \
        }                                                                        \
        EXPECT_EQ(program_->memory().changes, (vcpus).size());                   \
        EXPECT_EQ(uncounted(), 0U);                                              \
    } while (false)

/// Addresses for which the search begins at one slot.
std::vector<std::uint64_t> with_first_slot(std::uint64_t home, std::uint64_t max_vcpus,
                                           std::size_t wanted) {
    std::vector<std::uint64_t> found;
    for (std::uint64_t low = 8; found.size() < wanted && low < 1ULL << 32; low += 8) {
        if (first_slot_of(static_cast<std::uint32_t>(low), max_vcpus) == home) found.push_back(low);
    }
    return found;
}

TEST_F(Slots, VcpusWithOneFirstSlotStayApart) {
    LOAD_FOR(64);
    for (const std::uint64_t home : {7U, 40U}) {  // Near one another, and near the first.
        const auto vcpus = with_first_slot(home, 64, 3 * EXITTOP_FIND_PROBES);
        ASSERT_EQ(vcpus.size(), std::size_t{3 * EXITTOP_FIND_PROBES});
        for (const std::uint64_t vcpu : vcpus) exit_and_entry(vcpu, 0x72);
        for (const std::uint64_t vcpu : vcpus) exit_and_entry(vcpu, 0x72);
        for (const std::uint64_t vcpu : vcpus) EXPECT_EQ(count(vcpu, 0x72), 2U);
    }
    EXPECT_EQ(uncounted(), 0U);
}

TEST_F(Slots, TheFirstSlotFollowsTheLast) {
    LOAD_FOR(64);
    const auto vcpus = with_first_slot(64, 64, 64);
    EXPECT_COUNTS_APART(vcpus);
}

TEST_F(Slots, WhatFindsNoRoomNearItsHomeGetsOneOfTheLast) {
    LOAD_FOR(4096);
    const auto vcpus = with_first_slot(1000, 4096, EXITTOP_INSERT_PROBES + 20);
    EXPECT_COUNTS_APART(vcpus);
    EXPECT_GT(number_of(vcpus.back()), 4096U);
    const std::uint32_t last = number_of(vcpus.back());
    ASSERT_NO_FATAL_FAILURE(destroy(vcpus.back()));
    program_->release_slot(last);
    exit_and_entry(vcpus.back(), 0x7b);
    EXPECT_EQ(count(vcpus.back(), 0x7b), 1U);
}

TEST_F(Slots, NobodyIsAtHomeInSlotZero) {
    LOAD_FOR(64);
    const auto vcpus = with_first_slot(0, 64, 5);
    EXPECT_COUNTS_APART(vcpus);
    EXPECT_EQ(program_->slot_states()[0], EXITTOP_SLOT_FREE);
}

TEST_F(Slots, VcpusWithEqualLowHalvesStayApart) {
    LOAD_FOR(64);
    std::vector<std::uint64_t> vcpus;
    for (std::uint64_t high = 0; high < 20; ++high) vcpus.push_back(high << 32 | 0x7000);
    EXPECT_COUNTS_APART(vcpus);
}

TEST_F(Slots, AFullTableIsNoted) {
    LOAD_FOR(2);
    exit_and_entry(vcpu_a, 0x72);
    exit_and_entry(vcpu_b, 0x72);
    for (int i = 0; i < 3; ++i) exit_and_entry(0x3000, 0x72);
    exit_and_entry(0x4000, 0x72);
    EXPECT_EQ(uncounted(), 4U);
    EXPECT_EQ(number_of(0x3000), 0U);
    exit_and_entry(vcpu_a, 0x72);
    EXPECT_EQ(count(vcpu_a, 0x72), 2U);
    EXPECT_EQ(count(vcpu_b, 0x72), 1U);
    EXPECT_EQ(program_->memory().changes, 4U) << "two with a slot and two that wait";
}

TEST_F(Slots, WhoGotNoneIsNoted) {
    LOAD_FOR(1);
    exit_and_entry(vcpu_a, 0x72);
    const std::uint64_t before = monotonic_ns();
    for (int i = 0; i < 3; ++i) exit_and_entry(vcpu_b, 0x72);
    ASSERT_NE(waiting_of(vcpu_b), nullptr);
    const waiting_vcpu& waiting = *waiting_of(vcpu_b);
    EXPECT_EQ(waiting.exits, 3U);
    EXPECT_EQ(waiting.state, EXITTOP_SLOT_IN_USE);
    EXPECT_EQ(waiting.who.pid, static_cast<std::uint32_t>(getpid()));
    EXPECT_EQ(waiting.who.tid, static_cast<std::uint32_t>(gettid()));
    EXPECT_EQ(waiting.who.uid, geteuid());
    EXPECT_GE(waiting.who.first_ns, before);
    EXPECT_EQ(waiting.who.ended_ns, 0U);
    EXPECT_EQ(program_->memory().table_full, 0U);
}

TEST_F(Slots, WhoGetsOneLaterWaitsNoLonger) {
    LOAD_FOR(1);
    exit_and_entry(vcpu_a, 0x72);
    exit_and_entry(vcpu_b, 0x72);
    const waiting_vcpu& waiting = *waiting_of(vcpu_b);
    const std::uint32_t number = number_of(vcpu_a);
    ASSERT_NO_FATAL_FAILURE(destroy(vcpu_a));
    program_->release_slot(number);
    exit_and_entry(vcpu_b, 0x72);
    EXPECT_EQ(count(vcpu_b, 0x72), 1U);
    EXPECT_EQ(waiting.vcpu, 0U);
    EXPECT_EQ(waiting.exits, 1U);
    EXPECT_EQ(waiting.who.ended_ns, 0U);
    EXPECT_EQ(waiting.state, EXITTOP_SLOT_ENDED);
    EXPECT_EQ(slot(vcpu_b).header.is_new, 0U) << "KVM has counted an exit that was not";
    program_->release_waiting(static_cast<std::uint32_t>(&waiting - program_->waiting().data()));
    EXPECT_EQ(waiting.state, EXITTOP_SLOT_FREE);
}

TEST_F(Slots, MoreThanCanWaitAreCountedTogether) {
    LOAD_FOR(1);
    exit_and_entry(vcpu_a, 0x72);
    constexpr std::uint64_t many = 4 * EXITTOP_WAITING;
    for (std::uint64_t i = 1; i <= many; ++i) exit_and_entry(i << 12, 0x72);
    for (std::uint64_t i = 1; i <= many; ++i) exit_and_entry(i << 12, 0x72);
    // vcpu_a is one of them, and has its slot.
    EXPECT_EQ(uncounted(), 2 * many - 2);
    const auto waits = [](const waiting_vcpu& waiting) { return waiting.exits == 2; };
    EXPECT_GT(std::ranges::count_if(program_->waiting(), waits), EXITTOP_WAITING / 2);
    EXPECT_EQ(count(vcpu_a, 0x72), 3U);
}

TEST_F(Slots, AreTakenAwayForOthers) {
    LOAD_FOR(1);
    exit_and_entry(vcpu_a, 0x72);
    exit_and_entry(vcpu_b, 0x72);
    const std::uint32_t number = number_of(vcpu_a);
    const std::uint32_t first_ns_low = static_cast<std::uint32_t>(slot(vcpu_a).header.who.first_ns);
    exit(vcpu_a, 0x7b);  // In progress when its slot is taken away.
    program_->limit_users({geteuid()});
    program_->evict(std::array{number});
    const vcpu_header& header = program_->slots()[number].header;
    EXPECT_EQ(program_->slot_states()[number], EXITTOP_SLOT_ENDED);
    EXPECT_EQ(header.evicted, 1U);
    EXPECT_EQ(header.exit_without_entry, 1U);
    entry(vcpu_a);
    exit_and_entry(vcpu_a, 0x7b);
    EXPECT_EQ(uncounted(vcpu_a), 1U);
    ASSERT_NE(waiting_of(vcpu_a), nullptr);
    EXPECT_EQ(static_cast<std::uint32_t>(waiting_of(vcpu_a)->who.first_ns), first_ns_low);
    EXPECT_EQ(read_slot(program_->slots()[number]).vcpu.exits.size(), 2U);

    program_->release_slot(number);
    exit_and_entry(vcpu_b, 0x72);
    EXPECT_EQ(number_of(vcpu_b), 0U) << "its user may have no more";
    EXPECT_EQ(uncounted(vcpu_b), 2U);
    program_->limit_users({});
    exit_and_entry(vcpu_b, 0x72);
    EXPECT_EQ(count(vcpu_b, 0x72), 1U);
}

TEST_F(Slots, AreTakenAwayFromTheVcpuThatWasFoundThere) {
    LOAD_FOR(2);
    exit_and_entry(vcpu_a, 0x72);
    const std::uint32_t number = number_of(vcpu_a);
    program_->test_run("evict_slot", std::array<std::uint64_t, 2>{number, vcpu_b});
    program_->test_run("evict_slot", std::array<std::uint64_t, 2>{number, 0});
    EXPECT_EQ(program_->slot_states()[number], EXITTOP_SLOT_IN_USE);
    EXPECT_EQ(waiting_of(vcpu_a), nullptr);
    EXPECT_EQ(waiting_of(vcpu_b), nullptr);
}

TEST_F(Slots, WaitingEndsWithTheProcess) {
    LOAD_FOR(1);
    exit_and_entry(vcpu_a, 0x72);
    exit_and_entry(vcpu_b, 0x72);
    const waiting_vcpu& waiting = *waiting_of(vcpu_b);
    program_->end_waiting(
        [](const vcpu_identity& who) { return who.pid != std::uint32_t(getpid()); });
    EXPECT_EQ(waiting.vcpu, vcpu_b);
    program_->end_waiting([](const vcpu_identity&) { return true; });
    EXPECT_EQ(waiting.vcpu, 0U);
    EXPECT_NE(waiting.who.ended_ns, 0U);
    EXPECT_EQ(waiting.state, EXITTOP_SLOT_ENDED);
}

TEST_F(Slots, AreNotSearchedForUntilOneIsGivenBack) {
    LOAD_FOR(2);
    exit_and_entry(vcpu_a, 0x72);
    std::uint64_t taken = 1;
    for (std::uint64_t i = 1; uncounted() == 0; ++i, ++taken) {
        exit_and_entry(0x10000 * i, 0x72);
    }
    EXPECT_EQ(taken - 1, EXITTOP_SLOTS_OF(2) - 1U) << "all but slot 0";
    exit_and_entry(vcpu_b, 0x72);
    // A slot that is free but was never given back is not found, so nothing is tried.
    const std::uint32_t hidden = number_of(vcpu_a);
    ASSERT_NO_FATAL_FAILURE(destroy(vcpu_a));
    const std::uint64_t given_back = program_->memory().given_back;
    program_->release_slot(hidden);
    EXPECT_EQ(program_->memory().given_back, given_back + 1);
    program_->memory().given_back = given_back;
    exit_and_entry(vcpu_b, 0x72);
    EXPECT_EQ(count(vcpu_b, 0x72), 0U);
    program_->memory().given_back = given_back + 1;
    exit_and_entry(vcpu_b, 0x72);
    EXPECT_EQ(count(vcpu_b, 0x72), 1U);
}

TEST_F(Slots, OneIsEnough) {
    LOAD_FOR(1);
    exit_and_entry(vcpu_a, 0x72);
    exit_and_entry(vcpu_b, 0x72);
    EXPECT_EQ(count(vcpu_a, 0x72), 1U);
    EXPECT_EQ(uncounted(), 1U);
}

TEST_F(Slots, AsManyAsCanBeAskedFor) {
    LOAD_FOR(EXITTOP_MAX_SLOTS);
    EXPECT_EQ(program_->slots().size(), std::size_t{EXITTOP_SLOTS_OF(EXITTOP_MAX_SLOTS)});
    EXPECT_GE(program_->memory_bytes(), std::size_t{EXITTOP_MAX_SLOTS} * EXITTOP_SLOT_SIZE);
    for (std::uint64_t i = 1; i <= EXITTOP_MAX_SLOTS + 1; ++i) {
        ASSERT_NO_FATAL_FAILURE(exit_and_entry(i << 8, 0x72));
    }
    EXPECT_EQ(uncounted(), 1U);
    std::size_t used = 0;
    for (std::size_t number = 0; number < program_->slots().size(); ++number) {
        if (program_->slot_states()[number] == EXITTOP_SLOT_FREE) continue;
        ASSERT_EQ(read_slot(program_->slots()[number]).vcpu.exits.at(0).count, 1U);
        ++used;
    }
    EXPECT_EQ(used, std::size_t{EXITTOP_MAX_SLOTS});
}

TEST_F(Slots, AnAddressUsedAgainGetsAnEmptySlot) {
    LOAD_FOR(2);
    exit_and_entry(vcpu_a, 0x72);
    const std::uint32_t first = number_of(vcpu_a);
    ASSERT_NO_FATAL_FAILURE(destroy(vcpu_a));
    exit_and_entry(vcpu_a, 0x7b);
    EXPECT_NE(number_of(vcpu_a), first) << "the counts in it were not taken yet";
    EXPECT_EQ(read_slot(program_->slots()[first]).vcpu.exits.at(0).code, 0x72U);
    EXPECT_EQ(count(vcpu_a, 0x7b), 1U);
    EXPECT_EQ(count(vcpu_a, 0x72), 0U);
}

TEST_F(Slots, EndWithTheirVcpuAlone) {
    LOAD_FOR(2);
    exit_and_entry(vcpu_a, 0x72);
    const std::uint32_t number = number_of(vcpu_a);
    program_->end_slot(number, vcpu_b);
    program_->end_slot(number, 0);
    EXPECT_EQ(program_->slot_states()[number], EXITTOP_SLOT_IN_USE);
    exit_and_entry(vcpu_a, 0x72);
    EXPECT_EQ(count(vcpu_a, 0x72), 2U);
    const std::uint64_t changes = program_->memory().changes;
    program_->end_slot(number, vcpu_a);
    EXPECT_EQ(program_->slot_states()[number], EXITTOP_SLOT_ENDED);
    EXPECT_EQ(program_->memory().changes, changes + 1);
    const vcpu_header& header = program_->slots()[number].header;
    EXPECT_NE(header.who.ended_ns, 0U);
    EXPECT_EQ(header.kvm_exits_more_at_end, EXITTOP_MORE_UNKNOWN);
    // The next vCPU at that address is another one.
    exit_and_entry(vcpu_a, 0x7b);
    EXPECT_NE(number_of(vcpu_a), number);
    EXPECT_EQ(read_slot(program_->slots()[number]).vcpu.exits.at(0).count, 2U);
}

TEST_F(Slots, AReleasedOneIsEmptyAndUsedAgain) {
    LOAD_FOR(1);
    for (std::uint32_t code = 0; code < EXITTOP_CELLS; ++code) exit_and_entry(vcpu_a, code);
    const std::uint32_t number = number_of(vcpu_a);
    ASSERT_NO_FATAL_FAILURE(destroy(vcpu_a));
    exit_and_entry(vcpu_b, 0x72);
    EXPECT_EQ(uncounted(), 1U) << "user space has it until it is released";
    program_->release_slot(number);
    const vcpu_slot empty{};
    EXPECT_EQ(std::memcmp(&program_->slots()[number], &empty, sizeof empty), 0);
    exit_and_entry(vcpu_b, 0x72);
    EXPECT_EQ(number_of(vcpu_b), number);
    EXPECT_EQ(read(vcpu_b).vcpu.exits.size(), 1U);
    EXPECT_EQ(read(vcpu_b).lost, Lost{});
}

TEST_F(Slots, TenThousandVmsComeAndGoInThree) {
    LOAD_FOR(3);
    VmTable table(
        [](const VmTable::Process& process) { return VmIdentity{process.command, "", ""}; });
    for (std::uint64_t i = 0; i < 10'000; ++i) {
        // Few addresses, so that all are reused often.
        const std::uint64_t vcpu = 0x1000 * (1 + i % 5);
        ASSERT_NO_FATAL_FAILURE(exit_and_entry(vcpu, 0x72));
        ASSERT_NO_FATAL_FAILURE(exit(vcpu, 0x7f));
        ASSERT_NO_FATAL_FAILURE(destroy(vcpu));
        if (i % 3 == 2) {
            table.update(program_->slots(), program_->slot_states(),
                         [this](std::uint32_t number) { program_->release_slot(number); });
        }
    }
    table.update(program_->slots(), program_->slot_states(),
                 [this](std::uint32_t number) { program_->release_slot(number); });
    EXPECT_EQ(uncounted(), 0U);
    const VmTable::Contents contents = table.contents(program_->slots());
    EXPECT_EQ(contents.vms.size(), 10'000U);
    for (const Vm& vm : contents.vms) {
        ASSERT_TRUE(vm.ended);
        ASSERT_EQ(vm.vcpus.size(), 1U);
        ASSERT_EQ(vm.vcpus[0].exits.size(), 2U);
        ASSERT_EQ(vm.vcpus[0].exits[0].count, 1U);
    }
    EXPECT_EQ(lost_total(contents.lost), 0U);
}

}  // namespace
}  // namespace exittop::test
