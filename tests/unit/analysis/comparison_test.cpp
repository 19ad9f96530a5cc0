// SPDX-License-Identifier: GPL-2.0-only
// What a comparison holds; how it is printed, compare_test.cpp has.
#include "analysis/comparison.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <span>
#include <string_view>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "output/import.h"
#include "run_samples.h"

namespace exittop {
namespace {

using test::make_exits;
using test::make_repeat;

const ReasonRow& row(const Comparison& comparison, std::string_view label) {
    const auto found = std::ranges::find(comparison.rows, label, &ReasonRow::label);
    EXPECT_NE(found, comparison.rows.end()) << label;
    return *found;
}

std::vector<std::string> names(const std::vector<Warning>& warnings) {
    std::vector<std::string> result;
    for (const Warning& warning : warnings) result.push_back(warning.name);
    return result;
}

std::vector<std::string> warned(const Run& first, const Run& other, Basis basis = Basis::count) {
    return names(compare_runs(std::vector{first, other}, basis).warnings);
}

using Names = std::vector<std::string>;

TEST(Comparison, CountsDeltasAndRatios) {
    const std::vector<exittop::Run> runs = {test::make_ept_run(), test::make_shadow_run()};
    const Comparison comparison = compare_runs(runs, Basis::count);
    EXPECT_EQ(comparison.rows.front().label, "EXCEPTION_NMI");  // The largest first.
    const Cell& faults = row(comparison, "EXCEPTION_NMI").cells[1];
    EXPECT_EQ(faults.count, 120'665);
    EXPECT_EQ(faults.rate, 12'066.5);
    EXPECT_EQ(faults.time_ns, 120'665'000.0);
    EXPECT_EQ(faults.mean_ns, 1'000.0);
    EXPECT_EQ(faults.p50_ns, faults.p99_ns);
    EXPECT_EQ(faults.versus->change, Change::appeared);
    EXPECT_FALSE(faults.versus->ratio);
    EXPECT_FALSE(faults.versus->p_value);
    EXPECT_EQ(row(comparison, "EPT_VIOLATION").cells[1].versus->change, Change::gone);
    EXPECT_EQ(row(comparison, "EPT_VIOLATION").cells[1].versus->delta, -49.0);
    EXPECT_EQ(row(comparison, "HLT").cells[1].versus->ratio, 25.3);
    EXPECT_EQ(row(comparison, "HLT").cells[0].versus, std::nullopt);
    EXPECT_NE(row(comparison, "HLT").explanation, "");
    EXPECT_EQ(comparison.total.cells[0].count, 483);
    EXPECT_EQ(comparison.total.cells[1].versus->delta, 121'342 - 483);
    const std::vector<MeanTime> times = {
        {"guest_ns", "guest", 'G', 4e9},
        {"kernel_ns", "kernel", 'K', 424'000.0 + 20'000.0 + 98'000.0},
        {"vmm_ns", "VMM", 'V', 0.0},
        {"polled_ns", "polled", 'P', 0.0},
        {"preempted_ns", "preempted", 'W', 0.0},
        {"halted_ns", "halted", 'H', 0.0},
        {"blocked_ns", "blocked", 'B', 0.0}};
    EXPECT_EQ(comparison.runs[0].times, times);
    EXPECT_EQ(all_time(comparison.runs[0]), 4e9 + 542'000.0);
    EXPECT_TRUE(comparison.warnings.empty());
}

TEST(Comparison, WhereTheTimeWentIsKnownIfEachRepetitionKnowsIt) {
    exittop::Run unsplit = test::make_ept_run();
    unsplit.repeats.push_back(unsplit.repeats[0]);
    unsplit.repeats[1].known_parts = {};
    exittop::Run counted = test::make_ept_run();
    counted.repeats[0].detail = CountDetail::count;
    const std::vector<exittop::Run> runs = {test::make_ept_run(), unsplit, counted};
    const Comparison comparison = compare_runs(runs, Basis::count);
    EXPECT_TRUE(all_time(comparison.runs[0]));
    EXPECT_FALSE(all_time(comparison.runs[1]));
    EXPECT_FALSE(all_time(comparison.runs[2]));
}

TEST(Comparison, PartsOfTheTimeAreKnownOneByOne) {
    exittop::Run run = test::make_ept_run();
    run.repeats.push_back(run.repeats[0]);
    run.repeats[1].known_parts = {TimePart::vmm, TimePart::halted};
    const Comparison comparison = compare_runs(std::span(&run, 1), Basis::count);
    std::map<std::string_view, bool> known;
    for (const MeanTime& time : comparison.runs[0].times) known[time.name] = time.ns.has_value();
    const std::map<std::string_view, bool> expected = {
        {"guest", true},      {"kernel", true}, {"VMM", true},     {"polled", false},
        {"preempted", false}, {"halted", true}, {"blocked", false}};
    EXPECT_EQ(known, expected);
    EXPECT_EQ(all_time(comparison.runs[0]), 4e9 + 542'000.0);
}

TEST(Comparison, AReasonsTimeHasParts) {
    exittop::Run run = test::make_ept_run();
    ExitStats& cpuid = run.repeats[0].vms[0].vcpus[0].exits[0];
    cpuid.polled_ns = 24'000;
    cpuid.preempted_ns = 100'000;
    run.repeats.push_back(run.repeats[0]);
    run.repeats[1].known_parts = {TimePart::vmm, TimePart::preempted};
    const Cell cell = row(compare_runs(std::vector{run}, Basis::count), "CPUID").cells[0];
    const auto part = [&cell](char letter) {
        return std::ranges::find(cell.parts, letter, &MeanTime::letter)->ns;
    };
    EXPECT_EQ(cell.time_ns, 424'000.0);
    EXPECT_EQ(part('K'), 300'000.0);
    EXPECT_EQ(part('W'), 100'000.0);
    EXPECT_EQ(part('P'), std::nullopt) << "one of the repetitions does not know it";
    const auto counted =
        compare_runs(std::vector{test::make_run("no time", Paging::ept, {})}, Basis::count);
    EXPECT_TRUE(counted.total.cells[0].parts.empty());
}

TEST(Comparison, PartsOfTheTimeHaveRatiosWhereBothKnowThem) {
    std::vector<exittop::Run> runs = {test::make_ept_run(), test::make_ept_run(),
                                      test::make_ept_run()};
    const double times[] = {1.0, 2.0, 3.0};
    for (std::size_t i = 0; i < runs.size(); ++i) {
        ExitStats& halt = runs[i].repeats[0].vms[0].vcpus[0].exits[1];
        halt.time_ns = 20'000;
        halt.halted_ns = static_cast<std::uint64_t>(times[i] * 1'000);
        halt.vmm_ns = 500;
    }
    runs[2].repeats[0].known_parts = {TimePart::vmm, TimePart::halted};
    const Comparison comparison = compare_runs(runs, Basis::count);
    const auto ratio = [&comparison](std::size_t run, std::string_view name) {
        return std::ranges::find(comparison.runs[run].times, name, &MeanTime::name)->ratio;
    };
    EXPECT_EQ(ratio(0, "halted"), std::nullopt);
    EXPECT_EQ(ratio(1, "halted"), 2.0);
    EXPECT_EQ(ratio(2, "halted"), 3.0);
    EXPECT_EQ(ratio(2, "guest"), 1.0);
    EXPECT_EQ(ratio(1, "blocked"), std::nullopt) << "there is none in the first";
    EXPECT_TRUE(ratio(1, "kernel"));
    EXPECT_FALSE(ratio(2, "kernel")) << "it has what is not known of other parts";
}

TEST(Comparison, TheMeanTimeOnACpuIsKnownIfEachRepetitionKnowsIt) {
    exittop::Run known = test::make_ept_run();
    known.repeats[0].vms[0].vcpus[0].exits[1].halted_ns = 5'000;  // Of ten exits of 2 us.
    exittop::Run unknown = known;
    unknown.repeats.push_back(unknown.repeats[0]);
    unknown.repeats[1].known_parts = {TimePart::vmm};
    const std::vector<exittop::Run> runs = {known, unknown};
    const Comparison comparison = compare_runs(runs, Basis::count);
    EXPECT_EQ(row(comparison, "HLT").cells[0].mean_ns, 2'000.0);
    EXPECT_EQ(row(comparison, "HLT").cells[0].mean_cpu_ns, 1'500.0);
    EXPECT_EQ(row(comparison, "HLT").cells[1].mean_cpu_ns, std::nullopt);
}

TEST(Comparison, Normalized) {
    exittop::Run longer = test::make_ept_run();
    Snapshot& snapshot = longer.repeats[0];
    snapshot.duration_s *= 3;
    for (Vcpu& vcpu : snapshot.vms[0].vcpus) {
        vcpu.guest_ns *= 3;
        for (ExitStats& stats : vcpu.exits) stats.count *= 3;
    }
    const std::vector<exittop::Run> runs = {test::make_ept_run(), longer};
    for (const auto& [basis, value, ratio] :
         {std::tuple{Basis::count, 424.0, 3.0}, std::tuple{Basis::time, 42.4, 1.0},
          std::tuple{Basis::share, 424.0 / 483.0, 1.0},
          std::tuple{Basis::guest_time, 106.0, 1.0}}) {
        const Comparison comparison = compare_runs(runs, basis);
        EXPECT_DOUBLE_EQ(row(comparison, "CPUID").cells[0].value, value);
        EXPECT_NEAR(*row(comparison, "CPUID").cells[1].versus->ratio, ratio, 1e-9);
        EXPECT_EQ(names(comparison.warnings),
                  basis == Basis::count ? Names{"other-length"} : Names{});
    }
}

TEST(Comparison, RepetitionsHaveMeansSpreadsAndATest) {
    std::vector<exittop::Run> runs(2);
    for (std::uint64_t i = 0; i < 5; ++i) {
        runs[0].repeats.push_back(make_repeat(Paging::ept, {make_exits(10, {{1'000, 100 + i}})}));
        runs[1].repeats.push_back(make_repeat(Paging::ept, {make_exits(10, {{1'000, 200 + i}})}));
    }
    const Comparison comparison = compare_runs(runs, Basis::count);
    const Cell& cell = row(comparison, "CPUID").cells[1];
    EXPECT_EQ(cell.count, 202.0);
    EXPECT_NEAR(*cell.spread, std::sqrt(2.5), 1e-12);
    EXPECT_NEAR(*cell.versus->p_value, 2.0 / 252, 1e-12);
    EXPECT_TRUE(cell.versus->beyond_noise);
    EXPECT_EQ(cell.histogram.total(), 5U * 202);
    EXPECT_EQ(cell.rate, 20.2);
}

// A reason that is in some repetitions only counts as zero in the others.
TEST(Comparison, AbsentInARepetitionIsZero) {
    exittop::Run run = test::make_ept_run();
    run.repeats.push_back(make_repeat(Paging::ept, {make_exits(10, {{1'000, 424}})}));
    const Comparison comparison = compare_runs(std::vector{run}, Basis::count);
    EXPECT_EQ(row(comparison, "EPT_VIOLATION").cells[0].count, 24.5);
}

TEST(Comparison, RowsAddUpToTheTotal) {
    EXPECT_TRUE(rc::check("rows add up, and swapping two runs mirrors deltas", [] {
        std::vector<exittop::Run> runs(2);
        for (exittop::Run& run : runs) {
            for (int i = *rc::gen::inRange(1, 4); i > 0; --i) {
                std::vector<ExitStats> exits;
                for (std::uint32_t code = 0; code < 5; ++code) {
                    const auto count = *rc::gen::inRange<std::uint64_t>(0, 1'000);
                    if (count > 0) exits.push_back(make_exits(code, {{500, count}}));
                }
                run.repeats.push_back(make_repeat(Paging::ept, exits));
            }
        }
        const Comparison one = compare_runs(runs, Basis::count);
        std::swap(runs[0], runs[1]);
        const Comparison other = compare_runs(runs, Basis::count);
        for (std::size_t run = 0; run < 2; ++run) {
            double sum = 0.0;
            for (const ReasonRow& each : one.rows) sum += each.cells[run].count;
            RC_ASSERT(std::abs(sum - one.total.cells[run].count) < 1e-6);
        }
        for (const ReasonRow& each : one.rows) {
            const Versus& versus = *each.cells[1].versus;
            const Versus& mirrored = *row(other, each.label).cells[1].versus;
            RC_ASSERT(std::abs(versus.delta + mirrored.delta) < 1e-9);
            RC_ASSERT(versus.beyond_noise == mirrored.beyond_noise);
        }
    }));
}

TEST(Comparability, DifferencesByName) {
    const exittop::Run base = test::make_ept_run();
    struct Case {
        const char* name;
        void (*change)(exittop::Run&);
    };
    const Case cases[] = {
        {"other-isa", [](exittop::Run& run) { run.repeats[0].host.isa = Isa::svm; }},
        {"other-host", [](exittop::Run& run) { run.repeats[0].host.name = "elsewhere"; }},
        {"other-cpu", [](exittop::Run& run) { run.repeats[0].host.cpu = "another"; }},
        {"other-kernel", [](exittop::Run& run) { run.repeats[0].host.kernel = "5.10.0"; }},
        {"other-vmm", [](exittop::Run& run) { run.repeats[0].vms[0].vmm_version = "9.1"; }},
        {"other-vms",
         [](exittop::Run& run) { run.repeats[0].vms.push_back(run.repeats[0].vms[0]); }},
        {"other-vcpus",
         [](exittop::Run& run) { run.repeats[0].vms[0].vcpus.push_back({{1, 2}, {}}); }},
        {"other-memory", [](exittop::Run& run) { run.repeats[0].vms[0].memory_bytes = 1 << 30; }},
        {"other-command", [](exittop::Run& run) { run.command = {"true"}; }},
        {"other-exittop", [](exittop::Run& run) { run.version = "0.0.1"; }},
        {"other-parameters",
         [](exittop::Run& run) { run.repeats[0].host.parameters["kvm_intel.nested"] = "N"; }},
        {"other-length", [](exittop::Run& run) { run.repeats[0].duration_s = 20; }},
        {"lost-events", [](exittop::Run& run) { run.repeats[0].lost.table_full = 1; }},
        {"no-exits", [](exittop::Run& run) { run.repeats[0].vms[0].vcpus[0].exits.clear(); }},
    };
    EXPECT_EQ(warned(base, base), Names{});
    for (const Case& c : cases) {
        exittop::Run first = base;
        first.command = {"guest"};
        first.repeats[0].vms[0].memory_bytes = 1 << 29;
        first.repeats[0].host.name = "here";
        exittop::Run other = first;
        c.change(other);
        if (std::string_view(c.name) == "other-length") first.command = other.command = {};
        EXPECT_EQ(warned(first, other), Names{c.name});
    }
}

TEST(Comparability, WarningsStayShort) {
    exittop::Run other = test::make_ept_run();
    other.label = std::string(100'000, 'x');
    other.repeats[0].host.kernel = "5.10";
    for (int i = 0; i < 1'000; ++i) {
        Vm vm = other.repeats[0].vms[0];
        vm.vmm = std::string(1'000, 'v') + std::to_string(i);
        other.repeats[0].vms.push_back(vm);
        other.repeats[0].host.parameters["kvm." + std::to_string(i)] = "1";
    }
    exittop::Run first = test::make_ept_run();
    for (int i = 0; i < 1'000; ++i) {
        first.repeats[0].host.parameters["kvm." + std::to_string(i)] = "0";
    }
    const auto warnings = compare_runs(std::vector{first, other}, Basis::count).warnings;
    EXPECT_EQ(names(warnings),
              (Names{"other-kernel", "other-vmm", "other-vms", "other-parameters"}));
    for (const Warning& warning : warnings) EXPECT_LT(warning.text.size(), 1'000U) << warning.name;
}

TEST(Comparability, WhatIsNotKnownDoesNotDiffer) {
    exittop::Run unknown = test::make_ept_run();
    unknown.version.clear();
    unknown.repeats[0].host = {};
    EXPECT_EQ(warned(test::make_ept_run(), unknown), Names{});
}

TEST(Comparability, ShadowPagingThatNeverTookEffect) {
    // By the module's parameter, by the label; and by what the VM was measured to use.
    exittop::Run never = test::make_ept_run();
    never.repeats[0].host.paging = Paging::shadow;
    EXPECT_EQ(warned(test::make_ept_run(), never), Names{"paging-not-effective"});
    never = test::make_ept_run();
    never.label = "guest, ept=0";
    EXPECT_EQ(warned(test::make_ept_run(), never), Names{"paging-not-effective"});
    never = test::make_shadow_run();
    never.repeats[0].vms[0].paging = Paging::ept;
    EXPECT_EQ(warned(test::make_ept_run(), never), Names{"paging-not-effective"});
    EXPECT_EQ(warned(test::make_ept_run(), test::make_shadow_run()), Names{});
}

Run imported(const char* column, std::string_view text) {
    const auto run = import_counts(text, {.column = column, .label = ""});
    EXPECT_TRUE(run) << run.error();
    return *run;
}

constexpr std::string_view growing = "reason,first,second,third\n"
                                     "10,100,210,105\n12,50,101,40\n29,3,6,3\n54,4,8,4\n55,4,8,4\n";

TEST(Comparability, CumulativeCounters) {
    const exittop::Run first = imported("first", growing);
    EXPECT_EQ(warned(first, imported("second", growing)), Names{"cumulative-counters"});
    EXPECT_EQ(warned(first, imported("third", growing)), Names{});
    exittop::Run recorded = imported("second", growing);
    recorded.version = "0.1.0";  // exittop starts from nothing: it is twice the work.
    EXPECT_EQ(warned(first, recorded), Names{});
}

// What a run has of a target: "424", "-" where it does not know, and how it stands to the first.
std::string cells_of(const Comparison& comparison, std::string_view reason,
                     std::string_view target) {
    const std::vector<TargetRow>& rows = row(comparison, reason).targets;
    const auto found = std::ranges::find(rows, target, &TargetRow::target);
    if (found == rows.end()) return "no such row";
    std::string text;
    for (const auto& cell : found->cells) {
        text += cell ? std::to_string(std::llround(cell->count)) : "-";
        if (cell && cell->versus && cell->versus->ratio) text += "*";
        if (cell && cell->versus && cell->versus->change == Change::appeared) text += "new";
        if (cell && cell->versus && cell->versus->change == Change::gone) text += "gone";
        text += " ";
    }
    return text;
}

TEST(Comparison, OfTargets) {
    const std::vector runs = {test::make_ept_run_with_targets(),
                              test::make_shadow_run_with_targets()};
    const Comparison comparison = compare_runs(runs, Basis::count);
    EXPECT_EQ(cells_of(comparison, "EXCEPTION_NMI", "#PF write user"), "0 50000new ");
    EXPECT_EQ(cells_of(comparison, "EPT_VIOLATION", "page 0x1000 write"), "40 0*gone ");
    EXPECT_EQ(cells_of(comparison, "CPUID", "leaf 0x1"), "300 310* ");
    EXPECT_EQ(cells_of(comparison, "CPUID", "leaf 0x4.0"), "100 0*gone ");
    EXPECT_EQ(cells_of(comparison, "CPUID", "leaf 0xd.1"), "- 114 ")
        << "it may be among the other ones of the first run";
    EXPECT_EQ(row(comparison, "CPUID").targets.back().kind, TargetRow::Kind::other);
    EXPECT_EQ(row(comparison, "CPUID").targets.back().cells[0]->count, 24);
    EXPECT_EQ(row(comparison, "HLT").targets.back().why, "it has none");
    EXPECT_EQ(row(comparison, "EXCEPTION_NMI").targets.front().target, "#PF write user");
    EXPECT_TRUE(comparison.total.targets.empty());
}

TEST(Comparison, WhoDidNotCountByTargetDoesNotKnow) {
    const std::vector runs = {test::make_ept_run(), test::make_shadow_run_with_targets()};
    const Comparison comparison = compare_runs(runs, Basis::count);
    EXPECT_EQ(cells_of(comparison, "CPUID", "leaf 0x1"), "- 310 ");
    EXPECT_EQ(cells_of(comparison, "CR_ACCESS", "cr3 write"), "0 29000new ")
        << "there was no such exit, whatever it might have been about";
    EXPECT_TRUE(row(comparison, "EPT_VIOLATION").targets.empty());
    const std::vector none = {test::make_ept_run(), test::make_shadow_run()};
    EXPECT_FALSE(has_targets(compare_runs(none, Basis::count)));
}

TEST(Comparison, TargetsOfRepetitionsAreMeansAndAreNotTested) {
    std::vector runs = {test::make_ept_run_with_targets(), test::make_ept_run_with_targets()};
    for (exittop::Run& run : runs) run.repeats.resize(5, run.repeats.front());
    const auto value = [&](std::size_t run) {
        return row(compare_runs(runs, Basis::count), "EPT_VIOLATION").targets[0].cells[run];
    };
    EXPECT_EQ(value(1)->count, 40);
    EXPECT_EQ(value(1)->spread, 0.0);
    EXPECT_EQ(value(1)->versus->p_value, std::nullopt);
    runs[1].repeats[2].vms[0].vcpus[0].exits[2].targets->known.clear();
    EXPECT_EQ(value(1)->count, 32);
    runs[1].repeats[2].vms[0].vcpus[0].exits[2].targets.reset();
    EXPECT_EQ(value(1), std::nullopt);
    EXPECT_EQ(value(0)->count, 40);
}

TEST(Comparison, OthersThatMayBeMoreAreNotCompared) {
    std::vector runs = {test::make_ept_run(), test::make_ept_run()};
    for (exittop::Run& run : runs) {
        Targets& targets = run.repeats[0].vms[0].vcpus[0].exits[0].targets.emplace();
        for (std::uint32_t leaf = 0; leaf < 12; ++leaf) targets.add(leaf_target(leaf), {2, 5});
    }
    const auto others = [&] {
        return first_targets(row(compare_runs(runs, Basis::count), "CPUID"), 10).at(10);
    };
    EXPECT_EQ(others().folded, 2U);
    EXPECT_EQ(others().cells[1]->versus->ratio, 1.0);
    Targets& targets = *runs[1].repeats[0].vms[0].vcpus[0].exits[0].targets;
    targets.known.pop_back();
    targets.unknown.count = 1;
    EXPECT_EQ(others().cells[1]->count, 2);
    EXPECT_EQ(others().cells[1]->versus, std::nullopt);
}

// However many are shown, a run has as many exits in them.
TEST(Comparison, FirstTargetsAddUp) {
    EXPECT_TRUE(rc::check("sums", [] {
        std::vector runs = {test::make_ept_run(), test::make_ept_run()};
        std::vector<double> expected;
        for (exittop::Run& run : runs) {
            for (int i = 0; i < 2; ++i) run.repeats.push_back(run.repeats.front());
            double sum = 0.0;
            for (Snapshot& repeat : run.repeats) {
                Targets& targets = repeat.vms[0].vcpus[0].exits[0].targets.emplace();
                const auto counts = *rc::gen::container<std::vector<std::uint64_t>>(
                    10, rc::gen::inRange<std::uint64_t>(0, 1000));
                for (std::uint32_t leaf = 0; leaf < counts.size(); ++leaf) {
                    targets.add(leaf_target(leaf), {counts[leaf], 3 * counts[leaf]});
                }
                targets.other.count = *rc::gen::inRange<std::uint64_t>(0, 2) * 5;
                sum += static_cast<double>(sum_of(targets).count) / 3.0;
            }
            expected.push_back(sum);
        }
        const Comparison comparison = compare_runs(runs, Basis::count);
        const auto most = *rc::gen::inRange<std::size_t>(1, 13);
        const std::vector<TargetRow> rows = first_targets(row(comparison, "CPUID"), most);
        RC_ASSERT(rows.size() <= most + 1);
        for (std::size_t run = 0; run < 2; ++run) {
            double sum = 0.0;
            for (const TargetRow& target : rows) {
                if (target.cells[run]) sum += target.cells[run]->count;
            }
            RC_ASSERT(std::abs(sum - expected[run]) < 1e-6);
        }
    }));
}

}  // namespace
}  // namespace exittop
