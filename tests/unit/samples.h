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
    ExitStats halt = make_exits(12, {{210'000, 4'000}, {3'900'000, 600}});
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

}  // namespace exittop::test
