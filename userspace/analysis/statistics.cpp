// SPDX-License-Identifier: GPL-2.0-only
#include "analysis/statistics.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <numeric>

namespace exittop {

namespace {

constexpr std::size_t most_exact = 40;

struct Ranks {
    std::vector<std::size_t> doubled;  // Of each value, those of the first sample first.
    double ties = 0.0;                 // Sum of t^3 - t over groups of t equal values.
};

// Equal values share the mean of their ranks; doubled, it is a whole number.
Ranks rank(std::span<const double> a, std::span<const double> b) {
    std::vector<double> values(a.begin(), a.end());
    values.insert(values.end(), b.begin(), b.end());
    std::vector<std::size_t> order(values.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::sort(order, {}, [&values](std::size_t i) { return values[i]; });

    Ranks ranks{std::vector<std::size_t>(values.size()), 0.0};
    for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
        while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
        for (std::size_t i = begin; i < end; ++i) ranks.doubled[order[i]] = begin + 1 + end;
        const auto tied = static_cast<double>(end - begin);
        ranks.ties += tied * tied * tied - tied;
    }
    return ranks;
}

std::size_t sum_of_first(const std::vector<std::size_t>& ranks, std::size_t chosen) {
    return std::accumulate(ranks.begin(), ranks.begin() + static_cast<std::ptrdiff_t>(chosen),
                           std::size_t{0});
}

// Of all ways to choose the first sample's ranks, the share whose sum is at least as far from the
// expected sum as the observed one.
double exact_p(const std::vector<std::size_t>& ranks, std::size_t chosen) {
    const std::size_t all = sum_of_first(ranks, ranks.size());
    const auto observed = static_cast<std::ptrdiff_t>(sum_of_first(ranks, chosen));
    // ways[k][sum]: subsets of k ranks with that sum. At most 40 over 20, exact in a double.
    std::vector<std::vector<double>> ways(chosen + 1, std::vector<double>(all + 1, 0.0));
    ways[0][0] = 1.0;
    for (const std::size_t rank : ranks) {
        for (std::size_t k = chosen; k > 0; --k) {
            for (std::size_t sum = all; sum >= rank; --sum) ways[k][sum] += ways[k - 1][sum - rank];
        }
    }
    // Expected sum: chosen * all / n. Both sides are multiplied by n, to stay in integers.
    const auto n = static_cast<std::ptrdiff_t>(ranks.size());
    const auto expected = static_cast<std::ptrdiff_t>(chosen * all);
    const std::ptrdiff_t distance = std::abs(observed * n - expected);
    double total = 0.0;
    double extreme = 0.0;
    for (std::size_t sum = 0; sum <= all; ++sum) {
        total += ways[chosen][sum];
        if (std::abs(static_cast<std::ptrdiff_t>(sum) * n - expected) >= distance) {
            extreme += ways[chosen][sum];
        }
    }
    return extreme / total;
}

double approximate_p(const Ranks& ranks, std::size_t chosen) {
    const auto a = static_cast<double>(chosen);
    const auto n = static_cast<double>(ranks.doubled.size());
    const double b = n - a;
    const double sum = static_cast<double>(sum_of_first(ranks.doubled, chosen)) / 2.0;
    const double variance = a * b / 12.0 * (n + 1.0 - ranks.ties / (n * (n - 1.0)));
    if (!(variance > 0.0)) return 1.0;  // All values are equal.
    const double distance = std::max(0.0, std::abs(sum - a * (n + 1.0) / 2.0) - 0.5);
    return std::erfc(distance / std::sqrt(variance) / std::sqrt(2.0));
}

}  // namespace

double mean_of(std::span<const double> values) {
    if (values.empty()) return 0.0;
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double standard_deviation(std::span<const double> values) {
    if (values.size() < 2) return 0.0;
    const double mean = mean_of(values);
    double squares = 0.0;
    for (const double value : values) squares += (value - mean) * (value - mean);
    return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

double mann_whitney(std::span<const double> a, std::span<const double> b) {
    if (a.empty() || b.empty()) return 1.0;
    const Ranks ranks = rank(a, b);
    return ranks.doubled.size() <= most_exact ? exact_p(ranks.doubled, a.size())
                                              : approximate_p(ranks, a.size());
}

std::vector<double> adjust_for_number(std::span<const double> p_values) {
    std::vector<std::size_t> order(p_values.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::sort(order, std::ranges::greater{},
                      [&p_values](std::size_t i) { return p_values[i]; });
    std::vector<double> adjusted(p_values.size());
    double least = 1.0;
    for (std::size_t i = 0; i < order.size(); ++i) {
        const double factor =
            static_cast<double>(order.size()) / static_cast<double>(order.size() - i);
        least = std::min(least, p_values[order[i]] * factor);
        adjusted[order[i]] = least;
    }
    return adjusted;
}

}  // namespace exittop
