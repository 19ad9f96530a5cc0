// SPDX-License-Identifier: GPL-2.0-only
// The forms in which people published counts, from their own pages.
#include "output/import.h"

#include <map>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "output/csv.h"
#include "output/json.h"
#include "output/json_input.h"
#include "samples.h"

namespace exittop {
namespace {

using Counts = std::map<std::uint32_t, std::uint64_t>;

Counts counts(const Run& run) {
    Counts result;
    for (const ExitStats& stats : run.repeats.at(0).vms.at(0).vcpus.at(0).exits) {
        result[stats.code] = stats.count;
    }
    return result;
}

Counts imported(std::string_view text, const ImportSettings& options = {}) {
    const auto run = import_counts(text, options);
    EXPECT_TRUE(run) << run.error();
    return run ? counts(*run) : Counts{};
}

std::string failure(std::string_view text, const ImportSettings& options = {}) {
    const auto run = import_counts(text, options);
    EXPECT_FALSE(run) << text;
    return run ? "" : run.error();
}

TEST(Import, LineForms) {
    for (const char* line : {
             "exit number 48 exits = 35708",
             "[  512.123456] exit number 48 exits= 35708",
             "CPUID(0x4FFFFFFE), exit number 48 exits = 35708",
             "CPUID(0x4FFFFFFD), exit number 48 exits: 35708, cycles = 99",
             "kernel: [12.5] Exit Number: 48, Total Exits = 35708",
             "exit reason 48: 35708 exits",
             "Exit reason number 48 has 35708 exits",
             "exit_reason=48 count=35708",
             "exit type 48 count 35708\r",
             "exit reason 0x30: 35708 exits",
         }) {
        EXPECT_EQ(imported(line), (Counts{{48, 35708}})) << line;
    }
}

TEST(Import, ALogWithOtherLines) {
    const Counts found =
        imported("booting\n[1.0] exit number 10 exits = 5\n# exit number 1 exits = 1\n"
                 "total exits = 99\nexit number 12 exits = 7\n"
                 "exit number 10 exits = 6\nexit number 3 exits = 0\n");
    EXPECT_EQ(found, (Counts{{10, 6}, {12, 7}}));  // The last one counts; zero is none.
}

TEST(Import, Tables) {
    const std::string_view table = "# a comment\nexit_reason, ept ,shadow\n0,8407,1566621\r\n"
                                   "CPUID,132076,132252\n48,35708,0\n\n";
    const auto ept = import_counts(table, {.column = "ept"});
    ASSERT_TRUE(ept);
    EXPECT_EQ(ept->label, "ept");
    EXPECT_EQ(ept->imported_from, "a table");
    EXPECT_EQ(counts(*ept), (Counts{{0, 8407}, {10, 132076}, {48, 35708}}));
    const auto named = import_counts(table, {.column = "shadow", .label = "mine"});
    ASSERT_TRUE(named);
    EXPECT_EQ(named->label, "mine");
    EXPECT_EQ(counts(*named).size(), 2U);
    EXPECT_EQ(imported("reason,n\n0x400,7\n", {.isa = Isa::svm}), (Counts{{0x400, 7}}));
    EXPECT_EQ(imported("Exit Reason,n\n48,7\n"), (Counts{{48, 7}}));
    EXPECT_EQ(imported("reason,n\nnpf,7\n", {.isa = Isa::svm}), (Counts{{0x400, 7}}));
}

TEST(Import, TablesWithQuotes) {
    const std::string_view table =
        "\xef\xbb\xbf\"exit \"\"reason\"\"\", \"ept, again\" ,\"two\nlines\"\r\n"
        "# \"not closed, and no matter\r\n"
        "\"48\",\"35708\", \"0\"\r\n\"CPUID\",7,8\r\n";
    const auto ept = import_counts(table, {.column = "ept, again"});
    ASSERT_TRUE(ept) << ept.error();
    EXPECT_EQ(ept->label, "ept, again");
    EXPECT_EQ(counts(*ept), (Counts{{48, 35708}, {10, 7}}));
    EXPECT_EQ(imported(table, {.column = "two\nlines"}), (Counts{{10, 8}}));
}

TEST(Import, WhatExittopWrote) {
    const Snapshot snapshot = test::make_snapshot();
    const auto run = import_counts(to_csv(snapshot, false), {.isa = Isa::svm, .label = "mine"});
    ASSERT_TRUE(run) << run.error();
    EXPECT_EQ(run->label, "mine");
    EXPECT_EQ(run->imported_from, "CSV of exittop");
    ASSERT_EQ(run->repeats.size(), 1U);
    ASSERT_EQ(run->repeats[0].vms.size(), 2U);
    EXPECT_EQ(run->repeats[0].vms[0].isa, Isa::vmx);
    EXPECT_EQ(run->repeats[0].vms[0].vcpus[0].exits.size(), 6U);
    const auto read = from_json(to_json(*run));
    ASSERT_TRUE(read) << read.error();
    EXPECT_EQ(*read, *run);
}

TEST(Import, IsARunFileLikeOthers) {
    const auto run = import_counts("exit number 48 exits = 35708\n", {.label = "mine"});
    ASSERT_TRUE(run);
    const auto read = from_json(to_json(*run));
    ASSERT_TRUE(read) << read.error();
    EXPECT_EQ(*read, *run);
}

TEST(Import, WhatIsWrongIsSaidWithItsLine) {
    EXPECT_EQ(failure(""), "it is empty");
    EXPECT_EQ(failure("# only a comment\n"), "it is empty");
    EXPECT_NE(failure("hello\n").find("no line has the form"), std::string::npos);
    EXPECT_EQ(failure("reason,a,b\n1,2,3\n"),
              "it has several columns of counts: choose one of a, b with --column");
    EXPECT_EQ(failure("reason,a,\n1,2,3\n"),
              "it has several columns of counts: choose one of a with --column");
    EXPECT_EQ(failure("reason,a\n1,2\n", {.column = "c"}),
              "it has no column 'c': choose one of a with --column");
    EXPECT_EQ(failure("reason,a\n1,-2\n"), "line 2: '-2' is not a count of exits");
    EXPECT_EQ(failure("reason,a\n1,1.5\n"), "line 2: '1.5' is not a count of exits");
    EXPECT_EQ(failure("reason,a\n1,18446744073709551616\n"),
              "line 2: '18446744073709551616' is not a count of exits");
    EXPECT_EQ(failure("reason,a\n#\n1,2,3\n"), "line 3: has 3 columns, the heading 2");
    EXPECT_EQ(failure("reason,a\n1,2\n1,3\n"), "line 3: the exit reason 1 comes twice");
    EXPECT_EQ(failure("reason,a\nnpf,2\n"), "line 2: 'npf' is no exit reason of vmx");
    EXPECT_EQ(failure("reason,a\x1b\n1,x\x1b[2J\n"), "line 2: 'x\\x1b[2J' is not a count of exits");
    EXPECT_EQ(failure("reason,a\n1,2\n\n\"3\n\",\"4\n"), "line 5: a quote is not closed");
    EXPECT_EQ(failure("reason,a\n\"1\"x,2\n"), "line 2: there is text behind a closing quote");
    EXPECT_EQ(failure(to_csv(test::make_snapshot(), false), {.column = "count"}),
              "it is exittop's own CSV, of which --column is not asked");
    EXPECT_EQ(failure("exit number 99999999999 exits = 1\n"),
              "line 1: its exit reason is too large a number");
}

TEST(Import, AnyTextIsReadOrRefused) {
    EXPECT_TRUE(rc::check("no text does harm, and errors are one line", [] {
        const auto pieces =
            *rc::gen::container<std::vector<std::string>>(rc::gen::element<std::string>(
                "exit number", " exits", "=", "48", ",", "\n", "reason", "#", "-1",
                "99999999999999999999", "\x1b", "\xff", " ", "CPUID", "\"", "\r",
                "vm,isa,level,reason,code,count\n", "vmx"));
        std::string text;
        for (const std::string& piece : pieces) text += piece;
        const auto run = import_counts(text, {});
        if (!run) RC_ASSERT(run.error().find('\n') == std::string::npos);
        if (run) RC_ASSERT(from_json(to_json(*run)).has_value());
    }));
}

}  // namespace
}  // namespace exittop
