// SPDX-License-Identifier: GPL-2.0-only
#include "compare.h"

#include <gtest/gtest.h>

#include "golden.h"
#include "samples.h"

namespace exittop {
namespace {

NamedRun make_run(const char* name, Paging paging, std::vector<ExitStats> exits) {
    NamedRun run{name, test::make_snapshot()};
    run.snapshot.host.paging = paging;
    run.snapshot.vms.resize(1);
    run.snapshot.vms[0].vcpus = {{0, 1, std::move(exits)}};
    return run;
}

std::vector<NamedRun> make_runs() {
    return {make_run("ept=1", Paging::ept,
                     {test::make_exits(10, {{1'000, 424}}), test::make_exits(48, {{2'000, 49}}),
                      test::make_exits(12, {{2'000, 10}})}),
            make_run("ept=0", Paging::shadow,
                     {test::make_exits(0, {{1'000, 120'665}}), test::make_exits(10, {{1'000, 424}}),
                      test::make_exits(12, {{2'000, 253}})})};
}

TEST(Compare, TwoRuns) {
    const std::vector<NamedRun> runs = make_runs();
    const std::string table = compare_table(runs, {});
    test::expect_golden("compare.txt", table);
    for (const char* word : {"new", "gone", "1.00x", "25.3x"}) {
        EXPECT_NE(table.find(word), std::string::npos) << word;
    }
}

TEST(Compare, ThreeRunsWithLossesAndSeveralVms) {
    std::vector<NamedRun> runs = make_runs();
    runs.push_back({"hostile\x1b[2J-and-long-name", test::make_snapshot()});
    runs.back().snapshot.lost.table_full = 5;
    const std::string table = compare_table(runs, {});
    test::expect_golden("compare_three.txt", table);
    EXPECT_NE(table.find("LOST"), std::string::npos);
}

TEST(Compare, CountsOfSeveralVmsAddUp) {
    std::vector<NamedRun> runs = make_runs();
    runs[1].snapshot.vms.push_back(runs[1].snapshot.vms[0]);
    EXPECT_NE(compare_table(runs, {}).find("241,330"), std::string::npos);
}

TEST(Compare, OneRunOrNone) {
    const std::vector<NamedRun> runs = make_runs();
    EXPECT_EQ(compare_table(std::span(runs).first(1), {}), dump_table(runs[0].snapshot, {}));
    EXPECT_EQ(compare_table({}, {}), "");
}

}  // namespace
}  // namespace exittop
