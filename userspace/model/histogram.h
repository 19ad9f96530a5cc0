// SPDX-License-Identifier: GPL-2.0-only
// Distribution of exit times: four linear steps to each power of two, so that a percentile read
// from it is within 12.5% of the true one. The buckets are those that the BPF program fills.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/number.h"
#include "exittop_abi.h"

namespace exittop {

inline constexpr std::size_t histogram_buckets = EXITTOP_BUCKETS;

/// Entry of the 256-entry table by which the BPF program finds a bucket within a level; the loader
/// fills the program's table from here, so both sides count by the same code.
std::uint8_t bucket_table_entry(std::uint8_t shifted_ns);
/// Bucket of a time in nanoseconds; times beyond the last bucket's start fall into it.
std::size_t bucket_of(std::uint64_t ns);
/// Lowest time of a bucket, in nanoseconds.
std::uint64_t bucket_lower(std::size_t bucket);
/// First time above a bucket, in nanoseconds; UINT64_MAX for the last one, which is open.
std::uint64_t bucket_upper(std::size_t bucket);

/// Counts by bucket. A value; memory only for the range between the first and last count.
class Histogram {
public:
    Histogram() = default;
    /// From the counts of the buckets from 0 on.
    explicit Histogram(std::span<const std::uint64_t> counts);
    void add(std::size_t bucket, std::uint64_t count);
    Histogram& operator+=(const Histogram& other);
    /// What was added since `earlier`, an earlier state of the same histogram.
    Histogram& operator-=(const Histogram& earlier);
    bool operator==(const Histogram&) const = default;

    [[nodiscard]] std::uint64_t at(std::size_t bucket) const;
    [[nodiscard]] std::uint64_t total() const;
    [[nodiscard]] bool empty() const { return counts_.empty(); }
    /// The range of buckets that may hold counts: [first_bucket, end_bucket).
    [[nodiscard]] std::size_t first_bucket() const { return first_; }
    [[nodiscard]] std::size_t end_bucket() const { return first_ + counts_.size(); }

    /// The time in nanoseconds below which `fraction` (0..1) of the exits lie (nearest rank):
    /// within 12.5% from 128 ns on, within 32 ns below; never above `max_ns`, which also stands for
    /// the open last bucket. 0 if empty.
    [[nodiscard]] std::uint64_t percentile(double fraction, std::uint64_t max_ns) const;

private:
    std::size_t first_ = 0;
    std::vector<std::uint64_t> counts_;
};

}  // namespace exittop
