// SPDX-License-Identifier: GPL-2.0-only
#include "output/prometheus.h"

#include <algorithm>
#include <sstream>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "golden.h"
#include "samples.h"

namespace exittop {
namespace {

// Two VMs at work, one of them with a hostile name and in a pod.
Snapshot sample() {
    Snapshot snapshot = test::make_snapshot();
    snapshot.host.parameters["kvm.ignore_msrs"] = "N";
    snapshot.vms[0].vcpus[0].guest_ns = 6'250'000'001;
    snapshot.vms[0].vcpus[1].guest_ns = 2'000'000'000;
    snapshot.vms[1].ended = false;
    snapshot.vms[1].pod = {"virt-launcher-db-x7k2p", "shop",
                           "8d2f6f1e-0c5a-4b8e-9a53-3b1f0d9f6c11"};
    snapshot.lost.exit_without_entry = 3;
    snapshot.cost.run_ns = 12'345'678;
    snapshot.cost.runs = 338'236;
    return snapshot;
}

ExporterFacts facts() {
    return {.unix_time_s = 1'772'366'400.25, .counting = true, .write_errors = 0};
}

std::string text_of(Snapshot snapshot, const SeriesOptions& options = {},
                    CountDetail detail = CountDetail::time) {
    snapshot.detail = detail;
    SeriesMemory memory;
    return prometheus_text(snapshot, make_series(snapshot, options, memory), facts());
}

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
}

TEST(Prometheus, Golden) {
    test::expect_golden("export.prom", text_of(sample()));
    test::expect_golden("export_histograms.prom", text_of(sample(), {}, CountDetail::histogram));
    test::expect_golden("export_count.prom",
                        text_of(sample(), {.per_vcpu = true}, CountDetail::count));
    test::expect_golden("export_per_vcpu.prom", text_of(sample(), {.per_vcpu = true}));
    test::expect_golden("export_top.prom",
                        text_of(sample(), {.top_reasons = 2}, CountDetail::histogram));
}

TEST(Prometheus, Targets) {
    Snapshot snapshot = test::make_snapshot_with_targets();
    snapshot.vms[1].ended = false;
    const std::string text = text_of(snapshot, {.top_targets = 3});
    test::expect_golden("export_targets.prom", text);
    // Without the option there is no trace of them.
    Snapshot plain = test::make_snapshot();
    plain.vms[1].ended = false;
    EXPECT_EQ(text_of(snapshot), text_of(plain));
    EXPECT_EQ(text_of(plain, {.top_targets = 3}), text_of(plain));
}

TEST(Prometheus, WhereTheTimeWentIsThereWhereItIsKnown) {
    Snapshot snapshot = sample();
    const auto families_of = [&snapshot](TimeParts known) {
        snapshot.known_parts = known;
        const std::string text = text_of(snapshot);
        std::string found;
        for (const char* family :
             {"vmm_seconds_total", "polled_seconds_total", "preempted_seconds_total",
              "halted_seconds_total", "blocked_seconds_total", "exit_time_ratio"}) {
            if (text.contains(fmt::format("\nexittop_vm_{}{{", family))) {
                found += fmt::format("{} ", family);
            }
        }
        EXPECT_TRUE(text.contains("exittop_vm_guest_seconds_total"));
        return found;
    };
    EXPECT_EQ(families_of({}), "");
    EXPECT_EQ(families_of({TimePart::vmm}), "vmm_seconds_total ");
    EXPECT_EQ(families_of({TimePart::vmm, TimePart::halted}),
              "vmm_seconds_total halted_seconds_total exit_time_ratio ");
    EXPECT_EQ(families_of(TimeParts::all()),
              "vmm_seconds_total polled_seconds_total preempted_seconds_total "
              "halted_seconds_total blocked_seconds_total exit_time_ratio ");
}

TEST(Prometheus, ExitsThatKvmDidNotTraceAreThereWhereTheyAreKnown) {
    constexpr std::string_view family = "exittop_vm_untraced_exits_total{";
    const auto untraced = [&](const Snapshot& snapshot) {
        std::vector<std::string> found;
        for (const std::string& line : lines_of(text_of(snapshot))) {
            if (line.starts_with(family)) found.push_back(line.substr(family.size()));
        }
        return found;
    };
    Snapshot snapshot = sample();
    snapshot.vms[0].vcpus[0].untraced = 5;
    snapshot.vms[0].vcpus[1].untraced = 12;
    snapshot.vms[1].vcpus[0].kvm_exits.reset();
    EXPECT_EQ(untraced(snapshot), (std::vector<std::string>{"vm=\"web01\"} 17"}));
}

TEST(Prometheus, ExitsOfVcpusWithoutASlotAreThoseOfTheirVm) {
    Snapshot snapshot = sample();
    snapshot.vms[0].vcpus[0].uncounted = 5;
    snapshot.vms[0].vcpus[1].uncounted = 12;
    EXPECT_NE(text_of(snapshot).find("\nexittop_vm_uncounted_exits_total{vm=\"web01\"} 17\n"),
              std::string::npos);
}

TEST(Prometheus, WithoutVms) {
    Snapshot snapshot;
    snapshot.host = sample().host;
    SeriesMemory memory;
    const auto vms = make_series(snapshot, {}, memory);
    ExporterFacts waiting = facts();
    waiting.counting = false;
    const std::string text = prometheus_text(snapshot, vms, waiting);
    EXPECT_NE(text.find("\nexittop_counting 0\n"), std::string::npos);
    EXPECT_EQ(text.find("{vm="), std::string::npos);
    EXPECT_EQ(text.find("exittop_attach_info"), std::string::npos);
}

TEST(Prometheus, CountsAndTimesAreExact) {
    Snapshot snapshot = sample();
    ExitStats& exits = snapshot.vms[0].vcpus[0].exits[0];
    exits.count = (std::uint64_t{1} << 60) + 1;
    exits.time_ns = (std::uint64_t{1} << 60) + 1;
    snapshot.vms[0].vcpus[1].exits.clear();
    const std::string text = text_of(snapshot);
    const std::string labels = R"({vm="web01",reason="EXTERNAL_INTERRUPT"} )";
    EXPECT_NE(text.find("exits_total" + labels + "1152921504606846977\n"), std::string::npos);
    EXPECT_NE(text.find("exit_seconds_total" + labels + "1152921504.606846977\n"),
              std::string::npos);
}

TEST(Prometheus, BucketsHoldTheExitsUpToTheirBounds) {
    Snapshot snapshot = sample();
    snapshot.vms.resize(1);
    // A nanosecond below each bound, at it, and beyond the last one.
    snapshot.vms[0].vcpus = {{{0, 1},
                              {test::make_exits(10, {{511, 1},
                                                     {512, 2},
                                                     {1'048'575, 4},
                                                     {1'048'576, 8},
                                                     {1'073'741'823, 16},
                                                     {1'073'741'824, 32}})}}};
    const std::string text = text_of(snapshot, {}, CountDetail::histogram);
    for (const char* line :
         {"le=\"5.12e-07\"} 1\n", "le=\"1.024e-06\"} 3\n", "le=\"0.000524288\"} 3\n",
          "le=\"0.001048576\"} 7\n", "le=\"0.004194304\"} 15\n", "le=\"1.073741824\"} 31\n",
          "le=\"+Inf\"} 63\n"}) {
        EXPECT_NE(text.find(line), std::string::npos) << line;
    }
}

// A name is a name, a "{" or a " " after it, and a line is "NAME{LABELS} VALUE".
bool is_sample(const std::string& line) {
    const std::size_t end = line.rfind(' ');
    const std::string value = line.substr(end + 1);
    const std::size_t brace = line.find('{');
    return line.starts_with("exittop_") && end != std::string::npos && !value.empty() &&
           value.find_first_not_of("0123456789.e+-") == std::string::npos &&
           (brace == std::string::npos || line[end - 1] == '}');
}

TEST(Prometheus, AnyNameIsOneLabel) {
    EXPECT_TRUE(rc::check("names", [](const std::string& name, const std::string& vmm) {
        Snapshot snapshot = sample();
        const std::size_t lines = lines_of(text_of(snapshot)).size();
        snapshot.vms[0].name = name;
        snapshot.vms[0].vmm = vmm;
        const std::string text = text_of(snapshot);
        RC_ASSERT(lines_of(text).size() == lines);
        for (const std::string& line : lines_of(text)) {
            RC_ASSERT(line.starts_with("# ") || is_sample(line));
        }
    }));
}

TEST(Prometheus, NoSeriesTwice) {
    Snapshot snapshot = sample();
    for (const char* id : {"5.1", "5.2"}) {
        Vm twin = test::make_web_vm();
        twin.id = id;
        snapshot.vms.push_back(twin);
    }
    std::vector<std::string> series;
    const std::string all = text_of(snapshot, {.per_vcpu = true}, CountDetail::histogram);
    for (const std::string& line : lines_of(all)) {
        if (!line.starts_with('#')) series.push_back(line.substr(0, line.rfind(' ')));
    }
    std::ranges::sort(series);
    EXPECT_EQ(std::ranges::adjacent_find(series), series.end());
    EXPECT_GT(series.size(), 100U);
}

}  // namespace
}  // namespace exittop
