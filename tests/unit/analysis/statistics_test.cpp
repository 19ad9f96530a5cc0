// SPDX-License-Identifier: GPL-2.0-only
#include "analysis/statistics.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace exittop {
namespace {

using Values = std::vector<double>;

TEST(Statistics, MeanAndDeviation) {
    EXPECT_EQ(mean_of(Values{}), 0.0);
    EXPECT_EQ(mean_of(Values{1, 2, 6}), 3.0);
    EXPECT_EQ(standard_deviation(Values{5}), 0.0);
    EXPECT_DOUBLE_EQ(standard_deviation(Values{2, 4, 4, 4, 5, 5, 7, 9}), std::sqrt(32.0 / 7.0));
}

// Values of the exact distribution of U, as tables of it have them.
TEST(Statistics, KnownPValues) {
    struct Case {
        Values a, b;
        double p;
    };
    const Case cases[] = {
        {{1}, {2}, 1.0},
        {{1, 2, 3}, {4, 5, 6}, 2.0 / 20},
        {{1, 2, 3, 4}, {5, 6, 7, 8}, 2.0 / 70},
        {{1, 2, 3, 5}, {4, 6, 7, 8}, 4.0 / 70},
        {{1, 2, 3, 4, 5}, {6, 7, 8, 9, 10}, 2.0 / 252},
        {{6, 7, 8, 9, 10}, {1, 2, 3, 4, 5}, 2.0 / 252},
        // Hollander and Wolfe's tissue permeability, one-sided 0.1272 in their example 4.1.
        {{0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46},
         {1.15, 0.88, 0.90, 0.74, 1.21},
         0.2544},
        {{7, 7, 7}, {7, 7, 7}, 1.0},
        {{1, 1, 1, 1}, {2, 2, 2, 2}, 2.0 / 70},
        {{}, {1, 2}, 1.0},
    };
    for (const Case& c : cases) EXPECT_NEAR(mann_whitney(c.a, c.b), c.p, 5e-5) << c.p;
}

// The definition, by brute force: every way to label the values.
double by_enumeration(const Values& a, const Values& b) {
    Values all = a;
    all.insert(all.end(), b.begin(), b.end());
    const auto wins = [&all](unsigned chosen) {  // U: pairs won, ties count half.
        double u = 0.0;
        for (std::size_t i = 0; i < all.size(); ++i) {
            if ((chosen >> i & 1) == 0) continue;
            for (std::size_t j = 0; j < all.size(); ++j) {
                if ((chosen >> j & 1) != 0) continue;
                u += all[i] > all[j] ? 1.0 : all[i] == all[j] ? 0.5 : 0.0;
            }
        }
        return u;
    };
    const double middle = static_cast<double>(a.size() * b.size()) / 2.0;
    const double observed = std::abs(wins((1U << a.size()) - 1) - middle);
    double extreme = 0.0, ways = 0.0;
    for (unsigned chosen = 0; chosen < 1U << all.size(); ++chosen) {
        if (static_cast<std::size_t>(std::popcount(chosen)) != a.size()) continue;
        ways += 1.0;
        if (std::abs(wins(chosen) - middle) >= observed - 1e-9) extreme += 1.0;
    }
    return extreme / ways;
}

Values draw(std::size_t least, std::size_t most) {
    // Few distinct values, so that ties come often.
    const auto whole = *rc::gen::container<std::vector<int>>(*rc::gen::inRange(least, most + 1),
                                                             rc::gen::inRange(0, 6));
    return {whole.begin(), whole.end()};
}

TEST(Statistics, ExactTestIsItsDefinition) {
    EXPECT_TRUE(rc::check("p equals the share of labelings at least as extreme", [] {
        const Values a = draw(1, 5), b = draw(1, 5);
        RC_ASSERT(std::abs(mann_whitney(a, b) - by_enumeration(a, b)) < 1e-12);
    }));
}

TEST(Statistics, TestAsksForOrderAlone) {
    EXPECT_TRUE(rc::check("swapping samples or a monotone map changes nothing", [] {
        const Values a = draw(1, 30), b = draw(1, 30);
        const double p = mann_whitney(a, b);
        RC_ASSERT(p > 0.0);
        RC_ASSERT(p <= 1.0);
        RC_ASSERT(std::abs(mann_whitney(b, a) - p) < 1e-12);
        const auto stretched = [](Values values) {
            for (double& value : values) value = std::exp(value) - 7.0;
            return values;
        };
        RC_ASSERT(mann_whitney(stretched(a), stretched(b)) == p);
    }));
}

TEST(Statistics, ApproximationContinuesTheExactTest) {
    Values a, b;
    for (int i = 0; i < 20; ++i) {
        a.push_back(i);
        b.push_back(i + 6.5);
    }
    const double exact = mann_whitney(a, b);
    b.push_back(16.25);
    const double approximate = mann_whitney(a, b);
    EXPECT_NEAR(approximate, exact, 0.2 * exact);
    EXPECT_EQ(mann_whitney(Values(30, 1.0), Values(30, 1.0)), 1.0);
}

// Benjamini and Hochberg's own example (1995, section 3.2): four of fifteen stay below 0.05.
TEST(Statistics, AdjustedForNumber) {
    const Values p = {0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344,
                      0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.000};
    const Values adjusted = adjust_for_number(p);
    EXPECT_EQ(std::ranges::count_if(adjusted, [](double q) { return q < 0.05; }), 4);
    EXPECT_NEAR(adjusted[0], 0.0015, 1e-9);
    EXPECT_NEAR(adjusted[3], 0.035625, 1e-9);
    EXPECT_TRUE(adjust_for_number(Values{}).empty());
    EXPECT_EQ(adjust_for_number(Values{0.02}), Values{0.02});
}

TEST(Statistics, AdjustingKeepsTheOrder) {
    EXPECT_TRUE(rc::check("adjusted values keep the order and are no less", [] {
        const auto permille = *rc::gen::container<std::vector<int>>(rc::gen::inRange(1, 1001));
        Values p;
        for (const int value : permille) p.push_back(value / 1000.0);
        const Values q = adjust_for_number(p);
        for (std::size_t i = 0; i < p.size(); ++i) {
            RC_ASSERT(q[i] >= p[i]);
            RC_ASSERT(q[i] <= 1.0);
            for (std::size_t j = 0; j < p.size(); ++j) RC_ASSERT(p[i] > p[j] || q[i] <= q[j]);
        }
    }));
}

}  // namespace
}  // namespace exittop
