// SPDX-License-Identifier: GPL-2.0-only
// A made-up host for tests of the live view: its VMs exit at steady rates, second after second.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "live/live_state.h"
#include "live/live_view.h"
#include "samples.h"

namespace exittop::test {

/// Exits per second of one reason, by their times.
struct MadeRate {
    std::uint32_t code;
    std::uint64_t per_second;
    std::uint64_t ns;
    // Parts of the time of each.
    std::uint64_t halted_ns = 0;
    std::uint64_t polled_ns = 0;
    std::uint64_t preempted_ns = 0;
    std::uint64_t vmm_ns = 0;
    std::uint64_t blocked_ns = 0;
};

struct MadeVm {
    std::string name;
    std::uint32_t pid;
    std::uint32_t vcpus;
    std::vector<MadeRate> rates;
    Isa isa = Isa::svm;
    Paging paging = Paging::npt;
    std::string vmm = "qemu";
};

inline Vm made_vm(const MadeVm& made, std::uint64_t seconds) {
    Vm vm;
    vm.id = std::to_string(made.pid) + ".1";
    vm.pid = made.pid;
    vm.name = made.name;
    vm.vmm = made.vmm;
    vm.isa = made.isa;
    vm.paging = made.paging;
    vm.uid = 64055;
    vm.executable = "/usr/libexec/" + made.vmm + "-of-" + made.name;
    for (std::uint32_t id = 0; id < made.vcpus; ++id) {
        Vcpu vcpu{{id, made.pid + 1 + id, seconds * 600'000'000}, {}};
        for (const MadeRate& rate : made.rates) {
            ExitStats stats = make_exits(
                rate.code, {{rate.ns, rate.per_second * seconds}, {rate.ns * 8, seconds}});
            const std::uint64_t exits = rate.per_second * seconds;
            stats.halted_ns = rate.halted_ns * exits;
            stats.polled_ns = rate.polled_ns * exits;
            stats.preempted_ns = rate.preempted_ns * exits;
            stats.vmm_ns = rate.vmm_ns * exits;
            stats.blocked_ns = rate.blocked_ns * exits;
            vcpu.exits.push_back(std::move(stats));
        }
        vm.vcpus.push_back(std::move(vcpu));
    }
    return vm;
}

inline std::vector<MadeVm> made_vms() {
    return {
        {"web01",
         4242,
         2,
         {{0x72, 420, 1'100},
          {0x78, 460, 691'000, 620'000, 40'000, 12'000},
          {0x7b, 13'200, 9'540, 0, 0, 900, 3'800, 700},
          {0x400, 96, 2'400}}},
        {"db-primary", 5151, 4, {{0x78, 120, 400'000, 350'000, 0, 40'000}, {0x400, 2'200, 1'900}}},
        {"evil\x1b[2J\n\xff\u202e\u4e2d\u6587",
         977,
         1,
         {{0x72, 12, 1'000}},
         Isa::svm,
         Paging::shadow,
         "firecracker"},
    };
}

/// Adds a VM to a sample, or replaces the one of its id.
inline void add_vm(Sample& sample, const Vm& vm, bool full = false) {
    auto& vms = sample.overview.vms;
    const auto place = std::ranges::find(vms, vm.id, &VmInfo::id);
    (place == vms.end() ? vms.emplace_back() : *place) = overview_of(vm);
    if (full) sample.overview.in_full = vm;
}

/// The host after so many seconds; the VM of that id in full.
inline Sample made_sample(const std::vector<MadeVm>& vms, std::uint64_t seconds,
                          const std::string& in_full = "") {
    Sample sample;
    Overview& overview = sample.overview;
    overview.taken_at =
        "2026-03-01T12:00:" + std::string(seconds < 10 ? "0" : "") + std::to_string(seconds) + "Z";
    overview.duration_s = static_cast<double>(seconds);
    overview.host = {"6.1.0-18-cloud-amd64",
                     "AMD EPYC 7763 64-Core Processor",
                     Isa::svm,
                     Paging::npt,
                     {},
                     "kvm07"};
    for (const MadeVm& made : vms) {
        const Vm vm = made_vm(made, seconds);
        add_vm(sample, vm, vm.id == in_full);
    }
    overview.cost.cpu_ns = seconds * 4'000'000;
    return sample;
}

/// The live view after three seconds on that host.
inline State made_state(std::size_t height = 24, std::size_t width = 100) {
    State state = apply(State{}, Resize{height, width});
    for (std::uint64_t second = 1; second <= 3; ++second) {
        state = apply(std::move(state), made_sample(made_vms(), second));
    }
    return state;
}

/// What web01's I/O exits were about since that second, in a sample of a later one: per vCPU.
inline Targets made_targets(std::uint64_t since, std::uint64_t second) {
    const std::uint64_t seconds = second - since;
    const auto sum = [seconds](std::uint64_t per_second, std::uint64_t ns) {
        return TargetSum{per_second * seconds, per_second * seconds * ns};
    };
    Targets targets;
    targets.add(port_target(0x608, false, 4), sum(11'000, 9'100));
    targets.add(port_target(0x3f8, true, 1), sum(1'100, 24'300));
    targets.add(port_target(0x1f7, false, 1), sum(700, 8'400));
    targets.add(port_target(0x5678, true, 2), sum(300, 9'000));
    targets.add("port \x1b[2J\u202e", sum(60, 9'000));
    targets.add(port_target(0x70, true, 1), sum(24, 7'900));
    targets.add(port_target(0x71, false, 1), sum(12, 7'700));
    targets.other = sum(3, 9'000);
    targets.unknown = sum(2, 9'000);
    targets.why = "string I/O";
    return targets;
}

/// The host after so many seconds with web01 in full, whose targets are counted since a second.
inline Sample targets_sample(std::uint64_t since, std::uint64_t second) {
    Sample sample = made_sample(made_vms(), second, "4242.1");
    for (Vcpu& vcpu : sample.overview.in_full->vcpus) {
        for (ExitStats& stats : vcpu.exits) {
            if (stats.code == 0x7b) stats.targets = made_targets(since, second);
            if (stats.code == 0x400) stats.targets = Targets{};
        }
    }
    sample.overview.cost.target_bytes = 33U << 20;
    return sample;
}

inline State press(State state, KeyCode code) { return apply(std::move(state), Key{code, 0}); }
inline State type(State state, std::string_view characters) {
    for (const char c : characters) {
        state = apply(std::move(state), Key{KeyCode::character, static_cast<char32_t>(c)});
    }
    return state;
}

/// web01's I/O exits by target: opened after five seconds, and two seconds later.
inline State targets_state(std::size_t height, std::size_t width) {
    State state = press(made_state(height, width), KeyCode::enter);
    state = apply(std::move(state), made_sample(made_vms(), 4, "4242.1"));
    state = press(apply(std::move(state), made_sample(made_vms(), 5, "4242.1")), KeyCode::enter);
    state = apply(std::move(state), TargetsSwitched{"4242.1", 5.0, 33U << 20, {}});
    state = apply(std::move(state), targets_sample(5, 6));
    return apply(std::move(state), targets_sample(5, 7));
}

}  // namespace exittop::test
