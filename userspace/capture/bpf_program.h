// SPDX-License-Identifier: GPL-2.0-only
// The BPF program, loaded and attached.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "capture/attach_variant.h"
#include "capture/target_kinds.h"
#include "capture/target_reader.h"
#include "exittop_abi.h"
#include "model/leaf_layout.h"
#include "model/snapshot.h"

namespace exittop {

/// One program of the object as the kernel sees it.
struct ProgramFacts {
    std::string name;
    std::uint32_t verified_instructions = 0;  ///< Instructions the verifier walked.
    std::uint32_t jited_bytes = 0;
    std::uint64_t missed = 0;  ///< Times the kernel did not run it (recursion), if that matters.
    std::uint64_t run_ns = 0;  ///< Time in it and times it ran, while the kernel measured that.
    std::uint64_t runs = 0;
};

/// The clock that the BPF program reads, CLOCK_MONOTONIC.
std::uint64_t monotonic_ns();

/// Owns the loaded object, its links and the mapped memory; all of it goes with the value.
class BpfProgram {
public:
    /// Loads for up to `max_vcpus` vCPUs and attaches, by the way that this kernel's BTF asks for.
    /// kvm and its vendor module must be loaded, because their BTF says where the exit reason is.
    /// With `leaves` it also answers these CPUID leaves to the VMs in whose slots `readable` is
    /// set; that needs the patch of kernel/, and time counted. With `targets` exits can be counted
    /// by target; that needs time counted, too.
    static std::expected<BpfProgram, Error> start(AttachChoice choice, std::uint32_t max_vcpus,
                                                  CountDetail detail,
                                                  const std::optional<LeafMeanings>& leaves = {},
                                                  const std::optional<TargetRequest>& targets = {});
    /// Loads raw_reason, which any kernel takes, and attaches nothing: test_run() feeds it.
    static std::expected<BpfProgram, Error> load_detached(
        std::uint32_t max_vcpus, const std::optional<TargetRequest>& targets = {});

    BpfProgram(BpfProgram&&) noexcept;
    BpfProgram& operator=(BpfProgram&&) noexcept;
    ~BpfProgram();

    /// Detaches, and returns when no program runs any more: the memory is final then.
    void detach();

    [[nodiscard]] AttachVariant variant() const;
    [[nodiscard]] std::uint32_t max_vcpus() const;
    [[nodiscard]] CountDetail detail() const;
    /// What this kernel does not allow besides counting, and why, in one line; empty if nothing.
    [[nodiscard]] const std::string& missing() const;
    /// Whether the parts of the exits' time are told apart.
    [[nodiscard]] bool splits_time() const;
    /// Whether it can read each VM's paging: the kernel hides its address from those without
    /// CAP_SYSLOG.
    [[nodiscard]] bool sees_paging() const;
    [[nodiscard]] exittop_memory& memory();
    /// All slots; index 0 is never in use.
    [[nodiscard]] std::span<vcpu_slot> slots();
    /// State of each slot (enum exittop_slot_state).
    [[nodiscard]] std::span<std::uint8_t> slot_states();
    /// Clears a slot whose counts have been taken, and hands it back to the program.
    void release_slot(std::uint32_t slot_index);
    /// Finds the command line of a VM, as /proc would have it, by the slot of its vCPU 0: as it was
    /// at its first exit, its first 2 KiB; empty if it could not be read. Valid as long as the
    /// program lives, also if it is moved.
    [[nodiscard]] std::function<std::string(std::uint32_t slot)> command_lines() const;
    /// vCPUs that have no slot, by their place.
    [[nodiscard]] std::span<waiting_vcpu> waiting();
    /// Clears the place of a vCPU that no longer waits, once its counts were taken over.
    void release_waiting(std::uint32_t place);
    /// Ends the waiting of vCPUs whose end was missed.
    void end_waiting(const std::function<bool(const vcpu_identity& who)>& is_gone);
    /// Takes slots away from vCPUs, which then wait for others. Returns when no program writes to
    /// these slots any more.
    void evict(std::span<const std::uint32_t> slots);
    /// Gives these users no further slots; users that are no longer listed get slots again.
    void limit_users(const std::set<std::uint32_t>& uids);
    /// Ends the slot of a vCPU whose end was missed, if the slot is still that vCPU's.
    void end_slot(std::uint32_t slot_index, std::uint64_t vcpu);
    /// Updates how many more exits KVM itself counted (kvm_exits_more) in each vCPU's slot. Only
    /// while the programs are attached, since KVM goes on counting. Takes a few microseconds per
    /// vCPU.
    void look_at_kvm_counts();
    /// Detaches the program that learns how KVM counts, once it has: it slows each entry.
    void end_learning();
    /// Takes the memory for targets and attaches what else they need. Nothing is counted by target
    /// before count_by_target(). No effect if it is open.
    std::expected<void, Error> open_targets();
    /// Gives the memory back; exits are counted on without targets.
    void close_targets();
    /// Switches targets on for the vCPU in a slot; no effect while they are not open.
    void count_by_target(std::uint32_t slot_index);
    /// Finds the targets of a slot; without an area while they are not open. Valid as long as the
    /// program lives, also if it is moved.
    [[nodiscard]] std::function<TargetSource(std::uint32_t slot)> target_sources() const;
    /// Kernel memory of targets, in bytes; 0 while they are not open.
    [[nodiscard]] std::uint64_t target_bytes() const;
    [[nodiscard]] std::vector<ProgramFacts> programs() const;
    /// Starts or stops the kernel's measurement of BPF programs' times. It also stops with the
    /// value; the host's own setting (kernel.bpf_stats_enabled) is untouched. Needs Linux 5.8.
    std::expected<void, Error> measure_cost(bool on);
    /// Kernel memory of the maps, in bytes, without that of targets.
    [[nodiscard]] std::size_t memory_bytes() const;

    /// Runs a program once with made-up arguments (BPF_PROG_TEST_RUN), for tests and benchmarks.
    /// Named as in exittop.bpf.c. 0, or -errno.
    int test_run(const std::string& program, std::span<const std::uint64_t> arguments);

    /// Descriptor of a loaded program, or -1.
    [[nodiscard]] int descriptor(const std::string& program) const;

private:
    struct State;
    explicit BpfProgram(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace exittop
