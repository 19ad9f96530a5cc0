// SPDX-License-Identifier: GPL-2.0-only
// Counting on this host: the BPF program, the VMs it sees, and who they are, as snapshots.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <set>

#include "base/error.h"
#include "capture/bpf_program.h"
#include "capture/slot_shares.h"
#include "capture/vm_table.h"
#include "model/overview.h"
#include "model/snapshot.h"
#include "system/host.h"
#include "system/vmm_version.h"

namespace exittop {

/// CPUID leaves that guests read their own counts in.
struct LeafService {
    LeafMeanings meanings;
    std::function<bool(const VmInfo&)> may_read;  ///< The others get KVM's own answer.
};

class Collector {
public:
    /// Attaches and counts from here on. Needs the vendor module (Host::vendor_module()).
    static std::expected<Collector, Error> start(const Host& host, AttachChoice attach,
                                                 std::uint32_t max_vcpus,
                                                 CountDetail detail = CountDetail::histogram,
                                                 std::optional<LeafService> leaves = {},
                                                 std::optional<TargetRequest> targets = {});

    /// Handles new VMs and VMs that ended. Cheap if there are none. To be called a few times per
    /// second, so that a VM is named while its process exists.
    void poll();
    /// All counts since the start.
    [[nodiscard]] Snapshot snapshot();
    /// The same as an overview, with the VM whose id is `in_full` in full: cheap enough to be taken
    /// every second on a host of thousands of vCPUs. Host facts and what is known of KVM's own
    /// counts may be some seconds old.
    [[nodiscard]] Overview overview(const std::string& in_full);
    /// VMs that this host has, to judge by its processes, but that are not in a snapshot or an
    /// overview, as no exit of theirs was seen (Vm::silent). Looks into every other process.
    [[nodiscard]] std::vector<Vm> silent_vms(const Snapshot& snapshot) const;
    [[nodiscard]] std::vector<Vm> silent_vms(const Overview& overview) const;
    /// VMs that ended longer than this ago are no longer part of snapshots.
    void forget_ended(std::chrono::nanoseconds age);
    /// Limitations on this host, one line each: what this kernel does not let exittop do, and whose
    /// processes /proc does not show.
    [[nodiscard]] std::vector<std::string> notes() const;
    /// Asks the kernel to measure what the BPF programs cost (Cost::run_ns), or no longer.
    std::expected<void, Error> measure_cost(bool on) { return program_.measure_cost(on); }
    /// Counts the exits of one VM by target from now on, and those of no other; of none if the id
    /// is empty. All else is counted on. No effect if they are counted for all from the start.
    std::expected<void, Error> switch_targets(const std::string& vm_id);
    /// Kernel memory that targets take at present, in bytes.
    [[nodiscard]] std::uint64_t target_bytes() const { return program_.target_bytes(); }
    /// Detaches. Snapshots are still possible, and final.
    void stop();

    [[nodiscard]] const BpfProgram& program() const { return program_; }
    [[nodiscard]] std::chrono::duration<double> running_time() const;

private:
    Collector(const Host& host, BpfProgram program, std::optional<LeafService> leaves);
    void take_up_changes();
    void update_vms();
    /// Switches targets on for the vCPUs of the VM that was asked for.
    void count_by_target();
    /// Takes slots from users that have more than their share, for vCPUs that wait.
    void share_slots();
    /// Ends vCPUs whose end was missed, because their processes no longer exist.
    void end_stale_vcpus();
    /// Compares the counts of all existing vCPUs with KVM's own.
    void look_at_kvm_counts();
    /// What holds for all VMs of a snapshot, but for what it says of the host. `lost` is what the
    /// table knows to be lost, `exits` are those in the snapshot.
    SnapshotInfo info(const Lost& lost, std::uint64_t exits);
    /// The silent VMs, given the processes of those that are not.
    [[nodiscard]] std::vector<Vm> silent_vms(const std::set<std::uint32_t>& known, Isa isa) const;

    const Host* host_;
    BpfProgram program_;
    std::optional<LeafService> leaves_;
    ProcView proc_;
    std::uint64_t memory_bytes_;  // All of it is allocated at the start.
    std::shared_ptr<VmmVersions> versions_ = std::make_shared<VmmVersions>();
    VmTable vms_;
    bool limits_users_ = false;
    bool targets_from_start_ = false;
    std::string by_target_;  ///< Id of the VM whose exits are counted by target; empty: none.
    std::uint64_t seen_changes_ = 0;
    std::chrono::steady_clock::time_point looked_at_{};
    std::chrono::steady_clock::time_point tracked_wraps_ = std::chrono::steady_clock::now();
    HostFacts facts_;
    std::chrono::steady_clock::time_point facts_at_{};
    std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
    std::chrono::steady_clock::time_point stopped_{};
};

}  // namespace exittop
