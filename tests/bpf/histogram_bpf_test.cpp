// SPDX-License-Identifier: GPL-2.0-only
// Compares how the BPF program sorts times with the buckets of user space. The tests never assume
// how long an event takes: they read each time back from the program's sums.
#include <algorithm>
#include <map>
#include <random>

#include <gtest/gtest.h>

#include "detached_program.h"
#include "model/histogram.h"

namespace exittop::test {
namespace {

constexpr std::uint32_t hlt = 0x78;

class Times : public DetachedProgram {
protected:
    void SetUp() override {
        DetachedProgram::SetUp();
        if (program_) exit_and_entry(vcpu_a, hlt);
    }

    /// The cell of the one reason that these tests use.
    exit_cell& cell() {
        return *static_cast<exit_cell*>(block(slot(vcpu_a).header.cell_blocks[0]));
    }
    exit_words& extra(exittop_extra_block kind) {
        return *static_cast<exit_words*>(block(cell().extra[kind]));
    }
    ExitStats stats() {
        const std::vector<ExitStats> exits = read(vcpu_a).vcpu.exits;
        return *std::ranges::find(exits, hlt, &ExitStats::code);
    }

    /// An exit that began about `ns` ago (less than nothing: that is to come) and ends now. The
    /// time that the program measured.
    std::uint64_t timed(std::int64_t ns) {
        exit(vcpu_a, hlt);
        const std::uint64_t before = cell().time_ns;
        slot(vcpu_a).header.exit_ns = monotonic_ns() - static_cast<std::uint64_t>(ns);
        entry(vcpu_a);
        return cell().time_ns - before;
    }

