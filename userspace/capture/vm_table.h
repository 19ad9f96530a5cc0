// SPDX-License-Identifier: GPL-2.0-only
// From slots to VMs: tells VMs apart, keeps those that ended. Knows no libbpf and no /proc, so all
// of it is tested on made-up slots.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "capture/slot_reader.h"
#include "capture/vm_identity.h"
#include "exittop_abi.h"
#include "model/overview.h"
#include "model/snapshot.h"

namespace exittop {

/// Notes in a VM who it is.
void describe_vm(VmInfo& vm, std::uint32_t pid, const VmIdentity& identity);

/// The VMs seen since the start.
class VmTable {
public:
    /// The process that runs a VM that is new.
    struct Process {
        std::uint32_t pid = 0;  ///< 0: it cannot be asked.
        std::string command;    ///< What the kernel said of its thread.
        std::string line;       ///< Its arguments at the VM's first exit, as far as they are known.
        auto operator<=>(const Process&) const = default;
    };
    /// Who a VM is, by its process.
    using Identify = std::function<VmIdentity(const Process& process)>;
    /// Called with the index of a slot whose counts were taken over: it can be used again.
    using Release = std::function<void(std::uint32_t slot)>;

    /// The number by which the process of a vCPU is found in /proc; 0: it is not there.
    using PidOf = std::function<std::uint32_t(const vcpu_identity& who)>;
    /// The arguments of the process of the vCPU in a slot that is not released yet.
    using LineOf = std::function<std::string(std::uint32_t slot)>;
    /// Where the targets of the vCPU in a slot are.
    using TargetsOf = std::function<TargetSource(std::uint32_t slot)>;

    explicit VmTable(Identify identify, PidOf pid_of = kernel_pid, LineOf line_of = no_line,
                     TargetsOf targets_of = no_targets)
        : identify_(std::move(identify)), pid_of_(std::move(pid_of)),
          targets_of_(std::move(targets_of)), slots_{{}, &Entry::live, std::move(line_of)} {}

    /// Takes up vCPUs that came and takes over those that ended, by the state of each slot
    /// (enum exittop_slot_state); slots in which nothing changed are not touched. Who the new VMs
    /// are is asked at the end, as that takes longest, and once for all VMs of a process: others
    /// may be in want of the slots meanwhile.
    ///
    /// Two vCPUs with the same struct kvm are of one VM unless one of them ended before the other
    /// was first seen: KVM frees a VM's vCPUs together, and no earlier than the VM.
    void update(std::span<const vcpu_slot> slots, std::span<const std::uint8_t> states,
                const Release& release);
    /// The same for vCPUs that wait for a slot, by their place; after update().
    void update_waiting(std::span<const waiting_vcpu> waiting, std::span<const vcpu_slot> slots,
                        const Release& release);

    /// Looks at the buckets of all slots in use, as track_wraps() of a slot.
    void track_wraps(std::span<const vcpu_slot> slots);

    /// All VMs with their present counts, by name, then id, and the sum of what their slots lost.
    struct Contents {
        std::vector<Vm> vms;
        Lost lost;
    };
    [[nodiscard]] Contents contents(std::span<const vcpu_slot> slots, std::uint64_t now_ns = 0,
                                    std::span<const waiting_vcpu> waiting = {}) const;
    /// The same as an overview, in no order; in full only the VM whose id is `in_full`.
    struct OverviewContents {
        std::vector<VmOverview> vms;
        std::optional<Vm> in_full;
        Lost lost;
    };
    [[nodiscard]] OverviewContents overview(std::span<const vcpu_slot> slots, std::uint64_t now_ns,
                                            const std::string& in_full,
                                            std::span<const waiting_vcpu> waiting = {}) const;
    /// Calls `use` with each VM and each of the slots that its vCPUs have at present.
    void for_each_live(const std::function<void(const VmInfo& vm, std::uint32_t slot)>& use) const;
    /// How many slots vCPUs have at present.
    [[nodiscard]] std::uint32_t slots_in_use() const;
    /// Of how many processes it is known how many VMs they had: a bounded number without a VM.
    [[nodiscard]] std::size_t remembered_pids() const { return vms_of_pid_.size(); }
    /// Leaves VMs that ended before `ns` out of all contents from now on.
    void forget_ended(std::uint64_t ns);

private:
    struct Entry {
        Vm vm;  // identity, and the vCPUs that ended, or had no slot for a while
        std::uint32_t kernel_pid = 0;
        VmmVersion version;
        std::uint64_t first_ended_ns = 0;     // 0: none did
        std::vector<std::uint32_t> live;      // slots
        std::vector<std::uint32_t> waiting;   // places of vCPUs without a slot
        std::set<std::uint32_t> still_there;  // of vm.vcpus the ids of those that did not end
        bool forgotten = false;
    };

