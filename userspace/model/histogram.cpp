// SPDX-License-Identifier: GPL-2.0-only
// Buckets of exit times, the same as in the BPF program, and what is read from them.
#include "model/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace exittop {

namespace {

// Each power of two is cut into this many steps.
constexpr unsigned steps_log2 = 2;
constexpr unsigned steps = 1U << steps_log2;
constexpr unsigned table_bits = 8;  // A level's table is entered with eight bits of the time.

// First time, in units of 2^EXITTOP_LEVEL_SHIFT ns, of a bucket if the table had no end.
constexpr std::uint64_t first_unit(std::size_t bucket) {
    if (bucket < steps) return bucket;
    const std::size_t octave = bucket / steps - 1;
    return (steps + bucket % steps) << octave;
}

// The time that stands for a bucket: the harmonic mean of its ends is off by the same factor,
// (upper - lower) / (upper + lower), from either of them. That is at most 1/9 from 128 ns on.
std::uint64_t representative(std::size_t bucket) {
    const auto lower = static_cast<double>(bucket_lower(bucket));
    const auto upper = static_cast<double>(bucket_upper(bucket));
    if (bucket == 0) return static_cast<std::uint64_t>(upper / 2);
    return static_cast<std::uint64_t>(std::llround(2.0 * lower * upper / (lower + upper)));
}

// Rank, from 1 on, of the value below or at which `fraction` of `total` values lie. A rounding
// error of the product (0.07 * 100 > 7) must not lead to the next rank.
std::uint64_t nearest_rank(double fraction, std::uint64_t total) {
    if (!(fraction > 0.0)) return 1;
    if (fraction >= 1.0) return total;
    const long double exact = static_cast<long double>(fraction) * static_cast<long double>(total);
    const auto rank = static_cast<std::uint64_t>(std::ceil(exact * (1.0L - 1e-15L)));
    return std::clamp<std::uint64_t>(rank, 1, total);
}

}  // namespace

std::uint8_t bucket_table_entry(std::uint8_t shifted_ns) {
    const unsigned x = shifted_ns;
    if (x < steps) return static_cast<std::uint8_t>(x);
    const auto log2 = static_cast<unsigned>(std::bit_width(x)) - 1;
    const unsigned step = (x >> (log2 - steps_log2)) & (steps - 1);
    return static_cast<std::uint8_t>(steps * (log2 - 1) + step);
}

std::size_t bucket_of(std::uint64_t ns) {
    for (unsigned level = 0; level < EXITTOP_LEVELS; ++level) {
        const unsigned shift = EXITTOP_LEVEL_SHIFT + EXITTOP_LEVEL_OCTAVES * level;
        if ((ns >> (shift + table_bits)) != 0) continue;
        const std::size_t within = bucket_table_entry(static_cast<std::uint8_t>(ns >> shift));
        return std::min(within + std::size_t{EXITTOP_LEVEL_BUCKETS} * level, histogram_buckets - 1);
    }
    return histogram_buckets - 1;
}

std::uint64_t bucket_lower(std::size_t bucket) {
    return first_unit(std::min(bucket, histogram_buckets - 1)) << EXITTOP_LEVEL_SHIFT;
}

std::uint64_t bucket_upper(std::size_t bucket) {
    return bucket + 1 < histogram_buckets ? bucket_lower(bucket + 1) : UINT64_MAX;
}

Histogram::Histogram(std::span<const std::uint64_t> counts) {
    while (!counts.empty() && counts.back() == 0) counts = counts.first(counts.size() - 1);
    while (!counts.empty() && counts[first_] == 0) ++first_;
    counts = counts.subspan(first_);
    counts_.assign(counts.begin(), counts.end());
}

void Histogram::add(std::size_t bucket, std::uint64_t count) {
    if (count == 0) return;  // Ranges stay as narrow as can be, so equal contents compare equal.
    bucket = std::min(bucket, histogram_buckets - 1);
    if (counts_.empty()) first_ = bucket;
    if (bucket < first_) {
        counts_.insert(counts_.begin(), first_ - bucket, 0);
        first_ = bucket;
    }
    if (bucket >= end_bucket()) counts_.resize(bucket - first_ + 1);
    std::uint64_t& cell = counts_[bucket - first_];
    cell = saturating_add(cell, count);
}

Histogram& Histogram::operator+=(const Histogram& other) {
    if (empty()) return *this = other;
    for (std::size_t i = 0; i < other.counts_.size(); ++i) add(other.first_ + i, other.counts_[i]);
    return *this;
}

Histogram& Histogram::operator-=(const Histogram& earlier) {
    for (std::size_t i = 0; i < counts_.size(); ++i) {
        counts_[i] = saturating_subtract(counts_[i], earlier.at(first_ + i));
    }
    while (!counts_.empty() && counts_.back() == 0) counts_.pop_back();
    const auto begin = std::ranges::find_if(counts_, [](std::uint64_t count) { return count > 0; });
    first_ = counts_.empty() ? 0 : first_ + static_cast<std::size_t>(begin - counts_.begin());
    counts_.erase(counts_.begin(), begin);
    return *this;
}

std::uint64_t Histogram::at(std::size_t bucket) const {
    if (bucket < first_ || bucket >= end_bucket()) return 0;
    return counts_[bucket - first_];
}

std::uint64_t Histogram::total() const {
    std::uint64_t sum = 0;
    for (const std::uint64_t count : counts_) sum = saturating_add(sum, count);
    return sum;
}

std::uint64_t Histogram::percentile(double fraction, std::uint64_t max_ns) const {
    if (counts_.empty()) return 0;
    const std::uint64_t rank = nearest_rank(fraction, total());
    std::size_t bucket = first_;
    for (std::uint64_t seen = at(bucket); seen < rank && bucket + 1 < end_bucket();) {
        seen = saturating_add(seen, at(++bucket));
    }
    if (bucket == histogram_buckets - 1) return max_ns;
    return std::min(representative(bucket), max_ns);
}

}  // namespace exittop
