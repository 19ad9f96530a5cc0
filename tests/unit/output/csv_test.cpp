// SPDX-License-Identifier: GPL-2.0-only
#include "output/csv.h"

#include <algorithm>
#include <sstream>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "golden.h"
#include "samples.h"

namespace exittop {
namespace {

// Fields of one line, by RFC 4180.
std::vector<std::string> parse_line(const std::string& line) {
    std::vector<std::string> cells(1);
    bool quoted = false;
    for (std::size_t i = 0; i < line.size(); ++i) {
        if (line[i] == '"' && quoted && i + 1 < line.size() && line[i + 1] == '"') {
            cells.back() += line[i++];
        } else if (line[i] == '"') {
            quoted = !quoted;
        } else if (line[i] == ',' && !quoted) {
            cells.emplace_back();
        } else {
            cells.back() += line[i];
        }
    }
    return cells;
}

std::vector<std::vector<std::string>> parse_lines(const std::string& text) {
    std::vector<std::vector<std::string>> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back(parse_line(line));
    return lines;
}

TEST(Csv, Golden) {
    Snapshot snapshot = test::make_snapshot();
    snapshot.lost.exit_without_entry = 3;
    test::expect_golden("dump.csv", to_csv(snapshot, false));
    test::expect_golden("dump_per_vcpu.csv", to_csv(snapshot, true));
}

TEST(Csv, WhatWasNotCountedIsEmpty) {
    Snapshot snapshot = test::make_snapshot();
    snapshot.detail = CountDetail::count;
    EXPECT_NE(to_csv(snapshot, false).find(",10,424,,,,,,,,0,,,,\n"), std::string::npos)
        << to_csv(snapshot, false);
}

TEST(Csv, TargetsHaveLinesOfTheirOwn) {
    const Snapshot snapshot = test::make_snapshot_with_targets();
    const std::string csv = to_csv(snapshot, false);
    test::expect_golden("dump_targets.csv", csv);
    const auto lines = parse_lines(csv);
    const auto column = [&lines](const char* name) {
        return static_cast<std::size_t>(std::ranges::find(lines[0], name) - lines[0].begin());
    };
    // Those without a target are what there is without the option; the others add up to them.
    std::uint64_t of_targets = 0;
    std::string others;
    for (std::vector<std::string> cells : lines) {
        if (cells[column("target")].empty() || cells[0] == "vm") {
            const auto first = cells.begin() + static_cast<std::ptrdiff_t>(column("target"));
            cells.erase(first, first + 2);
            others += csv_line(cells);
        } else if (cells[column("reason")] == "IO_INSTRUCTION") {
            of_targets += std::stoull(cells[column("count")]);
        }
    }
    EXPECT_EQ(others, to_csv(test::make_snapshot(), false));
    EXPECT_EQ(of_targets, 132'003U);
    EXPECT_EQ(csv.find('\x1b'), std::string::npos);
    EXPECT_EQ(csv.find(",="), std::string::npos);
}

TEST(Csv, ColumnsOfTargetsAreThereBeforeThereIsAnExit) {
    Snapshot snapshot;
    snapshot.cost.target_bytes = 4096;
    EXPECT_TRUE(to_csv(snapshot, false).contains(",ended,target,target_name,"));
}

TEST(Csv, Fields) {
    EXPECT_EQ(csv_field("plain"), "plain");
    EXPECT_EQ(csv_field("a,b"), "\"a,b\"");
    EXPECT_EQ(csv_field("say \"x\""), "\"say \"\"x\"\"\"");
    EXPECT_EQ(csv_field("a\nb"), "\"a\nb\"");
    EXPECT_EQ(csv_field(""), "");
}

TEST(Csv, FormulasAreDefused) {
    for (const char* name : {"=1+1", "+1", "-1", "@SUM(A1)"}) {
        Snapshot snapshot = test::make_snapshot();
        snapshot.vms[0].name = name;
        EXPECT_EQ(parse_lines(to_csv(snapshot, false))[1][0], std::string("'") + name);
    }
}

TEST(Csv, EveryLineHasEveryColumn) {
    EXPECT_TRUE(rc::check("columns", [](const std::string& name, const std::string& vmm) {
        Snapshot snapshot = test::make_snapshot();
        snapshot.vms[0].name = name;
        snapshot.vms[1].vmm = vmm;
        snapshot.lost.table_full = 1;
        const auto lines = parse_lines(to_csv(snapshot, true));
        RC_ASSERT(lines.size() == 1U + 7U + 1U + 1U);
        for (const auto& line : lines) RC_ASSERT(line.size() == lines[0].size());
        RC_ASSERT(lines.back()[8] == "lost:table_full");
        RC_ASSERT(lines.back()[10] == "1");
    }));
}

TEST(Csv, WhatIsNotKnownIsEmpty) {
    Snapshot snapshot = test::make_snapshot();
    snapshot.known_parts = {TimePart::vmm, TimePart::polled};
    const auto lines = parse_lines(to_csv(snapshot, false));
    for (const auto& [name, known] :
         {std::pair{"vmm_ns", true}, std::pair{"polled_ns", true}, std::pair{"halted_ns", false},
          std::pair{"blocked_ns", false}, std::pair{"preempted_ns", false},
          std::pair{"mean_cpu_ns", false}, std::pair{"time_ns", true}}) {
        const auto column = std::ranges::find(lines[0], name) - lines[0].begin();
        EXPECT_NE(lines[1][static_cast<std::size_t>(column)].empty(), known) << name;
    }
}

// Scripts may take columns by their places.
TEST(Csv, NewColumnsAreBehindAllOthers) {
    for (const bool targets : {false, true}) {
        const auto snapshot = targets ? test::make_snapshot_with_targets() : test::make_snapshot();
        const auto names = parse_lines(to_csv(snapshot, false))[0];
        EXPECT_EQ(names[10], "count");
        EXPECT_EQ(names[18], "ended");
        if (targets) {
            EXPECT_EQ(names[20], "target_name");
        }
        const std::vector<std::string> last(names.end() - 4, names.end());
        const std::vector<std::string> expected = {"polled_ns", "preempted_ns", "blocked_ns",
                                                   "mean_cpu_ns"};
        EXPECT_EQ(last, expected);
    }
}

TEST(Csv, CountsAddUp) {
    const auto lines = parse_lines(to_csv(test::make_snapshot(), false));
    const auto column =
        static_cast<std::size_t>(std::ranges::find(lines[0], "count") - lines[0].begin());
    std::uint64_t sum = 0;
    for (std::size_t i = 1; i < lines.size(); ++i) sum += std::stoull(lines[i][column]);
    EXPECT_EQ(sum, 32'000U + 424 + 4'600 + 132'003 + 77 + 2 + 12);
}

}  // namespace
}  // namespace exittop
