// SPDX-License-Identifier: GPL-2.0-only
// Made-up snapshots that tests of the outputs share.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>

#include "model/snapshot.h"

namespace exittop::test {

/// Times in nanoseconds with how often each occurred; sums, maximum and histogram follow from them.
using Times = std::initializer_list<std::pair<std::uint64_t, std::uint64_t>>;

inline ExitStats make_exits(std::uint32_t code, Times times) {
    ExitStats stats;
    stats.code = code;
    for (const auto& [ns, count] : times) {
        stats.count += count;
        stats.time_ns += ns * count;
        stats.max_ns = std::max(stats.max_ns, ns);
        stats.histogram.add(bucket_of(ns), count);
    }
    return stats;
}

inline Vm make_web_vm() {
    ExitStats io = make_exits(30, {{9'000, 130'000}, {41'000, 2'000}, {2'400'000, 3}});
    io.vmm_ns = 900'000'000;
    io.preempted_ns = 200'000'000;
    io.blocked_ns = 60'000'000;
    ExitStats halt = make_exits(12, {{210'000, 4'000}, {3'900'000, 600}});
    halt.polled_ns = 50'000'000;
    halt.preempted_ns = 20'000'000;
    halt.halted_ns = 3'100'000'000;
    ExitStats nested = make_exits(10, {{1'450, 77}});
    nested.level = GuestLevel::l2;
    Vm vm;
    vm.id = "1";
    vm.pid = 4242;
    vm.name = "web01";
    vm.uuid = "6f1e2d3c-0000-4000-8000-0123456789ab";
    vm.vmm = "qemu";
    vm.isa = Isa::vmx;
    vm.paging = Paging::ept;
    vm.uid = 64055;
    vm.executable = "/usr/bin/qemu-system-x86_64";
    vm.vcpus = {
        {{0, 4250},
         {make_exits(1, {{700, 20'000}, {1'300, 5'000}}), make_exits(10, {{1'100, 424}}), halt, io,
          nested}},
        {{1, 4251}, {make_exits(1, {{800, 7'000}}), make_exits(0x5f, {{640, 2}})}},
    };
    vm.vcpus[0].guest_ns = 4'200'000'000;
    vm.vcpus[1].guest_ns = 9'100'000'000;
    return vm;
}

/// Makes KVM's own count of each vCPU the same as exittop's.
inline void add_kvm_counts(Vm& vm) {
    for (Vcpu& vcpu : vm.vcpus) {
        vcpu.kvm_exits = 0;
        for (const ExitStats& stats : vcpu.exits) *vcpu.kvm_exits += stats.count;
    }
}

inline Vm make_ended_vm() {
    Vm vm;
    vm.id = "2";
    vm.pid = 977;
    vm.name = "evil\x1b[2J\n\xff\u202e,\"=\u4e2d\u6587";
    vm.vmm = "firecracker";
    vm.isa = Isa::vmx;
    vm.paging = Paging::shadow;
    vm.ended = true;
    vm.uid = 0;
    vm.executable = "/tmp/\x1b[2J\n\"firecracker (deleted)";
    vm.vcpus = {{{0, 980}, {make_exits(10, {{1'000, 12}})}}};
    return vm;
}

/// Gives a reason's exits targets, whose times are a share of its time.
inline void add_targets(ExitStats& stats,
                        std::initializer_list<std::pair<const char*, std::uint64_t>> known,
                        std::uint64_t other = 0, std::uint64_t unknown = 0,
                        const std::string& why = "") {
    const auto sum = [&stats](std::uint64_t count) -> TargetSum {
        return {count, stats.time_ns / stats.count * count};
    };
    stats.targets.emplace();
    for (const auto& [target, count] : known) stats.targets->add(target, sum(count));
    stats.targets->other = sum(other);
    stats.targets->unknown = sum(unknown);
    stats.targets->why = why;
}

inline Snapshot make_snapshot() {
    Snapshot snapshot;
    snapshot.taken_at = "2026-03-01T12:00:00Z";
    snapshot.duration_s = 10.0;
    snapshot.attach = "tp_btf";
    snapshot.host = {"6.1.0-18-cloud-amd64",
                     "Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz",
                     Isa::vmx,
                     Paging::ept,
                     {{"kvm_intel.ept", "Y"}, {"kvm_intel.nested", "Y"}},
                     "kvm03"};
    snapshot.vms = {make_web_vm(), make_ended_vm()};
    for (Vm& vm : snapshot.vms) add_kvm_counts(vm);
    snapshot.cost = {31'000'000, 0, 0, 38'000'000, 3, 4096};
    return snapshot;
}

/// The same, counted by target: few, more than are shown, unknown ones, and hostile ones.
inline Snapshot make_snapshot_with_targets() {
    Snapshot snapshot = make_snapshot();
    std::vector<ExitStats>& exits = snapshot.vms[0].vcpus[0].exits;
    add_targets(exits[0], {}, 0, 25'000, "KVM does not tell which interrupt it was");
    add_targets(exits[1],
                {{"leaf 0x1", 90},
                 {"leaf 0x40000000", 80},
                 {"leaf 0x40000001", 60},
                 {"leaf 0x4.0", 31},
                 {"leaf 0x4.1", 30},
                 {"leaf 0x4.2", 29},
                 {"leaf 0x4.3", 28},
                 {"leaf 0xd.0", 12},
                 {"leaf 0xd.1", 11},
                 {"leaf 0x80000000", 10},
                 {"leaf 0x80000001", 8},
                 {"leaf 0x80000008", 7},
                 {"leaf 0x7.0", 6}},
                20, 2, "it ended before it was read");
    add_targets(exits[3], {{"port 0x3f8 out 1", 30'000},
                           {"port 0x608 in 4", 100'000},
                           {"port 0x70 out 1", 3},
                           {"port 0xcf8 out 4", 2'000}});
    add_targets(exits[4], {{"leaf 0xd.1", 77}});
    add_targets(snapshot.vms[0].vcpus[1].exits[0], {}, 0, 7'000,
                "KVM does not tell which interrupt it was");
    add_targets(snapshot.vms[1].vcpus[0].exits[0], {{"=leaf\x1b[2J 0x1,\"<b>\" \u202e|*", 7}}, 0, 5,
                "it's \x1b[2J<i>");
    snapshot.cost.target_bytes = 1 << 20;
    return snapshot;
}

}  // namespace exittop::test
