// SPDX-License-Identifier: GPL-2.0-only
#include "output/table.h"

#include <algorithm>
#include <regex>
#include <sstream>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "golden.h"
#include "samples.h"

namespace exittop {
namespace {

std::size_t widest_line(const std::string& text) {
    std::istringstream lines(text);
    std::size_t widest = 0;
    for (std::string line; std::getline(lines, line);) {
        widest = std::max(widest, display_width(line));
    }
    return widest;
}

TEST(Table, Default) {
    const std::string table = dump_table(test::make_snapshot(), {});
    test::expect_golden("dump.txt", table);
    EXPECT_LE(widest_line(table), 80U);
}

TEST(Table, Wide) {
    const Snapshot snapshot = test::make_snapshot();
    for (const std::size_t width : {100U, 120U, 160U}) {
        const std::string table = dump_table(snapshot, {.width = width});
        test::expect_golden(width == 120 ? "dump_wide.txt" : fmt::format("dump_{}.txt", width),
                            table);
        EXPECT_LE(widest_line(table), width);
    }
    const std::string widest = dump_table(snapshot, {.width = 160});
    for (const char* heading :
         {"KERNEL", "VMM", "POLLED", "PREEMPTED", "HALTED", "BLOCKED", "CPU MEAN"}) {
        EXPECT_NE(widest.find(heading), std::string::npos);
    }
}

TEST(Table, Targets) {
    const Snapshot snapshot = test::make_snapshot_with_targets();
    for (const std::size_t width : {80U, 120U}) {
        const std::string table = dump_table(snapshot, {.width = width});
        test::expect_golden(width == 80 ? "dump_targets.txt" : "dump_targets_wide.txt", table);
        EXPECT_LE(widest_line(table), width);
        EXPECT_EQ(table.find('\x1b'), std::string::npos);
        EXPECT_EQ(table.find("\u202e"), std::string::npos);
    }
    EXPECT_EQ(dump_table(snapshot, {.targets = false}), dump_table(test::make_snapshot(), {}));
}

TEST(Table, TargetsWithoutTimesAreThoseOfMostExits) {
    Snapshot snapshot = test::make_snapshot_with_targets();
    snapshot.detail = CountDetail::count;
    const std::string table = dump_table(snapshot, {});
    EXPECT_LT(table.find("0x608"), table.find("0x3f8"));
    EXPECT_EQ(table.find("TIME"), std::string::npos);
}

TEST(Table, WhatWasNotCountedHasNoColumn) {
    Snapshot snapshot = test::make_snapshot();
    snapshot.detail = CountDetail::count;
    const std::string counts = dump_table(snapshot, {.width = 120});
    EXPECT_NE(counts.find("RATE/s"), std::string::npos);
    for (const char* heading : {"TIME", "MEAN", "P50", "MAX", "VMM "}) {
        EXPECT_EQ(counts.find(heading), std::string::npos) << heading;
    }
    snapshot.detail = CountDetail::time;
    const std::string times = dump_table(snapshot, {.width = 120});
    EXPECT_NE(times.find("MEAN"), std::string::npos);
    EXPECT_EQ(times.find("P50"), std::string::npos);
}

TEST(Table, PerVcpuSortedByName) {
    test::expect_golden(
        "dump_per_vcpu.txt",
        dump_table(test::make_snapshot(), {.sort = find_field("name"), .per_vcpu = true}));
}

TEST(Table, Histogram) {
    Snapshot snapshot = test::make_snapshot();
    snapshot.vms.resize(1);
    const std::string table = dump_table(snapshot, {.sort = find_field("time"), .histogram = true});
    test::expect_golden("dump_histogram.txt", table);
    EXPECT_LE(widest_line(table), 80U);
}

TEST(Table, WhereTheTimeWentIsNotShownWhereItIsNotKnown) {
    Snapshot snapshot = test::make_snapshot();
    snapshot.known_parts = {};
    const std::string table = dump_table(snapshot, {.width = 200});
    for (const char* word : {"VMM ", "HALTED", "KERNEL", "% kernel", "halted"}) {
        EXPECT_EQ(table.find(word), std::string::npos) << word << table;
    }
    EXPECT_NE(table.find("time in exits 4.47s\n"), std::string::npos) << table;
    EXPECT_NE(table.find("MEAN"), std::string::npos);
}

TEST(Table, LossesCannotBeMissed) {
    Snapshot snapshot = test::make_snapshot();
    snapshot.vms.resize(1);
    for (const LostCause& cause : lost_causes()) snapshot.lost.*cause.value = 1'234;
    const std::string table = dump_table(snapshot, {});
    test::expect_golden("dump_lost.txt", table);
    EXPECT_NE(table.find("LOST"), std::string::npos);
    EXPECT_LE(widest_line(table), 80U);
    EXPECT_EQ(lost_lines({}, Color::on), "lost: nothing\n");
}

TEST(Table, SaysWhoseExitsWereNotCounted) {
    Snapshot snapshot = test::make_snapshot();
    snapshot.vms[0].vcpus[1].uncounted = 41'148;
    // Of this one nothing was.
    snapshot.vms[1].vcpus = {{{.id = 0, .tid = 980, .uncounted = 12}, {}},
                             {{.id = 1, .tid = 981, .uncounted = 3}, {}}};
    snapshot.lost.table_full = 41'163;
    test::expect_golden("dump_uncounted.txt", dump_table(snapshot, {}));
    const std::string per_vcpu = dump_table(snapshot, {.per_vcpu = true});
    EXPECT_EQ(per_vcpu.find("no exits"), std::string::npos) << per_vcpu;
}

TEST(Table, HoldsTheCountAgainstThatOfKvm) {
    Vm vm = test::make_web_vm();
    const auto line = [&vm](std::optional<std::uint64_t> first, std::uint64_t untraced,
                            std::optional<std::uint64_t> second) {
        vm.vcpus[0].kvm_exits = first;
        vm.vcpus[0].untraced = untraced;
        vm.vcpus[1].kvm_exits = second;
        return kvm_count_line({vm});
    };
    EXPECT_EQ(kvm_count_line({}), "");
    EXPECT_EQ(line(1'234'000, 0, 567), "KVM counted 1,234,567 exits itself: the same\n");
    EXPECT_EQ(line(1'234'017, 1'017, 567),
              "KVM counted 1,234,584 exits itself: 1,017 more, which it did not trace: "
              "invalid guest state that it emulates, failed entries\n");
    EXPECT_EQ(line(1'234, 0, std::nullopt),
              "KVM counted 1,234 exits itself: the same (not known for 1 of 2 vCPUs)\n");
    EXPECT_EQ(line(std::nullopt, 0, std::nullopt),
              "KVM's own count of these exits is not known.\n");
}

TEST(Table, NoVm) {
    Snapshot snapshot = test::make_snapshot();
    snapshot.vms.clear();
    test::expect_golden("dump_no_vm.txt", dump_table(snapshot, {}));
}

TEST(Table, EmptySnapshotAndEmptyVm) {
    Snapshot snapshot;
    snapshot.vms.emplace_back();
    const std::string table = dump_table(snapshot, {.histogram = true, .per_vcpu = true});
    EXPECT_NE(table.find("(no name)"), std::string::npos);
    EXPECT_NE(dump_table(snapshot, {}).find("no exits"), std::string::npos);
}

TEST(Table, ColorOnlyAdds) {
    Snapshot snapshot = test::make_snapshot();
    snapshot.lost.table_full = 1;
    std::string colored = dump_table(snapshot, {.color = Color::on});
    EXPECT_NE(colored.find("\x1b[1;31mLOST"), std::string::npos);
    for (const std::size_t width : {80U, 160U}) {
        colored = dump_table(snapshot, {.width = width, .color = Color::on});
        EXPECT_TRUE(colored.contains("\x1b[38;5;"));
        const std::string plain = std::regex_replace(colored, std::regex("\x1b\\[[0-9;]*m"), "");
        EXPECT_EQ(plain, dump_table(snapshot, {.width = width}));
    }
}

TEST(Table, HostileTextDoesNoHarm) {
    Snapshot snapshot = test::make_snapshot();
    const std::string hostile = "\x1b]0;x\x07\n\r\u202e\u009b\xff" + std::string(4096, 'A');
    snapshot.host.kernel = hostile;
    snapshot.host.cpu = hostile;
    snapshot.vms[0].name = hostile;
    snapshot.vms[0].vmm = hostile;
    const std::string table = dump_table(snapshot, {.width = 200});
    for (const char c : table) {
        EXPECT_TRUE(static_cast<unsigned char>(c) >= 0x20 || c == '\n');
    }
    EXPECT_EQ(table.find("\u202e"), std::string::npos);
    EXPECT_EQ(table.find("\u009b"), std::string::npos);
    EXPECT_LE(widest_line(table), 200U);
}

TEST(HistogramLines, FitOneScreen) {
    Histogram all;
    for (std::size_t bucket = 0; bucket < histogram_buckets; ++bucket) all.add(bucket, bucket + 1);
    const std::string lines = histogram_lines(all, 80);
    test::expect_golden("histogram_all.txt", lines);
    EXPECT_LE(std::ranges::count(lines, '\n'), 22);
    EXPECT_LE(widest_line(lines), 80U);
    EXPECT_EQ(histogram_lines({}, 80), "");
}

TEST(HistogramLines, HoldEveryCount) {
    for (std::size_t bucket = 0; bucket < histogram_buckets; ++bucket) {
        Histogram one;
        one.add(bucket, 4'321);
        const std::string lines = histogram_lines(one, 40);
        EXPECT_EQ(std::ranges::count(lines, '\n'), 1) << bucket;
        EXPECT_NE(lines.find("4,321 |@"), std::string::npos) << lines;
    }
}

}  // namespace
}  // namespace exittop