    /// Exits about as long as the middle of a bucket until one falls into it. False: none did.
    bool hit(std::size_t bucket) {
        const auto middle = static_cast<std::int64_t>(
            bucket + 1 < histogram_buckets ? (bucket_lower(bucket) + bucket_upper(bucket)) / 2
                                           : bucket_lower(bucket) * 5 / 4);
        std::int64_t delay = 0;  // what reading the clock and calling the program add
        for (int i = 0; i < 100'000; ++i) {
            const std::uint64_t ns = timed(middle - delay);
            if (bucket_of(ns) == bucket) return true;
            delay += static_cast<std::int64_t>(ns) - middle;
        }
        return false;
    }

private:
    void* block(unsigned number) {
        return reinterpret_cast<std::uint8_t*>(&slot(vcpu_a)) +
               std::size_t{number} * EXITTOP_BLOCK_SIZE;
    }
};

TEST_F(Times, FallIntoTheBucketsOfUserSpace) {
    std::minstd_rand random(2);
    std::map<std::size_t, std::uint64_t> expected;
    const Histogram first = stats().histogram;
    expected[first.first_bucket()] = 1;
    std::uint64_t longest = stats().max_ns;
    for (int i = 0; i < 20'000; ++i) {
        // Any power of two is as likely as any other.
        const std::int64_t spread = std::int64_t{1} << (random() % 39);
        const auto above = static_cast<std::int64_t>(random()) * 16 % spread;
        const std::uint64_t ns = timed(spread + above - 1'000);
        ASSERT_FALSE(HasFatalFailure());
        longest = std::max(longest, ns);
        ++expected[bucket_of(ns)];
    }
    const ExitStats found = stats();
    for (std::size_t bucket = 0; bucket < histogram_buckets; ++bucket) {
        EXPECT_EQ(found.histogram.at(bucket), expected[bucket]) << "bucket " << bucket;
    }
    EXPECT_EQ(found.count, 20'001U);
    EXPECT_EQ(found.histogram.total(), 20'001U);
    EXPECT_EQ(found.max_ns, longest);
    EXPECT_EQ(read(vcpu_a).lost, Lost{});
}

TEST_F(Times, ThatEndBeforeTheyBeginAreNone) {
    const ExitStats before = stats();
    EXPECT_EQ(timed(-1'000'000'000), 0U);
    const ExitStats after = stats();
    EXPECT_EQ(after.count, before.count + 1);
    EXPECT_EQ(after.time_ns, before.time_ns);
    EXPECT_EQ(after.max_ns, before.max_ns);
    EXPECT_EQ(after.histogram.at(0), before.histogram.at(0) + 1);
}

TEST_F(Times, ReachEveryBucket) {
    for (std::size_t bucket = 0; bucket < histogram_buckets; ++bucket) {
        const std::uint64_t before = stats().histogram.at(bucket);
        ASSERT_TRUE(hit(bucket)) << "bucket " << bucket;
        EXPECT_EQ(stats().histogram.at(bucket), before + 1) << "bucket " << bucket;
    }
    EXPECT_EQ(read(vcpu_a).lost, Lost{});
}

TEST_F(Times, ShortOnesNeedNoFurtherBlock) {
    std::uint32_t blocks = slot(vcpu_a).header.blocks;
    for (int i = 0; i < 100; ++i) {
        // On a busy machine it may take long, and then needs a block the first time.
        const bool has_long = cell().extra[EXITTOP_LONG] != 0;
        if (bucket_of(timed(1'000)) >= EXITTOP_SHORT_BUCKETS && !has_long) ++blocks;
        ASSERT_EQ(slot(vcpu_a).header.blocks, blocks);
    }
}

TEST_F(Times, CountsOfABucketGoOnBeyond32Bits) {
    std::ranges::fill(cell().short_counts, UINT32_MAX);
    constexpr std::size_t short_one = 40;
    ASSERT_TRUE(hit(short_one));
    EXPECT_EQ(cell().short_counts[short_one], 0U);
    EXPECT_EQ(stats().histogram.at(short_one), 1ULL << 32);
    EXPECT_EQ(stats().histogram.at(short_one - 1) & UINT32_MAX, UINT32_MAX) << "its neighbour";
    cell().short_counts[short_one] = UINT32_MAX;
    ASSERT_TRUE(hit(short_one));
    EXPECT_EQ(stats().histogram.at(short_one), 2ULL << 32);

    constexpr std::size_t long_one = EXITTOP_SHORT_BUCKETS + 30;
    ASSERT_TRUE(hit(long_one));
    std::ranges::fill(extra(EXITTOP_LONG).word, UINT32_MAX);
    ASSERT_TRUE(hit(long_one));
    EXPECT_EQ(stats().histogram.at(long_one), 1ULL << 32);
    ASSERT_TRUE(hit(long_one));
    EXPECT_EQ(stats().histogram.at(long_one), (1ULL << 32) + 1);
    EXPECT_EQ(read(vcpu_a).lost, Lost{});
}

TEST_F(Times, WithoutABlockForThemAreMissingInTheHistogram) {
    for (std::uint32_t code = 0; code < EXITTOP_CELLS; ++code) exit_and_entry(vcpu_a, code);
    const std::uint64_t full = read(vcpu_a).lost.histogram_full;
    const std::uint64_t before = stats().histogram.total();
    const std::uint64_t count = cell().count;
    const std::uint64_t ns = timed(10'000'000);
    ASSERT_GE(bucket_of(ns), std::size_t{EXITTOP_SHORT_BUCKETS});
    EXPECT_EQ(cell().count, count + 1);
    EXPECT_GE(cell().max_ns, ns);
    EXPECT_EQ(stats().histogram.total(), before);
    EXPECT_EQ(read(vcpu_a).lost.histogram_full, full + 1);

    // Nor is there a block for the high half of a count whose low half is at its maximum.
    std::ranges::fill(cell().short_counts, UINT32_MAX);
    const std::uint64_t ns_short = timed(100'000);
    ASSERT_LT(bucket_of(ns_short), std::size_t{EXITTOP_SHORT_BUCKETS});
    EXPECT_EQ(stats().histogram.at(bucket_of(ns_short)), UINT32_MAX);
    EXPECT_EQ(read(vcpu_a).lost.histogram_full, full + 2);
}

class LongTimes : public DetachedProgram {
protected:
    static constexpr std::uint32_t room = EXITTOP_CELLS - 1;  // reasons of a vCPU

    void slow_exit(std::uint32_t code) {
        exit(vcpu_a, code);
        slot(vcpu_a).header.exit_ns -= 600'000;
        entry(vcpu_a);
    }
    exit_cell& first_cell() {
        return *static_cast<exit_cell*>(block(slot(vcpu_a).header.cell_blocks[0]));
    }
    void* block(unsigned number) {
        return reinterpret_cast<std::uint8_t*>(&slot(vcpu_a)) +
               std::size_t{number} * EXITTOP_BLOCK_SIZE;
    }
    /// Every exit has its reason, and either its place in a histogram or is told to be missing.
    void expect_counts(std::uint64_t per_reason) {
        const SlotContents contents = read(vcpu_a);
        EXPECT_EQ(contents.vcpu.exits.size(), room);
        EXPECT_EQ(contents.lost.reasons_full, 0U);
        std::uint64_t in_histograms = 0;
        for (const ExitStats& stats : contents.vcpu.exits) {
            EXPECT_EQ(stats.count, per_reason) << stats.code;
            in_histograms += stats.histogram.total();
        }
        EXPECT_EQ(in_histograms + contents.lost.histogram_full, per_reason * room);
    }
};

TEST_F(LongTimes, TakeNoRoomThatCountsNeed) {
    for (std::uint32_t code = 0; code < room; ++code) slow_exit(code);
    expect_counts(1);
    for (int i = 0; i < 99; ++i) {
        for (std::uint32_t code = 0; code < room; ++code) slow_exit(code);
    }
    expect_counts(100);
}

TEST_F(LongTimes, AreKeptWhereThereIsRoom) {
    constexpr std::uint32_t reasons = room / 2;
    for (std::uint32_t code = 0; code < reasons; ++code) slow_exit(code);
    EXPECT_EQ(read(vcpu_a).lost.histogram_full, 0U);
    // Each further reason costs one distribution: that of the reason that came last.
    exit_and_entry(vcpu_a, reasons);
    EXPECT_EQ(read(vcpu_a).lost.histogram_full, 1U);
    EXPECT_EQ(read(vcpu_a).vcpu.exits.at(reasons - 1).histogram.total(), 0U);
    EXPECT_EQ(read(vcpu_a).vcpu.exits.at(reasons - 2).histogram.total(), 1U);
}

TEST_F(LongTimes, AreKeptWhereTheirCountsHaveHighHalves) {
    for (std::uint32_t code = 0; code < room - 1; ++code) {
        slow_exit(code);
        if (code != 0) continue;
        auto& far = *static_cast<exit_words*>(block(first_cell().extra[EXITTOP_LONG]));
        std::ranges::fill(far.word, UINT32_MAX);
        slow_exit(code);
        EXPECT_NE(first_cell().extra[EXITTOP_LONG_HIGH], 0U);
    }
    EXPECT_GE(read(vcpu_a).vcpu.exits.at(0).histogram.total(), 1ULL << 32);
}

}  // namespace
}  // namespace exittop::test
