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
    exit_cell& cell() { return slot(vcpu_a).cells[1]; }
    short_counts& shorts() { return at<short_counts>(cell().short_at); }
    long_counts& longs() { return at<long_counts>(cell().long_block * sizeof(long_counts)); }
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
    template <typename Counts>
    Counts& at(std::size_t offset) {
        return *reinterpret_cast<Counts*>(reinterpret_cast<std::uint8_t*>(&slot(vcpu_a)) + offset);
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

TEST_F(Times, ShortOnesNeedNoFurtherRoom) {
    const std::uint32_t short_end = slot(vcpu_a).header.short_end;
    for (int i = 0; i < 100; ++i) {
        // On a busy machine it may take long, and then needs room the first time.
        const bool is_long = bucket_of(timed(1'000)) >= EXITTOP_SHORT_BUCKETS;
        ASSERT_EQ(slot(vcpu_a).header.short_end, short_end);
        if (is_long) return;
        ASSERT_EQ(slot(vcpu_a).header.long_block_begin, std::uint32_t{EXITTOP_LONG_END});
    }
}

TEST_F(Times, CountsOfABucketBeginAgainAfter32Bits) {
    constexpr std::size_t short_one = 40;
    constexpr std::size_t long_one = EXITTOP_SHORT_BUCKETS + 30;
    ASSERT_TRUE(hit(long_one));
    std::ranges::fill(shorts().count, UINT32_MAX);
    std::ranges::fill(longs().count, UINT32_MAX);
    cell().count = 200ULL * UINT32_MAX;
    SeenBuckets seen;
    track_wraps(slot(vcpu_a), seen);
    ASSERT_TRUE(hit(short_one));
    ASSERT_TRUE(hit(long_one));
    const SlotContents contents = read_slot(slot(vcpu_a), 0, seen);
    const Histogram& histogram = contents.vcpu.exits.at(0).histogram;
    EXPECT_EQ(shorts().count[short_one], 0U);
    // What else it hit on the way is counted as well.
    EXPECT_EQ(histogram.at(short_one), 1ULL << 32);
    EXPECT_EQ(histogram.at(long_one), 1ULL << 32);
    EXPECT_GE(histogram.at(short_one + 1), UINT32_MAX);
}

class ManyReasons : public DetachedProgram {
protected:
    static constexpr std::uint32_t room = EXITTOP_CELLS - 1;  // reasons of a vCPU

    void slow_exit(std::uint32_t code) {
        exit(vcpu_a, code);
        slot(vcpu_a).header.exit_ns -= 600'000;
        entry(vcpu_a);
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

TEST_F(ManyReasons, OfShortTimesAllHaveAHistogram) {
    for (std::uint32_t code = 0; code < room; ++code) exit_and_entry(vcpu_a, code);
    expect_counts(1);
    for (const exit_cell& cell : std::span(slot(vcpu_a).cells).first(EXITTOP_CELLS).subspan(1)) {
        EXPECT_NE(cell.short_at, EXITTOP_LOST_COUNTS_AT) << cell.code;
    }
}

TEST_F(ManyReasons, OfLongTimesAllAreCounted) {
    for (std::uint64_t i = 1; i <= 100; ++i) {
        for (std::uint32_t code = 0; code < room; ++code) slow_exit(code);
        expect_counts(2 * i - 1);
        for (std::uint32_t code = 0; code < room; ++code) exit_and_entry(vcpu_a, code);
        expect_counts(2 * i);
    }
    EXPECT_GT(read(vcpu_a).lost.histogram_full, 0U);
}

TEST_F(ManyReasons, HaveHistogramsAsLongAsThereIsRoom) {
    constexpr std::uint32_t slow =
        sizeof(vcpu_slot::histograms) / (sizeof(short_counts) + sizeof(long_counts));
    for (std::uint32_t code = 0; code < slow; ++code) slow_exit(code);
    EXPECT_EQ(read(vcpu_a).lost.histogram_full, 0U);
    for (std::uint32_t code = slow; code < room; ++code) slow_exit(code);
    const SlotContents contents = read(vcpu_a);
    for (std::uint32_t code = 0; code < slow; ++code) {
        EXPECT_EQ(contents.vcpu.exits.at(code).histogram.total(), 1U) << code;
    }
    EXPECT_GT(contents.lost.histogram_full, 0U);
    EXPECT_EQ(contents.vcpu.exits.at(0).time_ns / 600'000, 1U);
}

TEST_F(ManyReasons, BeyondTheCellsAreCountedTogether) {
    for (std::uint32_t code = 0; code < room + 3; ++code) slow_exit(code);
    const SlotContents contents = read(vcpu_a);
    EXPECT_EQ(contents.vcpu.exits.size(), room);
    EXPECT_EQ(contents.lost.reasons_full, 3U);
}

}  // namespace
}  // namespace exittop::test
