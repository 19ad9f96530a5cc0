// SPDX-License-Identifier: GPL-2.0-only
// Counting on this host: the BPF program, the VMs it sees, and who they are, as snapshots.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>

#include "bpf_program.h"
#include "error.h"
#include "host.h"
#include "snapshot.h"
#include "vm_table.h"

namespace exittop {

class Collector {
public:
    /// Attaches and counts from here on. Needs the vendor module (Host::vendor_module()).
    static std::expected<Collector, Error> start(const Host& host, AttachChoice attach,
                                                 std::uint32_t max_vcpus);

    /// Takes up VMs that came and takes over those that ended. Cheap where there are none; to be
    /// called a few times a second, so that a VM is named while its process is there.
    void poll();
    /// All counts since the start.
    [[nodiscard]] Snapshot snapshot();
    /// Detaches; snapshots stay possible, and are final.
    void stop();

    [[nodiscard]] const BpfProgram& program() const { return program_; }
    [[nodiscard]] std::chrono::duration<double> running_time() const;

private:
    Collector(const Host& host, BpfProgram program);

    const Host* host_;
    BpfProgram program_;
    VmTable vms_;
    std::uint64_t seen_changes_ = 0;
    std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
    std::chrono::steady_clock::time_point stopped_{};
};

}  // namespace exittop
