// SPDX-License-Identifier: GPL-2.0-only
// Reads back what csv.h writes, and CSV of other programs.
#include "output/csv_input.h"

#include <set>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "output/batch_format.h"
#include "output/csv.h"
#include "output/json.h"
#include "output/json_input.h"
#include "samples.h"

namespace exittop {
namespace {

using Records = std::vector<std::vector<std::string>>;

Records records(std::string_view text) {
    CsvReader reader(text);
    Records all;
    while (true) {
        auto record = reader.next();
        EXPECT_TRUE(record) << record.error();
        if (!record || !*record) return all;
        all.push_back((*record)->cells);
    }
}

std::string failure(std::string_view text) {
    const auto snapshot = from_csv(text);
    EXPECT_FALSE(snapshot) << text;
    return snapshot ? "" : snapshot.error();
}

TEST(CsvInput, Records) {
    EXPECT_EQ(records(""), Records{});
    EXPECT_EQ(records("\n \r\n\n"), Records{});
    EXPECT_EQ(records("a,b"), (Records{{"a", "b"}}));
    EXPECT_EQ(records("a, b ,\r\n,\r\n"), (Records{{"a", " b ", ""}, {"", ""}}));
    EXPECT_EQ(records("\"a,b\", \"c\" ,\"\"\n"), (Records{{"a,b", "c", ""}}));
    EXPECT_EQ(records("\"say \"\"x\"\"\",\"two\r\nlines\"\r\nnext"),
              (Records{{"say \"x\"", "two\r\nlines"}, {"next"}}));
    EXPECT_EQ(records("5\" disk,x\n"), (Records{{"5\" disk", "x"}}));
    EXPECT_EQ(records("#1,x\n"), (Records{{"#1", "x"}}));
}

TEST(CsvInput, LinesAreCounted) {
    CsvReader reader("a\n\n\"b\nc\"\n# no record\nd\n");
    reader.skip_comments(true);
    for (const std::size_t line : {1U, 3U, 6U}) {
        const auto record = reader.next();
        ASSERT_TRUE(record && *record);
        EXPECT_EQ((*record)->line, line);
    }
}

// The same lines without the percentiles, which need the distribution.
std::string without_percentiles(const std::string& csv) {
    std::string out;
    for (std::vector<std::string> cells : records(csv)) {
        cells.erase(cells.begin() + 16, cells.begin() + 18);
        out += csv_line(cells);
    }
    return out;
}

std::string written_again(const std::string& csv, bool per_vcpu) {
    const auto snapshot = from_csv(csv);
    EXPECT_TRUE(snapshot) << snapshot.error() << "\n" << csv;
    return snapshot ? to_csv(*snapshot, per_vcpu) : "";
}

TEST(CsvInput, WhatWasWrittenIsReadBack) {
    Snapshot snapshot = test::make_snapshot();
    snapshot.lost.exit_without_entry = 3;
    for (const bool per_vcpu : {false, true}) {
        const std::string csv = to_csv(snapshot, per_vcpu);
        EXPECT_EQ(without_percentiles(written_again(csv, per_vcpu)), without_percentiles(csv));
    }
    const auto read = from_csv(to_csv(snapshot, true));
    ASSERT_TRUE(read);
    EXPECT_EQ(read->detail, CountDetail::time);
    EXPECT_EQ(read->host.isa, Isa::vmx);
    EXPECT_EQ(read->vms.at(0).vcpus.size(), 2U);
    snapshot.detail = CountDetail::count;
    const std::string counts = to_csv(snapshot, true);
    EXPECT_EQ(written_again(counts, true), counts);
}

TEST(CsvInput, TargetsAreNotCountedTwice) {
    const Snapshot snapshot = test::make_snapshot_with_targets();
    for (const bool per_vcpu : {false, true}) {
        const auto read = from_csv(to_csv(snapshot, per_vcpu));
        ASSERT_TRUE(read) << read.error();
        for (std::size_t i = 0; i < snapshot.vms.size(); ++i) {
            const auto written = exits_by_reason(snapshot.vms[i]);
            const auto found = exits_by_reason(read->vms[i]);
            ASSERT_EQ(found.size(), written.size());
            for (std::size_t k = 0; k < found.size(); ++k) {
                EXPECT_EQ(found[k].count, written[k].count);
                EXPECT_EQ(found[k].time_ns, written[k].time_ns);
                if (i == 1) continue;  // Its targets were sanitised.
                EXPECT_EQ(found[k].targets, written[k].targets);
            }
        }
        const std::string again = to_csv(*read, per_vcpu);
        EXPECT_EQ(without_percentiles(again), without_percentiles(to_csv(snapshot, per_vcpu)));
    }
    const std::string intervals =
        batch_text(snapshot, Format::csv, {}, true) + batch_text(snapshot, Format::csv, {}, false);
    const auto both = from_csv(intervals);
    ASSERT_TRUE(both) << both.error();
    const auto sum = exits_by_reason(both->vms[0]);
    EXPECT_EQ(sum[3].count, 2 * 132'003U);
    EXPECT_EQ(sum_of(*sum[3].targets).count, 2 * 132'003U);
}

TEST(CsvInput, TargetsThatContradictAreRefused) {
    const std::string heading = "vm,isa,level,reason,code,count,target\n";
    EXPECT_EQ(failure(heading + "a,vmx,1,HLT,12,5,\na,vmx,1,HLT,12,5000,x\n"),
              "the targets of HLT hold 5000 exits, of 5");
    // Of an interval, exits of vCPUs that had begun before it.
    const auto read = from_csv(heading + "a,vmx,1,HLT,12,5,\na,vmx,1,HLT,12,9,x\n");
    ASSERT_TRUE(read) << read.error();
    EXPECT_EQ(read->vms[0].vcpus[0].exits[0].count, 5U);
    const auto as_json = from_json(to_json(*read));
    ASSERT_TRUE(as_json) << as_json.error();
    EXPECT_EQ(as_json->repeats[0].vms[0].vcpus[0].exits, read->vms[0].vcpus[0].exits);
    const auto bytes = from_csv(heading + "a,vmx,1,HLT,12,9,\na,vmx,1,HLT,12,4,\xff\n"
                                          "a,vmx,1,HLT,12,5,\xfe\n");
    ASSERT_TRUE(bytes) << bytes.error();
    EXPECT_EQ(bytes->vms[0].vcpus[0].exits[0].targets->known,
              (std::vector<TargetStats>{{{9, 0}, "\ufffd"}}));
    // Times are those of all lines, or of none.
    const auto timed = from_csv("vm,isa,level,reason,code,count,time_ns,target\n"
                                "a,vmx,1,HLT,12,5,,\na,vmx,1,HLT,12,5,70,x\n");
    ASSERT_TRUE(timed) << timed.error();
    EXPECT_EQ(timed->detail, CountDetail::time);
    EXPECT_EQ(timed->vms[0].vcpus[0].exits[0].targets->known[0].time_ns, 70U);
    EXPECT_EQ(failure(heading + "a,vmx,1,HLT,12,,x\n"),
              "line 2: '' in the column count is not a whole number");
}

// Names of VMs that are hostile to CSV, in pieces.
std::string any_name() {
    const auto pieces = *rc::gen::resize(
        8, rc::gen::container<std::vector<std::string>>(rc::gen::element<std::string>(
               "\"", "\"\"", ",", "\n", "\r", "'", "=", "+", "-", "@", "#", " ", "\t", "web",
               "lost:", "\x1b", "\xff", "中", "\xef\xbb\xbf")));
    std::string name;
    for (const std::string& piece : pieces) name += piece;
    return name + *rc::gen::resize(20, rc::gen::arbitrary<std::string>());
}

Snapshot any_snapshot() {
    Snapshot snapshot;
    const int vms = *rc::gen::inRange(0, 4);
    for (int pid = 0; pid < vms; ++pid) {
        Vm vm;
        vm.pid = static_cast<std::uint32_t>(pid);
        vm.name = any_name();
        vm.vmm = any_name();
        vm.uuid = any_name();
        vm.isa = *rc::gen::element(Isa::unknown, Isa::vmx, Isa::svm, Isa{7});
        vm.paging = *rc::gen::element(Paging::unknown, Paging::ept, Paging::npt, Paging::shadow);
        vm.ended = *rc::gen::arbitrary<bool>();
        const auto vcpus = *rc::gen::resize(3, rc::gen::arbitrary<std::set<std::uint32_t>>());
        for (const std::uint32_t id : vcpus) {
            Vcpu& vcpu = vm.vcpus.emplace_back();
            vcpu.id = id;
            const auto codes = *rc::gen::resize(5, rc::gen::arbitrary<std::set<std::uint32_t>>());
            for (const std::uint32_t code : codes) {
                ExitStats& stats = vcpu.exits.emplace_back();
                stats.code = code;
                stats.count = *rc::gen::inRange<std::uint64_t>(1, UINT64_MAX);
                stats.time_ns = *rc::gen::arbitrary<std::uint64_t>();
                stats.max_ns = *rc::gen::arbitrary<std::uint64_t>();
                stats.vmm_ns = *rc::gen::arbitrary<std::uint64_t>();
                stats.polled_ns = *rc::gen::arbitrary<std::uint64_t>();
            }
            // Ascending by (level, code).
            const auto nested = static_cast<std::size_t>(*rc::gen::inRange(0, 3));
            for (std::size_t i = codes.size() - std::min(nested, codes.size()); i < codes.size();
                 ++i) {
                vcpu.exits[i].level = GuestLevel::l2;
            }
        }
        snapshot.vms.push_back(std::move(vm));
    }
    snapshot.detail =
        *rc::gen::element(CountDetail::count, CountDetail::time, CountDetail::histogram);
    snapshot.known_parts =
        *rc::gen::element(TimeParts{}, TimeParts{TimePart::vmm, TimePart::halted},
                          TimeParts{TimePart::polled, TimePart::blocked}, TimeParts::all());
    snapshot.lost.table_full = *rc::gen::inRange<std::uint64_t>(0, 3);
    snapshot.lost.untraced = *rc::gen::arbitrary<std::uint64_t>();
    snapshot.lost.unknown["of_a_later_version"] = *rc::gen::inRange<std::uint64_t>(1, 3);
    return snapshot;
}

TEST(CsvInput, WhateverIsWrittenIsReadBack) {
    EXPECT_TRUE(rc::check("names, counts and times, as far as CSV has them", [] {
        const Snapshot snapshot = any_snapshot();
        const bool per_vcpu = *rc::gen::arbitrary<bool>();
        const std::string csv = to_csv(snapshot, per_vcpu);
        RC_ASSERT(without_percentiles(written_again(csv, per_vcpu)) == without_percentiles(csv));
    }));
}

// As version 0.1 wrote it.
TEST(CsvInput, WithoutTheColumnsOfSomePartsTheseAreNotKnown) {
    const auto read = from_csv("vm,isa,level,reason,code,count,time_ns,max_ns,vmm_ns,halted_ns\n"
                               "web,vmx,1,HLT,12,3,900,500,100,700\n");
    ASSERT_TRUE(read) << read.error();
    EXPECT_EQ(read->known_parts, (TimeParts{TimePart::vmm, TimePart::halted}));
    EXPECT_EQ(read->vms[0].vcpus[0].exits[0].halted_ns, 700U);
}

TEST(CsvInput, APartIsKnownWhereAllLinesHaveIt) {
    const auto read = from_csv("vm,isa,level,reason,code,count,time_ns,vmm_ns,polled_ns\n"
                               "web,vmx,1,HLT,12,3,900,100,\n"
                               "web,vmx,1,CPUID,10,1,500,100,7\n");
    ASSERT_TRUE(read) << read.error();
    EXPECT_EQ(read->known_parts, TimeParts{TimePart::vmm});
    for (const ExitStats& stats : read->vms[0].vcpus[0].exits) EXPECT_EQ(stats.polled_ns, 0U);
}

TEST(CsvInput, OfIntervalsTheSum) {
    const Snapshot first = test::make_snapshot();
    Snapshot second = first;
    second.vms.resize(1);
    second.vms[0].ended = true;
    std::string csv = batch_text(first, Format::csv, {}, true);
    csv += batch_text(second, Format::csv, {}, false);
    const auto read = from_csv(csv);
    ASSERT_TRUE(read) << read.error();
    ASSERT_EQ(read->vms.size(), 2U);
    EXPECT_TRUE(read->vms[0].ended);
    const ExitStats& stats = read->vms[0].vcpus.at(0).exits.at(0);
    EXPECT_EQ(stats.code, 1U);
    EXPECT_EQ(stats.count, 2 * 32'000U);
    EXPECT_EQ(stats.time_ns, 2 * 26'100'000U);
    EXPECT_EQ(stats.max_ns, 1'300U);
    EXPECT_EQ(read->vms[1].vcpus.at(0).exits.at(0).count, 12U);
}

TEST(CsvInput, WhatIsWrongIsSaidWithItsLine) {
    const std::string heading = "vm,isa,level,reason,code,count\n";
    EXPECT_EQ(failure(""), "it is not CSV of exittop");
    EXPECT_EQ(failure("a,b\n"), "it is not CSV of exittop");
    EXPECT_EQ(failure(heading + "a,vmx,1,HLT,12\n"), "line 2: has 5 columns, the heading 6");
    EXPECT_EQ(failure(heading + "\"a\nb\",vmx,1,HLT,12,3\nc,vmx,3,HLT,12,1\n"),
              "line 4: '3' in the column level is not 1 or 2");
    EXPECT_EQ(failure(heading + "a,vmx,1,HLT,12,\n"),
              "line 2: '' in the column count is not a whole number");
    EXPECT_EQ(failure(heading + "a,arm,1,HLT,12,1\n"),
              "line 2: 'arm' in the column isa is not a whole number from 0 to 4294967295");
    EXPECT_EQ(failure(heading + ",,,lost:socks,,x\n"),
              "line 2: 'x' in the column count is not a whole number from 0 to "
              "18446744073709551615");
    EXPECT_EQ(failure(heading + "a,vmx,1,HLT,-1\x1b,1\n"),
              "line 2: '-1\\x1b' in the column code is not a whole number from 0 to 4294967295");
    EXPECT_EQ(failure(heading + "\"a"), "line 2: a quote is not closed");
}

}  // namespace
}  // namespace exittop
