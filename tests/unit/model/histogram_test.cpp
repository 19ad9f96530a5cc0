// SPDX-License-Identifier: GPL-2.0-only
// Buckets against a second, slower way to compute them; percentiles against exact ones.
#include "model/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace exittop {
namespace {

// The bucket by its definition: four linear steps to each power of two from 128 ns on.
std::size_t bucket_by_definition(std::uint64_t ns) {
    if (ns < 128) return ns / 32;
    const auto log2 = static_cast<unsigned>(std::bit_width(ns)) - 1;
    const std::uint64_t step = (ns - (std::uint64_t{1} << log2)) / (std::uint64_t{1} << (log2 - 2));
    return std::min<std::size_t>(4 * (log2 - 6) + step, histogram_buckets - 1);
}

// Any magnitude is as likely as any other.
std::uint64_t random_ns(unsigned highest_bit) {
    const auto bits =
        *rc::gen::resize(rc::kNominalSize, rc::gen::inRange<unsigned>(0, highest_bit + 1));
    const auto any = rc::gen::resize(rc::kNominalSize, rc::gen::arbitrary<std::uint64_t>());
    return *any >> (63 - bits);
}

void check(const char* what, void (*property)()) { EXPECT_TRUE(rc::check(what, property)); }

TEST(Bucket, KnownTimes) {
    EXPECT_EQ(bucket_of(0), 0U);
    EXPECT_EQ(bucket_of(31), 0U);
    EXPECT_EQ(bucket_of(32), 1U);
    EXPECT_EQ(bucket_of(127), 3U);
    EXPECT_EQ(bucket_of(128), 4U);
    EXPECT_EQ(bucket_of(8'191), 27U);  // the last of level 0
    EXPECT_EQ(bucket_of(8'192), 28U);  // the first that level 1 finds
    EXPECT_EQ(bucket_of((1U << 19) - 1), std::size_t{EXITTOP_SHORT_BUCKETS} - 1);
    EXPECT_EQ(bucket_of(1U << 19), std::size_t{EXITTOP_SHORT_BUCKETS});
    EXPECT_EQ(bucket_of(UINT64_MAX), histogram_buckets - 1);
}

TEST(Bucket, AreContiguous) {
    EXPECT_EQ(bucket_lower(0), 0U);
    for (std::size_t bucket = 0; bucket < histogram_buckets; ++bucket) {
        EXPECT_EQ(bucket_of(bucket_lower(bucket)), bucket);
        EXPECT_EQ(bucket_of(bucket_upper(bucket) - 1), bucket);
        if (bucket + 1 < histogram_buckets) {
            EXPECT_EQ(bucket_upper(bucket), bucket_lower(bucket + 1));
        }
    }
    EXPECT_EQ(bucket_upper(histogram_buckets - 1), UINT64_MAX);
}

TEST(Bucket, AreAtMostAQuarterWide) {
    for (std::size_t bucket = bucket_of(128); bucket + 1 < histogram_buckets; ++bucket) {
        const std::uint64_t lower = bucket_lower(bucket);
        EXPECT_LE(4 * (bucket_upper(bucket) - lower), lower) << bucket;
    }
}

TEST(Bucket, FollowTheDefinition) {
    check("bucket_of", [] {
        const std::uint64_t ns = random_ns(63);
        RC_ASSERT(bucket_of(ns) == bucket_by_definition(ns));
    });
}

TEST(Bucket, TableHoldsOneLevel) {
    for (unsigned shifted = 0; shifted < 256; ++shifted) {
        EXPECT_EQ(bucket_table_entry(static_cast<std::uint8_t>(shifted)),
                  bucket_by_definition(std::uint64_t{shifted} << EXITTOP_LEVEL_SHIFT));
    }
    EXPECT_EQ(bucket_table_entry(255), EXITTOP_LEVEL_BUCKETS + 3);
}

TEST(Histogram, CountsWhatIsAdded) {
    Histogram histogram;
    EXPECT_TRUE(histogram.empty());
    histogram.add(40, 0);
    EXPECT_TRUE(histogram.empty());
    histogram.add(40, 2);
    histogram.add(10, 1);
    histogram.add(histogram_buckets + 5, 4);
    EXPECT_EQ(histogram.at(40), 2U);
    EXPECT_EQ(histogram.at(10), 1U);
    EXPECT_EQ(histogram.at(11), 0U);
    EXPECT_EQ(histogram.at(9), 0U);
    EXPECT_EQ(histogram.at(histogram_buckets - 1), 4U);
    EXPECT_EQ(histogram.at(histogram_buckets), 0U);
    EXPECT_EQ(histogram.total(), 7U);
    EXPECT_EQ(histogram.first_bucket(), 10U);
    EXPECT_EQ(histogram.end_bucket(), histogram_buckets);
}

TEST(Histogram, SumsDoNotDependOnOrder) {
    check("a + b == b + a", [] {
        const auto fill = [] {
            Histogram histogram;
            for (const auto bucket : *rc::gen::container<std::vector<unsigned>>(
                     rc::gen::inRange<unsigned>(0, histogram_buckets))) {
                histogram.add(bucket, 1);
            }
            return histogram;
        };
        const Histogram a = fill();
        const Histogram b = fill();
        Histogram ab = a;
        ab += b;
        Histogram ba = b;
        ba += a;
        RC_ASSERT(ab == ba);
        RC_ASSERT(ab.total() == a.total() + b.total());
    });
}

TEST(Histogram, DoesNotOverflow) {
    Histogram histogram;
    histogram.add(3, UINT64_MAX);
    histogram.add(3, 2);
    histogram.add(4, 2);
    EXPECT_EQ(histogram.total(), UINT64_MAX);
    EXPECT_GT(histogram.percentile(0.99, 1000), 0U);
}

TEST(Percentile, OfNothingAndOfOne) {
    EXPECT_EQ(Histogram{}.percentile(0.5, 100), 0U);
    Histogram one;
    one.add(bucket_of(1000), 1);
    for (const double fraction : {-1.0, 0.0, 0.5, 0.99, 1.0, 2.0, std::nan("")}) {
        EXPECT_NEAR(static_cast<double>(one.percentile(fraction, 5000)), 1000.0, 125.0);
        EXPECT_EQ(one.percentile(fraction, 950), 950U);  // Never above the maximum.
    }
}

TEST(Percentile, OpenBucketIsTheMaximum) {
    Histogram histogram;
    histogram.add(histogram_buckets - 1, 1);
    EXPECT_EQ(histogram.percentile(0.5, 3'600'000'000'000), 3'600'000'000'000U);
}

TEST(Percentile, NearestRankIsNotRoundedUp) {
    Histogram histogram;  // 0.07 * 100 is a little more than 7 in binary.
    histogram.add(bucket_of(1'000), 7);
    histogram.add(bucket_of(100'000), 93);
    EXPECT_LT(histogram.percentile(0.07, 100'000), 2'000U);
}

TEST(Percentile, IsWithinAnEighthOfTheExactOne) {
    check("percentile", [] {
        std::vector<std::uint64_t> times;
        const auto size = *rc::gen::inRange<std::size_t>(1, 400);
        Histogram histogram;
        for (std::size_t i = 0; i < size; ++i) {
            times.push_back(std::max<std::uint64_t>(random_ns(34) % (std::uint64_t{7} << 32), 128));
            histogram.add(bucket_of(times.back()), 1);
        }
        std::ranges::sort(times);
        const auto percent = *rc::gen::inRange<std::size_t>(1, 101);
        const std::size_t rank = (percent * size + 99) / 100;
        const auto exact = static_cast<double>(times[rank - 1]);
        const auto read = static_cast<double>(
            histogram.percentile(static_cast<double>(percent) / 100.0, times.back()));
        RC_ASSERT(std::abs(read - exact) <= 0.125 * exact);
    });
}

}  // namespace
}  // namespace exittop
