// SPDX-License-Identifier: GPL-2.0-only
#include "analysis/series.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "samples.h"

namespace exittop {
namespace {

using testing::ElementsAre;

Vm make_vm(const std::string& name, const std::string& id, std::uint64_t count,
           bool ended = false) {
    Vm vm;
    vm.id = id;
    vm.name = name;
    vm.isa = Isa::vmx;
    vm.ended = ended;
    vm.vcpus = {{{0, 1}, {test::make_exits(10, {{1'000, count}})}}};
    return vm;
}

Snapshot make_host(std::vector<Vm> vms) {
    Snapshot snapshot;
    snapshot.vms = std::move(vms);
    return snapshot;
}

using Counts = std::vector<std::pair<std::string, std::uint64_t>>;

// "VM/REASON" with its count.
Counts counts_of(const std::vector<VmSeries>& vms) {
    Counts counts;
    for (const VmSeries& vm : vms) {
        for (const ReasonSeries& reason : vm.reasons) {
            counts.emplace_back(vm.label + "/" + reason.label, reason.exits.count);
        }
    }
    return counts;
}

Counts once(std::vector<Vm> vms, const SeriesOptions& options = {}) {
    SeriesMemory memory;
    return counts_of(make_series(make_host(std::move(vms)), options, memory));
}

TEST(Series, NamesTellVmsApart) {
    struct Case {
        const char* what;
        std::vector<Vm> vms;
        Counts expected;
    };
    const std::vector<Case> cases = {
        {"sorted",
         {make_vm("b", "1.1", 1), make_vm("a", "2.1", 2)},
         {{"a/CPUID", 2}, {"b/CPUID", 1}}},
        {"harmless", {make_vm("x\x1b\n", "1.1", 1)}, {{"x\\x1b\\x0a/CPUID", 1}}},
        {"one name, both run",
         {make_vm("web", "1.1", 1), make_vm("web", "1.2", 2)},
         {{"web#1.1/CPUID", 1}, {"web#1.2/CPUID", 2}}},
        {"one came back",
         {make_vm("web", "1.1", 9, true), make_vm("web", "2.1", 2)},
         {{"web/CPUID", 2}, {"web#1.1/CPUID", 9}}},
        {"one ended", {make_vm("web", "1.1", 9, true)}, {{"web/CPUID", 9}}},
        {"all ended",
         {make_vm("web", "1.1", 9, true), make_vm("web", "2.1", 2, true)},
         {{"web#1.1/CPUID", 9}, {"web#2.1/CPUID", 2}}},
        {"named as another is told apart",
         {make_vm("web", "1.1", 1), make_vm("web", "1.2", 2), make_vm("web#1.2", "3.1", 4)},
         {{"web#1.1/CPUID", 1}, {"web#1.2/CPUID", 4}, {"web#1.2#1.2/CPUID", 2}}},
        {"the same once harmless",
         {make_vm("\xff", "1.1", 1), make_vm("\xfe", "1.2", 2)},
         {{"\xef\xbf\xbd#1.1/CPUID", 1}, {"\xef\xbf\xbd#1.2/CPUID", 2}}},
    };
    for (const Case& c : cases) EXPECT_EQ(once(c.vms), c.expected) << c.what;
}

// A host over time, as an exporter sees it.
struct Exported {
    SeriesMemory memory;
    Counts now(std::vector<Vm> vms) {
        return counts_of(make_series(make_host(std::move(vms)), {}, memory));
    }
};

TEST(Series, AVmKeepsItsLabelWhateverOthersCallThemselves) {
    Exported host;
    EXPECT_EQ(host.now({make_vm("web01", "900.1", 1)}), (Counts{{"web01/CPUID", 1}}));
    const Counts both = {{"web01/CPUID", 2}, {"web01#142.1/CPUID", 70}};
    // By the order of the table the forged one is before the other.
    EXPECT_EQ(host.now({make_vm("web01", "142.1", 70), make_vm("web01", "900.1", 2)}), both);
    EXPECT_EQ(host.now({make_vm("web01", "142.1", 70), make_vm("web01", "900.1", 2, true)}), both);
    EXPECT_EQ(host.now({make_vm("web01", "142.1", 71)}), (Counts{{"web01#142.1/CPUID", 71}}));
    // The real one comes back.
    EXPECT_EQ(host.now({make_vm("web01", "142.1", 72), make_vm("web01", "950.1", 1)}),
              (Counts{{"web01/CPUID", 1}, {"web01#142.1/CPUID", 72}}));
    EXPECT_EQ(host.memory.vms.size(), 2U);
}

TEST(Series, VmsOfOneNameThatEndTogetherStayApart) {
    Exported host;
    const auto two = [](std::uint64_t count, bool ended) {
        return std::vector{make_vm("web", "7.1", count, ended),
                           make_vm("web", "7.2", 2 * count, ended)};
    };
    EXPECT_EQ(host.now(two(1, false)), (Counts{{"web#7.1/CPUID", 1}, {"web#7.2/CPUID", 2}}));
    EXPECT_EQ(host.now(two(5, true)), (Counts{{"web#7.1/CPUID", 5}, {"web#7.2/CPUID", 10}}));
}

TEST(Series, OneThatStartsAgainWithinAnUpdateHasItsNameFromTheNextOn) {
    Exported host;
    host.now({make_vm("web", "7.1", 50)});
    const std::vector<Vm> again = {make_vm("web", "7.1", 60, true), make_vm("web", "8.1", 9)};
    EXPECT_EQ(host.now(again), (Counts{{"web/CPUID", 60}}));
    EXPECT_EQ(host.now(again), (Counts{{"web/CPUID", 60}})) << "one that could not be written";
    EXPECT_EQ(host.now({make_vm("web", "8.1", 12)}), (Counts{{"web/CPUID", 12}}));
    // Two that come in its place are told apart at once, and one that has ended already, too.
    EXPECT_EQ(host.now({make_vm("web", "8.1", 13, true), make_vm("web", "9.1", 1),
                        make_vm("web", "9.2", 2)}),
              (Counts{{"web/CPUID", 13}, {"web#9.1/CPUID", 1}, {"web#9.2/CPUID", 2}}));
    host.now({make_vm("web", "10.1", 1)});
    EXPECT_EQ(host.now({make_vm("web", "10.1", 2, true), make_vm("web", "11.1", 5, true)}),
              (Counts{{"web/CPUID", 2}, {"web#11.1/CPUID", 5}}));
}

// Whoever comes, goes and is called what: no two VMs share a label at a time, none changes its own,
// and none has one that another had in the update before.
TEST(Series, LabelsAreOfOneVmWhileItLives) {
    EXPECT_TRUE(rc::check("labels", [](const std::vector<std::uint16_t>& steps) {
        static const std::vector<std::string> names = {"a", "a#1.1", "b", "a#2.1", ""};
        SeriesMemory memory;
        std::vector<Vm> vms;
        std::map<std::string, std::string> before;  // Label to id.
        unsigned next = 0;
        for (const std::uint16_t step : steps) {
            std::erase_if(vms, &Vm::ended);
            for (Vm& vm : vms) vm.ended = (step >> (next % 7)) % 3 == 0;
            for (unsigned come = step % 4; come > 0; --come) {
                const std::string& name = names[(step / 4 + come) % names.size()];
                vms.push_back(make_vm(name, std::to_string(++next) + ".1", 1));
            }
            std::map<std::string, std::string> now;
            for (const VmSeries& vm : make_series(make_host(vms), {}, memory)) {
                RC_ASSERT(now.emplace(vm.label, vm.identity.id).second);
            }
            for (const Vm& vm : vms) {
                const auto has = [&vm](const auto& each) { return each.second == vm.id; };
                if (std::ranges::any_of(now, has)) continue;
                // It waits for the one that had its name, and that for one update alone.
                const auto holder = std::ranges::find(vms, now.at(vm.name), &Vm::id);
                RC_ASSERT(!vm.ended && holder->ended);
            }
            for (const auto& [label, id] : before) {
                const auto same = std::ranges::find(vms, id, &Vm::id);
                if (same != vms.end()) RC_ASSERT(now.at(label) == id);
            }
            before = now;
        }
    }));
}

Vm with_reasons(const std::vector<std::pair<std::uint32_t, std::uint64_t>>& counts) {
    Vm vm = make_vm("vm", "1.1", 1);
    vm.vcpus[0].exits.clear();
    for (const auto& [code, count] : counts) {
        vm.vcpus[0].exits.push_back(test::make_exits(code, {{1'000, count}}));
    }
    return vm;
}

TEST(Series, TopReasonsAreTheMostFrequent) {
    const SeriesOptions two = {.top_reasons = 2};
    EXPECT_THAT(
        once({with_reasons({{1, 5}, {10, 7}, {12, 6}, {30, 1}})}, two),
        ElementsAre(std::pair("vm/CPUID", 7), std::pair("vm/HLT", 6), std::pair("vm/other", 6)));
    EXPECT_THAT(once({with_reasons({{1, 5}, {10, 7}})}, two),
                ElementsAre(std::pair("vm/EXTERNAL_INTERRUPT", 5), std::pair("vm/CPUID", 7)));
}

TEST(Series, AReasonStaysWhereItIs) {
    const SeriesOptions two = {.top_reasons = 2};
    SeriesMemory memory;
    make_series(make_host({with_reasons({{1, 5}, {10, 7}, {12, 6}})}), two, memory);
    const auto later = counts_of(
        make_series(make_host({with_reasons({{1, 5'000}, {10, 7}, {12, 6}})}), two, memory));
    EXPECT_THAT(later, ElementsAre(std::pair("vm/CPUID", 7), std::pair("vm/HLT", 6),
                                   std::pair("vm/other", 5'000)));
}

TEST(Series, AVmThatComesBackBeginsAnew) {
    const SeriesOptions one = {.top_reasons = 1};
    SeriesMemory memory;
    make_series(make_host({with_reasons({{1, 5}, {10, 7}})}), one, memory);
    Vm back = with_reasons({{1, 2}, {10, 1}});
    back.id = "7.1";
    EXPECT_THAT(counts_of(make_series(make_host({back}), one, memory)),
                ElementsAre(std::pair("vm/EXTERNAL_INTERRUPT", 2), std::pair("vm/other", 1)));
    EXPECT_EQ(memory.vms.size(), 1U) << "the one before is forgotten";
}

TEST(Series, TimesNeverShrink) {
    SeriesMemory memory;
    Vm vm = make_vm("vm", "1.1", 1);
    vm.vcpus[0].guest_ns = 1'000;
    vm.vcpus[0].exits[0].vmm_ns = 500;
    make_series(make_host({vm}), {.per_vcpu = true}, memory);
    vm.vcpus[0].guest_ns = 990;
    vm.vcpus[0].exits[0].vmm_ns = 400;
    const auto series = make_series(make_host({vm}), {.per_vcpu = true}, memory);
    EXPECT_EQ(series[0].guest_ns, 1'000U);
    EXPECT_EQ(series[0].exits.vmm_ns, 500U);
    EXPECT_EQ(series[0].by_vcpu[0].guest_ns, 1'000U);
}

TEST(Series, RatioIsOfTheTimeSinceTheLast) {
    SeriesMemory memory;
    Vm vm = make_vm("vm", "1.1", 100);  // 100 us in exits
    vm.vcpus[0].guest_ns = 300'000;
    EXPECT_DOUBLE_EQ(make_series(make_host({vm}), {}, memory)[0].exit_ratio, 0.25);
    vm.vcpus[0].guest_ns += 50'000;
    vm.vcpus[0].exits[0].time_ns += 200'000;
    vm.vcpus[0].exits[0].halted_ns += 20'000;
    vm.vcpus[0].exits[0].preempted_ns += 25'000;
    vm.vcpus[0].exits[0].blocked_ns += 5'000;
    vm.vcpus[0].exits[0].polled_ns += 10'000;  // It takes a CPU.
    EXPECT_DOUBLE_EQ(make_series(make_host({vm}), {}, memory)[0].exit_ratio, 0.75);
    EXPECT_DOUBLE_EQ(make_series(make_host({vm}), {}, memory)[0].exit_ratio, 0.0);
}

TEST(Series, AVcpuNumberUsedAgainIsOneSeries) {
    Vm vm = make_vm("vm", "1.1", 3);
    vm.vcpus.push_back(vm.vcpus[0]);
    vm.vcpus[1].tid = 2;
    SeriesMemory memory;
    const auto series = make_series(make_host({vm}), {.per_vcpu = true}, memory);
    EXPECT_EQ(series[0].vcpus, 1U);
    ASSERT_EQ(series[0].by_vcpu.size(), 1U);
    EXPECT_EQ(series[0].by_vcpu[0].reasons[0].exits.count, 6U);
}

TEST(Series, OfAnOverviewAreTheSameWithoutHistograms) {
    Snapshot snapshot = test::make_snapshot();
    snapshot.vms[0].vcpus[0].uncounted = 7;
    Overview overview{snapshot, {}, {}};
    for (const Vm& vm : snapshot.vms) overview.vms.push_back(overview_of(vm));
    SeriesMemory of_snapshot, of_overview;
    std::vector<VmSeries> expected = make_series(snapshot, {}, of_snapshot);
    const std::vector<VmSeries> series = make_series(overview, {}, of_overview);
    ASSERT_EQ(series.size(), expected.size());
    for (std::size_t i = 0; i < series.size(); ++i) {
        EXPECT_EQ(series[i].identity, expected[i].identity);
        EXPECT_EQ(series[i].exits, expected[i].exits);
        EXPECT_EQ(series[i].guest_ns, expected[i].guest_ns);
        EXPECT_EQ(series[i].untraced, expected[i].untraced);
        EXPECT_EQ(series[i].uncounted, expected[i].uncounted);
        ASSERT_EQ(series[i].reasons.size(), expected[i].reasons.size());
        for (std::size_t k = 0; k < series[i].reasons.size(); ++k) {
            expected[i].reasons[k].exits.histogram = {};
            EXPECT_EQ(series[i].reasons[k].label, expected[i].reasons[k].label);
            EXPECT_EQ(series[i].reasons[k].exits, expected[i].reasons[k].exits);
        }
    }
}

Vm with_targets(Targets targets) {
    Vm vm = make_vm("vm", "1.1", sum_of(targets).count);
    vm.vcpus[0].exits[0].targets = std::move(targets);
    return vm;
}

using TargetCounts = std::vector<TargetSeries>;

TargetCounts targets_now(const Vm& vm, std::uint32_t top_targets, SeriesMemory& memory) {
    const SeriesOptions options = {.top_targets = top_targets};
    const auto series = make_series(make_host({vm}), options, memory);
    return series.at(0).reasons.at(0).targets;
}

TEST(Series, TopTargetsAreTheMostFrequentAndStay) {
    SeriesMemory memory;
    EXPECT_EQ(targets_now(with_targets({{{{5, 0}, "a"}, {{7, 0}, "b"}, {{6, 0}, "c"}}, {4, 0}}), 2,
                          memory),
              (TargetCounts{{"b", 7}, {"c", 6}, {"other", 9}}));
    EXPECT_EQ(
        targets_now(
            with_targets({{{{500, 0}, "a"}, {{7, 0}, "b"}, {{6, 0}, "c"}}, {4, 0}, {2, 0}, "why"}),
            2, memory),
        (TargetCounts{{"b", 7}, {"c", 6}, {"other", 504}, {"unknown", 2}}));
    SeriesMemory none;
    EXPECT_TRUE(targets_now(with_targets({{{{5, 0}, "a"}}}), 0, none).empty());
}

TEST(Series, ATargetThatMadeRoomForOthersKeepsItsSeries) {
    SeriesMemory memory;
    targets_now(with_targets({{{{70, 0}, "a"}, {{60, 0}, "b"}}}), 2, memory);
    // Its counts are in `other` from now on, with the 5 that it had in between.
    EXPECT_EQ(targets_now(with_targets({{{{61, 0}, "b"}, {{1, 0}, "c"}}, {75, 0}}), 2, memory),
              (TargetCounts{{"a", 70}, {"b", 61}, {"other", 6}}));
    // It comes back and begins anew.
    EXPECT_EQ(targets_now(with_targets({{{{3, 0}, "a"}, {{62, 0}, "b"}}, {76, 0}}), 2, memory),
              (TargetCounts{{"a", 73}, {"b", 62}, {"other", 6}}));
}

TEST(Series, TargetsAreThoseOfReasonsWithASeries) {
    Vm vm = with_reasons({{0, 9}, {1, 5}, {10, 1}});
    for (ExitStats& stats : vm.vcpus[0].exits) {
        stats.targets.emplace().add("a", {stats.count, 1});
    }
    SeriesMemory memory;
    const auto series = make_series(make_host({vm}), {.top_reasons = 1, .top_targets = 3}, memory);
    ASSERT_EQ(series[0].reasons.size(), 2U);
    EXPECT_EQ(series[0].reasons[0].targets, (TargetCounts{{"a", 9}}));
    EXPECT_TRUE(series[0].reasons[1].targets.empty());
    EXPECT_EQ(series[0].reasons[1].exits.targets, std::nullopt);
}

// What the kernel does: a few targets are kept, and one makes room for another now and then.
TEST(Series, TargetsAddUpAndNeverGoBack) {
    using Steps = std::vector<std::vector<std::pair<std::uint8_t, std::uint8_t>>>;
    EXPECT_TRUE(rc::check("targets", [](const Steps& steps) {
        const auto most = *rc::gen::inRange<std::uint32_t>(1, 6);
        const auto places = *rc::gen::inRange<std::size_t>(1, 8);
        SeriesMemory memory;
        std::map<std::string, std::uint64_t> kept, before;
        Targets targets;
        for (const auto& step : steps) {
            for (const auto& [number, count] : step) {
                const std::string target = msr_target(number % 12, TargetAccess::read);
                if (!kept.contains(target) && kept.size() == places) {
                    const auto least = std::ranges::min_element(
                        kept, {}, &std::pair<const std::string, std::uint64_t>::second);
                    targets.other.count += least->second;
                    kept.erase(least);
                }
                kept[target] += count;
                targets.unknown.count += number % 3;
            }
            targets.known.clear();
            for (const auto& [target, count] : kept) targets.add(target, {count, 0});
            std::uint64_t sum = 0;
            std::map<std::string, std::uint64_t> now;
            for (const auto& [label, count] : targets_now(with_targets(targets), most, memory)) {
                RC_ASSERT(now.emplace(label, count).second);
                sum += count;
            }
            RC_ASSERT(now.size() <= most + 2);
            RC_ASSERT(sum == sum_of(targets).count);
            for (const auto& [label, count] : before) RC_ASSERT(now.at(label) >= count);
            before = now;
        }
    }));
}

// Whatever happens in a VM: all exits are in some series, and no series goes back.
TEST(Series, SumsAreExactAndNothingGoesBack) {
    using Steps = std::vector<std::vector<std::pair<std::uint8_t, std::uint8_t>>>;
    EXPECT_TRUE(rc::check("sums", [](const Steps& steps) {
        const SeriesOptions options = {.top_reasons = *rc::gen::inRange<std::uint32_t>(1, 6)};
        SeriesMemory memory;
        std::map<std::uint32_t, std::uint64_t> counted;
        std::map<std::string, std::uint64_t> before;
        for (const auto& step : steps) {
            for (const auto& [code, count] : step) counted[code % 12] += count;
            const Vm vm = with_reasons({counted.begin(), counted.end()});
            std::uint64_t sum = 0;
            std::map<std::string, std::uint64_t> now;
            for (const auto& [label, count] :
                 counts_of(make_series(make_host({vm}), options, memory))) {
                sum += count;
                now[label] = count;
            }
            RC_ASSERT(now.size() <= options.top_reasons + 1);
            for (const auto& [label, count] : before) RC_ASSERT(now.at(label) >= count);
            std::uint64_t expected = 0;
            for (const auto& [code, count] : counted) expected += count;
            RC_ASSERT(sum == expected);
            before = now;
        }
    }));
}

}  // namespace
}  // namespace exittop
