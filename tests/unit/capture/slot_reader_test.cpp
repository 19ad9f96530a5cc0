// SPDX-License-Identifier: GPL-2.0-only
// What made-up slots are read as.
#include "capture/slot_reader.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "fake_slots.h"

namespace exittop {
namespace {

using test::FakeSlots;
using test::MadeVcpu;
using test::SlotWriter;

constexpr std::uint32_t svm_io = 0x7b;
constexpr std::uint32_t svm_cpuid = 0x72;
constexpr std::uint32_t svm_hlt = 0x78;
constexpr std::uint32_t svm_npf = 0x400;

/// One slot in use, to be filled and read.
struct OneSlot {
    FakeSlots slots{1};
    SlotWriter writer = slots.begin(1, MadeVcpu{.id = 3, .tid = 77});
    SlotContents read() { return read_slot(slots.all()[1]); }
};

TEST(ReadSlot, GivesEachReasonByLevelAndCode) {
    OneSlot one;
    one.writer.exits(svm_npf, 2'000, 3);
    one.writer.exits(svm_cpuid, 500, 7);
    one.writer.exits(svm_cpuid, 900, 1, 2);
    const SlotContents contents = one.read();
    EXPECT_EQ(contents.vcpu.id, 3U);
    EXPECT_EQ(contents.vcpu.tid, 77U);
    ASSERT_EQ(contents.vcpu.exits.size(), 3U);
    const ExitStats& cpuid = contents.vcpu.exits[0];
    EXPECT_EQ(cpuid.code, svm_cpuid);
    EXPECT_EQ(cpuid.level, GuestLevel::l1);
    EXPECT_EQ(cpuid.count, 7U);
    EXPECT_EQ(cpuid.time_ns, 3'500U);
    EXPECT_EQ(cpuid.max_ns, 500U);
    EXPECT_EQ(cpuid.histogram.at(bucket_of(500)), 7U);
    EXPECT_EQ(cpuid.histogram.total(), 7U);
    EXPECT_EQ(contents.vcpu.exits[1].code, svm_npf);
    EXPECT_EQ(contents.vcpu.exits[2].level, GuestLevel::l2);
    EXPECT_EQ(contents.vcpu.exits[2].count, 1U);
    EXPECT_EQ(contents.lost, Lost{});
}

TEST(ReadSlot, FindsFarBucketsInTheirBlock) {
    OneSlot one;
    for (std::size_t bucket = 0; bucket < histogram_buckets; ++bucket) {
        one.writer.exits(svm_hlt, bucket_lower(bucket), static_cast<std::uint32_t>(bucket) + 1);
    }
    const Histogram histogram = one.read().vcpu.exits.at(0).histogram;
    for (std::size_t bucket = 0; bucket < histogram_buckets; ++bucket) {
        EXPECT_EQ(histogram.at(bucket), bucket + 1) << "bucket " << bucket;
    }
}

/// A reason of so many exits that one of its buckets may begin again at 0.
class CountsBeyond32Bits : public testing::Test {
protected:
    static constexpr std::uint64_t half = 1ULL << 31;

    CountsBeyond32Bits() {
        cell_.max_ns = UINT64_MAX;
        slot_.writer.longs(cell_);
    }
    void exits(std::uint64_t count) {
        cell_.count += count;
        slot_.writer.shorts(cell_).count[9] += static_cast<std::uint32_t>(count);
    }
    void look() { track_wraps(slot_.slots.all()[1], seen_); }
    SlotContents read() { return read_slot(slot_.slots.all()[1], 0, seen_); }
    std::uint64_t at(std::size_t bucket) { return read().vcpu.exits.at(0).histogram.at(bucket); }

    OneSlot slot_;
    exit_cell& cell_ = slot_.writer.cell(svm_io);
    SeenBuckets seen_;
};

TEST_F(CountsBeyond32Bits, AreFollowedFromLookToLook) {
    std::uint64_t expected = 0;
    for (const std::uint64_t more : {half - 1, std::uint64_t{1}, half - 1, half, half, half + 7}) {
        exits(more);
        expected += more;
        EXPECT_EQ(at(9), expected) << "before the look";
        look();
        EXPECT_EQ(at(9), expected) << "after it";
    }
    EXPECT_EQ(read().lost, Lost{});
}

TEST_F(CountsBeyond32Bits, AreFollowedInEachBucket) {
    std::uint32_t& last = slot_.writer.longs(cell_).count[EXITTOP_LONG_BUCKETS - 1];
    exits(half);
    last = UINT32_MAX;
    cell_.count += UINT32_MAX;
    look();
    ++last;
    ++cell_.count;
    EXPECT_EQ(at(histogram_buckets - 1), 1ULL << 32);
    EXPECT_EQ(at(9), half);
    EXPECT_EQ(at(10), 0U);
}

TEST_F(CountsBeyond32Bits, NothingIsKeptOfFewerExits) {
    exits(half - 1);
    look();
    EXPECT_TRUE(seen_.empty());
}

TEST_F(CountsBeyond32Bits, AreSaidToBeMissingIfNobodyLooked) {
    exits(half);
    look();
    exits(5ULL << 32);
    EXPECT_EQ(at(9), half);
    EXPECT_EQ(read().lost.histogram_full, 5ULL << 32);
}

TEST_F(CountsBeyond32Bits, WithoutHistogramsNothingIsMissing) {
    cell_.count = 9ULL << 32;
    EXPECT_EQ(read().lost, Lost{});
}

TEST(ReadSlot, TellsThePartsOfTheTime) {
    OneSlot one;
    exit_cell& cell = one.writer.cell(svm_io);
    cell.count = 2;
    cell.time_ns = 500;
    one.writer.parts(cell) = {
        .vmm_ns = 100, .halted_ns = 50, .polled_ns = 10, .preempted_ns = 20, .blocked_ns = 30};
    one.writer.cell(svm_cpuid).count = 1;
    const auto exits = one.read().vcpu.exits;
    EXPECT_EQ(exits.at(0).vmm_ns + exits.at(0).halted_ns, 0U) << "none were written for CPUID";
    EXPECT_EQ(exits.at(1).vmm_ns, 100U);
    EXPECT_EQ(exits.at(1).halted_ns, 50U);
    EXPECT_EQ(exits.at(1).polled_ns, 10U);
    EXPECT_EQ(exits.at(1).preempted_ns, 20U);
    EXPECT_EQ(exits.at(1).blocked_ns, 30U);
    EXPECT_EQ(exits.at(1).time_ns, 500U);
}

TEST(ReadSlot, TellsReturnsToTheVmmThatNoEventTold) {
    OneSlot one;
    one.slots.all()[1].times.vmm_missed = 3;
    EXPECT_EQ(one.read().lost.split_missed, 3U);
}

TEST(ReadSlot, CountsWhatItCannotName) {
    OneSlot one;
    one.writer.exits(0x4ff, 100, 4);
    one.writer.exits(svm_io, 100, 9);
    SlotContents contents = one.read();
    EXPECT_EQ(contents.lost.unknown_code, 4U);
    EXPECT_EQ(contents.vcpu.exits.at(1).code, 0x4ffU) << "it keeps its number";

    // The flags of a VMX reason are no part of its name; 7 is no ISA.
    one.slots.all()[1].header.isa = 1;
    one.writer.exits(0x80000021, 100, 2);
    EXPECT_EQ(one.read().lost.unknown_code, 4U + 9U) << "0x4ff and 0x7b are no VMX reasons";
    one.slots.all()[1].header.isa = 7;
    EXPECT_EQ(one.read().lost.unknown_code, 4U + 9U + 2U);
}

TEST(ReadSlot, AnUnreadableCodeIsLostForItsIsaAlone) {
    OneSlot one;
    one.slots.all()[1].header.isa = 7;
    one.writer.exits(EXITTOP_CODE_UNREADABLE, 100, 3);
    const Lost lost = one.read().lost;
    EXPECT_EQ(lost.unknown_isa, 3U);
    EXPECT_EQ(lost.unknown_code, 0U);
}

TEST(ReadSlot, TheFirstCellHoldsReasonsThatFoundNoRoom) {
    OneSlot one;
    for (std::uint32_t code = 0; code < EXITTOP_CELLS - 1; ++code) one.writer.exits(code, 100);
    one.slots.all()[1].cells[EXITTOP_OVERFLOW_CELL].count = 42;
    const SlotContents contents = one.read();
    EXPECT_EQ(contents.vcpu.exits.size(), std::size_t{EXITTOP_CELLS} - 1);
    EXPECT_EQ(contents.lost.reasons_full, 42U);
    EXPECT_EQ(contents.lost.histogram_full, 0U);
}

TEST(ReadSlot, AReasonWithoutRoomForAHistogramIsCounted) {
    OneSlot one;
    one.writer.exits(svm_io, 100, 3);
    exit_cell& cell = one.writer.cell(svm_cpuid);
    cell.short_at = EXITTOP_LOST_COUNTS_AT;
    cell.count = 7;
    EXPECT_EQ(one.read().lost.histogram_full, 0U) << "histograms are not filled at all";
    one.slots.all()[1].lost_counts.count[4] = 6;
    const SlotContents contents = one.read();
    EXPECT_EQ(contents.lost.histogram_full, 7U);
    EXPECT_TRUE(contents.vcpu.exits.at(0).histogram.empty());
    EXPECT_EQ(contents.vcpu.exits.at(0).count, 7U);
    EXPECT_EQ(contents.vcpu.exits.at(1).histogram.total(), 3U);
}

TEST(ReadSlot, PassesOnWhatTheProgramLost) {
    OneSlot one;
    vcpu_header& header = one.slots.all()[1].header;
    header.histogram_full = 1;
    header.exit_without_entry = 3;
    header.entry_without_exit = 4;
    Lost expected;
    expected.histogram_full = 1;
    expected.exit_without_entry = 3;
    expected.entry_without_exit = 4;
    EXPECT_EQ(one.read().lost, expected);
}

TEST(ReadSlot, HoldsTheCountAgainstThatOfKvm) {
    struct Case {
        const char* what;
        std::int64_t more;  // at the last look, and when the vCPU went
        std::optional<std::uint64_t> kvm_exits;
        std::uint64_t untraced, entry_without_exit;
    };
    // 3 + 4 exits were counted, 2 of them without a reason, and 5 entries lacked their exit.
    const Case cases[] = {
        {"the same", 0, 9, 0, 0},
        {"some were not traced; the entries tell of the same ones", 8, 17, 8, 0},
        {"never looked at", EXITTOP_MORE_UNKNOWN, std::nullopt, 0, 5},
        {"KVM's statistics were reset", -1'000, std::nullopt, 0, 5},
    };
    for (const Case& each : cases) {
        for (const bool ended : {false, true}) {
            SCOPED_TRACE(std::string(each.what) + (ended ? ", ended" : ""));
            OneSlot one;
            one.writer.exits(svm_cpuid, 500, 3);
            one.writer.exits(svm_hlt, 500, 4);
            one.slots.all()[1].cells[EXITTOP_OVERFLOW_CELL].count = 2;
            vcpu_header& header = one.slots.all()[1].header;
            header.entry_without_exit = 5;
            header.kvm_exits_more = ended ? 77 : each.more;
            if (ended) one.writer.end(9'000, each.more);
            const SlotContents contents = one.read();
            EXPECT_EQ(contents.vcpu.kvm_exits, each.kvm_exits);
            EXPECT_EQ(contents.vcpu.untraced, each.untraced);
            EXPECT_EQ(contents.lost.untraced, each.untraced);
            EXPECT_EQ(contents.lost.entry_without_exit, each.entry_without_exit);
        }
    }
}

TEST(ReadSlot, DamagedMemoryDoesNoHarm) {
    FakeSlots slots(1);
    std::memset(static_cast<void*>(&slots.all()[1]), 0xff, sizeof(vcpu_slot));
    EXPECT_LE(read_slot(slots.all()[1]).vcpu.exits.size(), std::size_t{EXITTOP_CELLS});
}

}  // namespace
}  // namespace exittop
