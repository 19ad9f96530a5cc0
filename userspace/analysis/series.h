// SPDX-License-Identifier: GPL-2.0-only
// From a snapshot to the series that a fleet's monitoring keeps: one label per VM, a bounded number
// of reasons, and counters that never go back while a VM lives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "model/overview.h"
#include "model/snapshot.h"

namespace exittop {

/// Longest label of a VM in columns; what is longer ends in an ellipsis.
inline constexpr std::size_t label_columns = 200;

struct ReasonSeries {
    std::string label;  ///< "npf", "L2 CPUID", "other".
    ExitStats exits;
};

struct VcpuSeries {
    std::uint32_t id = 0;
    std::uint64_t guest_ns = 0;
    std::vector<ReasonSeries> reasons;
};

struct VmSeries {
    std::string label;  ///< The VM's name, harmless, and no other VM's in the same set; see below.
    VmInfo identity;
    std::size_t vcpus = 0;
    std::uint64_t guest_ns = 0;
    ExitStats exits;                        ///< All of them, without code and histogram.
    std::optional<std::uint64_t> untraced;  ///< Exits that KVM counted only itself; none: unknown.
    std::uint64_t uncounted = 0;            ///< Exits of vCPUs while they had no slot.
    /// Of the time that the vCPUs wanted to run (in the guest and in exits, halted time left out),
    /// the part that went to exits, since the series were made last.
    double exit_ratio = 0.0;
    std::vector<ReasonSeries> reasons;  ///< By level and code; at the end "other".
    std::vector<VcpuSeries> by_vcpu;    ///< Ascending by id; empty unless asked for.
};

struct SeriesOptions {
    std::uint32_t top_reasons = 20;  ///< Of each VM; the others are in "other".
    bool per_vcpu = false;
};

/// What is remembered of the VMs of one set of series for the next. Prometheus takes a counter that
/// is lower than before for a restarted one and counts all of it anew, so none may go back:
/// - A VM that has a label keeps it until it has ended, and no other has it meanwhile.
/// - A reason that has a series of its own keeps it, and one that is part of "other" stays there.
/// - Times that are read beside the running program, and may be an exit off, never shrink.
struct SeriesMemory {
    struct VmMemory {
        std::string label;
        std::set<ReasonKey> own_series, folded;
        ExitStats exits;
        std::uint64_t guest_ns = 0, untraced = 0;
        std::map<std::uint32_t, std::uint64_t> vcpu_guest_ns;
    };
    std::map<std::string, VmMemory> vms;  ///< By Vm::id.
};

/// In the order of their labels. A name is a process's own claim: the VM that came with it first
/// has it as its label, those that come while that one is there are told apart by their ids
/// ("web#4242.1"), as are those that came together; and this for as long as each lives, so that
/// none gets the series of another when that ends. One that comes back under its name while the one
/// before is written for the last time is not among them yet: it has the name from the next on.
std::vector<VmSeries> make_series(const Snapshot& snapshot, const SeriesOptions& options,
                                  SeriesMemory& memory);
/// The same without histograms and, whatever is asked for, without series by vCPU.
std::vector<VmSeries> make_series(const Overview& overview, const SeriesOptions& options,
                                  SeriesMemory& memory);

}  // namespace exittop
