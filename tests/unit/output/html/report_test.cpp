// SPDX-License-Identifier: GPL-2.0-only
#include "output/html/report_page.h"

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "golden.h"
#include "output/html/report_parts.h"
#include "run_samples.h"
#include "samples.h"

namespace exittop {
namespace {

// "Run" alone is googletest's in a test.
using Runs = std::vector<Run>;

Run make_run(const std::string& label, Paging paging, std::vector<ExitStats> exits) {
    Run run;
    run.label = label;
    run.version = "0.1.0";
    Snapshot snapshot = test::make_snapshot();
    snapshot.vms.resize(1);
    snapshot.vms[0].paging = paging;
    snapshot.vms[0].vcpus = {{{0, 1}, std::move(exits)}};
    run.repeats = {std::move(snapshot)};
    return run;
}

Runs make_runs() {
    ExitStats io = test::make_exits(30, {{9'000, 130}, {41'000, 20}});
    io.vmm_ns = 900'000;
    Runs runs = {
        make_run("ept=1", Paging::ept,
                 {test::make_exits(10, {{1'000, 424}}), io, test::make_exits(48, {{2'000, 49}}),
                  test::make_exits(0x5f, {{640, 2}})}),
        make_run("ept=0", Paging::shadow,
                 {test::make_exits(0, {{1'000, 120'665}, {70'000, 9}}),
                  test::make_exits(10, {{1'000, 424}}), io})};
    runs[1].repeats[0].host.parameters["kvm_intel.ept"] = "N";
    return runs;
}

std::string page_of(const Runs& runs, Basis basis = Basis::count) {
    return report_page(compare_runs(runs, basis));
}

// What is not the same for every page: neither code nor style, whose tests are in a browser.
std::string without_code(std::string page) {
    const std::pair<std::string, std::string> cuts[] = {
        {"<style>", "</style>"}, {"<script>", "</script>"}, {"<!--", "-->"}, {"'sha256-", "'"}};
    for (const auto& [begin, end] : cuts) {
        for (std::size_t at = page.find(begin); at != page.npos; at = page.find(begin, at)) {
            at += begin.size();
            page.erase(at, page.find(end, at) - at);
        }
    }
    return page;
}

std::size_t number_of(const std::string& page, std::string_view what) {
    std::size_t number = 0;
    for (std::size_t at = page.find(what); at != page.npos; at = page.find(what, at + 1)) ++number;
    return number;
}

TEST(Report, TwoRuns) {
    const std::string page = page_of(make_runs());
    test::expect_golden("report.html", without_code(page));
    for (const char* cell :
         {">new<", ">gone<", ">1.00x<", ">120,674<", "data-value=\"Infinity\""}) {
        EXPECT_NE(page.find(cell), page.npos) << cell;
    }
}

Runs runs_with_targets() {
    return {test::make_ept_run_with_targets(), test::make_shadow_run_with_targets()};
}

TEST(Report, Targets) {
    const std::string page = without_code(page_of(runs_with_targets()));
    test::expect_golden("report_targets.html", page);
    EXPECT_EQ(number_of(page, "<tr class=\"reason\">"), 5U);
    for (const char* text : {"cr3 page table base write", "write kernel protection", "others (2)",
                             "<small>it has none</small>"}) {
        EXPECT_NE(page.find(text), page.npos) << text;
    }
    const std::string plain = page_of(make_runs());
    EXPECT_EQ(without_code(plain).find("target"), plain.npos);
}

TEST(Report, HoldsItsLibrariesAndAsksForNothing) {
    const std::string page = page_of(make_runs());
    EXPECT_GT(page.size(), 400'000u);
    EXPECT_LT(page.size(), 600'000u) << "README and exittop(8) say how large a page is";
    EXPECT_EQ(number_of(page, "'sha256-"), 3u);
    EXPECT_EQ(number_of(without_code(page), "<script>"), 3u);
    const std::string text = without_code(page);
    for (const char* asks : {"src=", "<link", "url(", "@import", "http:", "https:"}) {
        EXPECT_EQ(text.find(asks), text.npos) << asks;
    }
    EXPECT_NE(page.find("default-src 'none'"), page.npos);
    EXPECT_NE(page.find("Permission to use, copy, modify"), page.npos) << "the licences' condition";
}

TEST(Report, OneRunHasNothingToCompareWith) {
    const std::string page = without_code(page_of({make_runs().front()}));
    EXPECT_EQ(page.find("Differences and ratios"), page.npos);
    EXPECT_NE(page.find("<b>ept=1</b>: 625 exits."), page.npos);
}

TEST(Report, RepetitionsShowSpreadAndTest) {
    Runs runs = make_runs();
    for (auto& run : runs) {
        for (int i = 0; i < 4; ++i) run.repeats.push_back(run.repeats.front());
        run.repeats.back().vms[0].vcpus[0].exits[0].count += 5;
    }
    const std::string page = without_code(page_of(runs));
    EXPECT_NE(page.find("425 \u00b12.24"), page.npos);
    EXPECT_NE(page.find("Mann-Whitney"), page.npos);
    EXPECT_NE(page.find("beyond"), page.npos);
}

TEST(Report, OnAnotherBasisItsValuesComeFirst) {
    const std::string page = without_code(page_of(make_runs(), Basis::share));
    EXPECT_LT(page.find("class=\"group\">share of exits<"), page.find("class=\"group\">COUNT<"));
    EXPECT_NE(page.find("99.5%"), page.npos);
}

TEST(Report, RunsWithoutTimesHaveNoTimeSection) {
    Runs runs = make_runs();
    for (auto& run : runs) {
        for (ExitStats& stats : run.repeats[0].vms[0].vcpus[0].exits) {
            stats.time_ns = stats.max_ns = stats.vmm_ns = 0;
            stats.histogram = {};
        }
    }
    const std::string page = without_code(page_of(runs));
    EXPECT_NE(page.find("<section id=\"time\" hidden>"), page.npos);
    EXPECT_EQ(page.find("data-histograms"), page.npos);
}

// Rows of the table of times by reason, without markup: "A HLT 2.00s ...".
std::vector<std::string> reason_times(const Runs& runs) {
    const std::string page = page_of(runs);
    std::vector<std::string> rows;
    const std::size_t table = page.find("id=\"split-table\"");
    const std::size_t end = std::min(page.find("</table>", table), page.size());
    for (std::size_t at = page.find("<tr data-run", table); at < end;
         at = page.find("<tr data-run", at + 1)) {
        std::string& row = rows.emplace_back();
        for (std::size_t i = at; !page.substr(i).starts_with("</tr>"); ++i) {
            if (page[i] == '<') {
                if (page.substr(i).starts_with("<td")) row += " | ";
                i = page.find('>', i);
            } else {
                row += page[i];
            }
        }
    }
    return rows;
}

Runs runs_with_parts() {
    ExitStats halt = test::make_exits(12, {{100'000, 10}});
    halt.polled_ns = 200'000;
    halt.preempted_ns = 50'000;
    halt.halted_ns = 700'000;
    const ExitStats cpuid = test::make_exits(10, {{1'000, 424}});
    return {make_run("ept=1", Paging::ept, {cpuid, halt}),
            make_run("ept=0", Paging::shadow, {cpuid})};
}

TEST(Report, EachReasonsTimeHasItsParts) {
    using Rows = std::vector<std::string>;
    Runs runs = runs_with_parts();
    // In no run was there any of the VMM's or of blocked time: they have no column.
    EXPECT_EQ(reason_times(runs),
              (Rows{"A HLT | 1.00ms | 50.0us 5.0% | 200us 20.0% | 50.0us 5.0% | 700us 70.0%",
                    "B HLT | - | - | - | - | -", "A CPUID | 424us | 424us 100.0% | 0ns | 0ns | 0ns",
                    "B CPUID | 424us | 424us 100.0% | 0ns | 0ns | 0ns"}));
    const std::string page = without_code(page_of(runs));
    EXPECT_NE(page.find("<b>preempted</b> ready to run, but waited for a CPU"), page.npos);
    EXPECT_NE(page.find("<b>kernel</b> on a CPU, in the host&#39;s kernel</span>"), page.npos);
    EXPECT_EQ(page.find("<b>blocked</b>"), page.npos);

    // What one run cannot tell is in its kernel's time, and the page says so.
    runs[1].repeats[0].known_parts = {TimePart::vmm, TimePart::halted};
    EXPECT_EQ(reason_times(runs).back(), "B CPUID | 424us | 424us 100.0% | - | - | 0ns");
    EXPECT_NE(page_of(runs).find("kernel; also parts that are not known"), page.npos);
}

TEST(Report, WithoutPartsThereIsNoTimeByReason) {
    Runs runs = runs_with_parts();
    for (auto& run : runs) run.repeats[0].known_parts = {};
    EXPECT_EQ(reason_times(runs), std::vector<std::string>{});
    EXPECT_EQ(page_of(runs).find("id=\"split-figures\""), std::string::npos);
    EXPECT_EQ(page_of(runs).find(">CPU MEAN<"), std::string::npos);
}

TEST(Report, NoExitsAtAll) {
    const std::string page = page_of({make_run("idle", Paging::ept, {})});
    EXPECT_NE(page.find("<b>idle</b>: 0 exits."), page.npos);
    EXPECT_NE(page.find("<section id=\"meanings\" hidden>"), page.npos);
}

TEST(Report, MoreRunsThanLettersAndColours) {
    const Runs runs(28, make_runs().front());
    const std::string page = page_of(runs);
    EXPECT_NE(page.find("<span class=\"letter run-1\">Z</span>"), page.npos);
    EXPECT_NE(page.find("<span class=\"letter run-3\">28</span>"), page.npos);
}

TEST(Report, WhatIsFilledInIsNotLookedAtAgain) {
    Runs runs = make_runs();
    runs[0].label = "{version} @SCRIPT@ {";
    EXPECT_NE(page_of(runs).find("<b>ept=0</b>: 121,248 exits, <b>194x</b> as many as "
                                 "{version} @SCRIPT@ {."),
              std::string::npos);
}

TEST(Html, EscapesAndSanitises) {
    struct Case {
        const char* raw;
        const char* text;
    };
    const Case cases[] = {
        {"web01", "web01"},
        {"</script><script>alert(1)", "&lt;/script&gt;&lt;script&gt;alert(1)"},
        {"a\"b'c&amp;", "a&quot;b&#39;c&amp;amp;"},
        {"a\n\x1b[2J", "a\\x0a\\x1b[2J"},
        {"\u202egnp.exe", "&lt;U+202E&gt;gnp.exe"},
        {"\xff\u4e2d", "\ufffd\u4e2d"},
        {"<!--", "&lt;!--"},
    };
    for (const Case& c : cases) EXPECT_EQ(html_text(c.raw), c.text) << c.raw;
}

// Whatever bytes come from files, the page has the same elements and attributes.
TEST(Report, ForeignTextIsNeverMarkup) {
    const auto page_with = [](const std::string& text) {
        Runs runs = make_runs();
        for (auto& run : runs) {
            run.label = text + run.label;
            run.note = run.version = text + run.note;
            run.started_at = text;
            run.command = {text, text};
            run.repeats[0].host.kernel = text;
            run.repeats[0].host.cpu = text;
            run.repeats[0].host.parameters["kvm." + text] = text;
            run.repeats[0].vms[0].name = text;
            run.repeats[0].vms[0].vmm = text;
            Targets targets;
            targets.add("a " + text, {20, 20});
            targets.unknown = {1, 1};
            targets.why = text;
            run.repeats[0].vms[0].vcpus[0].exits[1].targets = targets;
        }
        runs[1].repeats[0].host.kernel += "2";  // For a warning that quotes both.
        return page_of(runs);
    };
    const std::string plain = page_with("x");
    EXPECT_NE(plain.find("other-kernel"), plain.npos);
    EXPECT_TRUE(rc::check("the same elements, whatever the bytes", [&] {
        const auto pieces =
            *rc::gen::container<std::vector<std::string>>(rc::gen::element<std::string>(
                "<", ">", "\"", "'", "&", "</script>", "<!--", "-->", "{", "runs}", "`", "\\", "\n",
                "\x1b", "\xff", "\u202e", "=", "javascript:", "a"));
        std::string text = "x";
        for (const std::string& piece : pieces) text += piece;
        const std::string page = page_with(text);
        for (const char* mark : {"<", ">", "\"", "'"}) {
            RC_ASSERT(number_of(page, mark) == number_of(plain, mark));
        }
    }));
}

}  // namespace
}  // namespace exittop