    /// Where vCPUs are: in slots, or in the places of those that wait.
    struct Records {
        std::vector<std::size_t> owner;  ///< Of each slot or place: whose it is, in entries_.
        std::vector<std::uint32_t> Entry::* of_vm;
        LineOf line_of;
    };

    /// A VM that came with this update.
    struct Newcomer {
        std::size_t place = 0;  ///< in entries_
        Process process;
        bool hides_paging = false;
    };

    /// What the slots and places of the vCPUs that are there hold, at a time.
    struct Present {
        std::span<const vcpu_slot> slots;
        std::span<const waiting_vcpu> waiting;
        std::uint64_t now_ns = 0;
    };
    [[nodiscard]] SlotContents contents_of(const vcpu_slot& slot, std::uint32_t slot_index,
                                           std::uint64_t now_ns) const;
    /// Adds to a VM a vCPU that is there, and the vCPUs that wait.
    static void add_present(const Entry& entry, auto& vm, auto vcpu);
    static void add_waiting(const Entry& entry, auto& vm, const Present& present, Lost& lost);
    [[nodiscard]] Vm full_vm(const Entry& entry, const Present& present, Lost& lost) const;
    [[nodiscard]] static VmOverview vm_overview(const Entry& entry, const Present& present,
                                                Lost& lost);
    /// For the id of a process's next VM: never one that a process of this pid had before.
    unsigned next_number(std::uint32_t pid);
    /// Place in entries_ of the VM that a vCPU belongs to, which is seen for the first time;
    /// no_entry: the VM is, too.
    [[nodiscard]] std::size_t known_entry(const vcpu_identity& who,
                                          std::span<const vcpu_slot> slots) const;
    std::size_t make_entry(const auto& vcpu, std::string line);
    /// The arguments are told with vCPU 0, which need not be the first one of a new VM.
    void learn_line(std::size_t place, std::string line);
    /// Notes who the VMs are that came with this update.
    void identify_newcomers();
    void introduce(const Newcomer& newcomer, const VmIdentity& identity);
    /// Whether a vCPU of the VM ended before `ns`, be it while the table looks at others.
    static bool ended_before(const Entry& entry, std::uint64_t ns,
                             std::span<const vcpu_slot> slots);
    /// Whether a new vCPU cannot be of the VM, which is of another process, or had a vCPU of that
    /// id. The end of that one was missed, or seen too late.
    static bool is_another(const Entry& entry, const vcpu_identity& who,
                           std::span<const vcpu_slot> slots);
    /// update() of slots, or of the places of vCPUs that wait.
    void update_records(Records& records, auto vcpus, auto state_of,
                        std::span<const vcpu_slot> slots, const Release& release);
    /// Takes the counts of an ended vCPU over into its VM.
    void take_over(Entry& entry, const vcpu_slot& slot, std::uint32_t slot_index);
    /// Takes over what a vCPU lost that waits no longer.
    void take_over(Entry& entry, const waiting_vcpu& waiting, std::uint32_t place);
    /// Notes in a VM what is known of a vCPU so far, which ended at that time; 0: it did not.
    static void keep_vcpu(Entry& entry, Vcpu vcpu, std::uint64_t ended_ns);

    static std::uint32_t kernel_pid(const vcpu_identity& who) { return who.pid; }
    static std::string no_line(std::uint32_t) { return {}; }
    static TargetSource no_targets(std::uint32_t) { return {}; }

    Identify identify_;
    PidOf pid_of_;
    TargetsOf targets_of_;
    std::vector<Newcomer> newcomers_;
    std::vector<Entry> entries_;
    std::vector<std::size_t> free_entries_;  // Places of forgotten VMs, to be used again.
    std::map<std::uint64_t, std::size_t> newest_by_kvm_;  // struct kvm -> place in entries_
    // The last number of each pid. Of processes without a VM all are forgotten at times, and only
    // their largest is kept: numbers of a pid that is not in here begin after it.
    std::map<std::uint32_t, unsigned> vms_of_pid_;
    unsigned numbers_used_ = 0;
    static constexpr std::size_t least_pids = 4096;
    std::size_t most_pids_ = least_pids;
    static constexpr std::size_t no_entry = SIZE_MAX;
    Records slots_;
    Records places_{{}, &Entry::waiting, no_line};  // of vCPUs that wait
    std::map<std::uint32_t, SeenBuckets> seen_;     // by slot
    Lost ended_lost_;
};

}  // namespace exittop
