// SPDX-License-Identifier: GPL-2.0-only
#include "output/compare.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "analysis/extra_targets.h"
#include "golden.h"
#include "output/json.h"
#include "run_samples.h"

namespace exittop {
namespace {

std::vector<Run> two_runs() { return {test::make_ept_run(), test::make_shadow_run()}; }

// Five repetitions each: one reason steady, one noisy, one that differs beyond all noise.
std::vector<Run> repeated_runs() {
    std::vector<Run> runs;
    for (const std::uint64_t more : {0U, 400U}) {
        Run& run = runs.emplace_back();
        run.label = more == 0 ? "before" : "after";
        for (std::uint64_t i = 0; i < 5; ++i) {
            run.repeats.push_back(test::make_repeat(
                Paging::ept, {test::make_exits(10, {{1'000, 424}}),
                              test::make_exits(1, {{700, 300 + (i * 37 + more) % 50}}),
                              test::make_exits(30, {{9'000, 1'000 + more + i}})}));
        }
    }
    return runs;
}

// Labels and facts as nasty as files can hold them.
std::vector<Run> hostile_runs() {
    std::vector<Run> runs = two_runs();
    Run third;
    third.label = "=evil\x1b[2J|*a*\n<b>,\"and a long name\"";
    third.repeats.push_back(test::make_snapshot());
    third.repeats[0].lost.table_full = 5;
    third.repeats[0].host.kernel = "6.12\x1b[31m|x";
    runs.push_back(third);
    return runs;
}

std::string table(const std::vector<Run>& runs, bool explain = false, std::size_t width = 100,
                  Basis basis = Basis::count) {
    return compare_table(compare_runs(runs, basis), explain, {.width = width});
}

TEST(Compare, Table) {
    const std::string text = table(two_runs());
    test::expect_golden("compare.txt", text);
    for (const char* word : {"new", "gone", "1.00x", "25.3x", "+120,665", "-49"}) {
        EXPECT_NE(text.find(word), std::string::npos) << word;
    }
}

TEST(Compare, ThreeRunsWithWarningsAndLosses) {
    test::expect_golden("compare_three.txt", table(hostile_runs()));
}

TEST(Compare, RepeatedRuns) { test::expect_golden("compare_repeats.txt", table(repeated_runs())); }

TEST(Compare, ExplainedInAColumnThatFits) {
    for (const std::size_t width : {80U, 120U}) {
        const std::string text = table(two_runs(), true, width);
        test::expect_golden("compare_explain_" + std::to_string(width) + ".txt", text);
        for (std::size_t begin = 0; begin < text.size();) {
            const std::size_t end = text.find('\n', begin);
            EXPECT_LE(display_width(text.substr(begin, end - begin)), width);
            begin = end + 1;
        }
    }
}

TEST(Compare, Markdown) {
    const Comparison comparison = compare_runs(hostile_runs(), Basis::time);
    test::expect_golden("compare.md", compare_markdown(comparison, true));
}

TEST(Compare, Csv) {
    const std::string csv = compare_csv(compare_runs(hostile_runs(), Basis::count), false);
    test::expect_golden("compare.csv", csv);
    EXPECT_EQ(csv.find("\n="), std::string::npos);
    EXPECT_EQ(csv.find(",="), std::string::npos);
}

TEST(Compare, Json) {
    test::expect_golden("compare.json", to_json(compare_runs(repeated_runs(), Basis::count)));
    const std::string json = to_json(compare_runs(hostile_runs(), Basis::count));
    EXPECT_TRUE(
        std::ranges::all_of(json, [](char c) { return (c >= 0x20 && c < 0x7f) || c == '\n'; }));
}

std::vector<Run> runs_with_targets() {
    return {test::make_ept_run_with_targets(), test::make_shadow_run_with_targets()};
}

TEST(Compare, Targets) {
    const Comparison comparison = compare_runs(runs_with_targets(), Basis::count);
    test::expect_golden("compare_targets.txt", compare_table(comparison, false, {.width = 80}));
    test::expect_golden("compare_targets_explain.txt",
                        compare_table(comparison, true, {.width = 120}));
    test::expect_golden("compare_targets.md", compare_markdown(comparison, true));
    test::expect_golden("compare_targets.csv", compare_csv(comparison, false));
    test::expect_golden("compare_targets.json", to_json(comparison));
}

TEST(Compare, TargetsOfExtraExits) {
    const Comparison comparison = extra_targets(compare_runs(runs_with_targets(), Basis::count));
    test::expect_golden("compare_extra_targets.txt",
                        compare_table(comparison, false, {.width = 80}));
}

TEST(Compare, WithoutTargetsThereIsNoTraceOfThem) {
    const auto texts = [](const Comparison& comparison) {
        return std::vector{compare_table(comparison, true, {}), compare_markdown(comparison, true),
                           compare_csv(comparison, true), to_json(comparison)};
    };
    auto plain = runs_with_targets();
    for (exittop::Run& run : plain) {
        for (ExitStats& stats : run.repeats[0].vms[0].vcpus[0].exits) stats.targets.reset();
    }
    const Comparison comparison = compare_runs(runs_with_targets(), Basis::count);
    EXPECT_TRUE(has_targets(comparison));
    EXPECT_EQ(texts(without_targets(comparison)), texts(compare_runs(plain, Basis::count)));
}

TEST(Compare, NothingDrivesTheTerminal) {
    auto runs = hostile_runs();
    runs.back().repeats.push_back(test::make_snapshot_with_targets());
    runs.push_back(runs.back());
    runs.back().repeats.front() = runs.back().repeats.back();
    const Comparison comparison = compare_runs(runs, Basis::count);
    EXPECT_TRUE(has_targets(comparison));
    for (const std::string& text :
         {compare_table(comparison, true, {}), compare_markdown(comparison, true),
          compare_csv(comparison, true), to_json(comparison)}) {
        EXPECT_EQ(text.find('\x1b'), std::string::npos);
    }
}

TEST(Compare, SaysWhenRepetitionsAreTooFew) {
    std::vector<exittop::Run> runs = repeated_runs();
    runs[1].repeats.resize(3);
    EXPECT_NE(table(runs).find("NOISE needs at least 4 repetitions of each run; one here has 3."),
              std::string::npos);
}

}  // namespace
}  // namespace exittop
