// SPDX-License-Identifier: GPL-2.0-only
// From slots to VMs: reads the memory that the BPF program writes, tells VMs apart, keeps those that
// ended. Knows no libbpf and no /proc, so all of it is tested on made-up slots.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "exittop_abi.h"
#include "snapshot.h"
#include "vm_identity.h"

namespace exittop {

/// What a slot holds: one vCPU's exits, and what was lost of them.
struct SlotContents {
    Vcpu vcpu;
    Lost lost;
};

/// Reads a slot in use or ended. May run beside the BPF program: then single words are right and up
/// to one exit old, and sums of them may be one exit apart.
SlotContents read_slot(const vcpu_slot& slot);

/// The VMs seen since the start.
class VmTable {
public:
    /// Who a VM is, by the process that runs it; `command` is what the kernel said of its thread.
    using Identify = std::function<VmIdentity(std::uint32_t pid, const std::string& command)>;
    /// Called with the number of a slot whose counts were taken over: it can be used again.
    using Release = std::function<void(std::uint32_t slot)>;

    explicit VmTable(Identify identify) : identify_(std::move(identify)) {}

    /// Takes up vCPUs that came and takes over those that ended.
    ///
    /// Two vCPUs with the same struct kvm are of one VM unless one of them ended before the other
    /// was first seen: KVM frees a VM's vCPUs together, and no earlier than the VM.
    void update(std::span<const vcpu_slot> slots, const Release& release);

    /// All VMs with their present counts, by name, then id, and the sum of what their slots lost.
    struct Contents {
        std::vector<Vm> vms;
        Lost lost;
    };
    [[nodiscard]] Contents contents(std::span<const vcpu_slot> slots) const;

private:
    struct Entry {
        Vm vm;  // identity, and the vCPUs that ended
        std::uint64_t first_ended_ns = 0;  // 0: none did
        std::vector<std::uint32_t> live;   // slots
    };

    /// Place in entries_ of the VM that a vCPU seen for the first time belongs to.
    std::size_t entry_of(const vcpu_header& header);
    /// Takes the counts of an ended vCPU over into its VM.
    void take_over(const vcpu_slot& slot, std::uint32_t number);

    Identify identify_;
    std::vector<Entry> entries_;
    std::map<std::uint64_t, std::size_t> newest_by_kvm_;  // struct kvm -> place in entries_
    std::map<std::uint32_t, unsigned> vms_of_pid_;
    static constexpr std::size_t no_entry = SIZE_MAX;
    std::vector<std::size_t> owner_;  // by slot: place in entries_
    Lost ended_lost_;
};

}  // namespace exittop
