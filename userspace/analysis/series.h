// SPDX-License-Identifier: GPL-2.0-only
// Turns snapshots into series for monitoring: one label per VM, a bounded number of reasons, and
// counters that never decrease while a VM lives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "model/overview.h"
#include "model/snapshot.h"

namespace exittop {

/// Longest label of a VM in columns; what is longer ends in an ellipsis.
inline constexpr std::size_t label_columns = 200;

struct TargetSeries {
    std::string label;  ///< "0x6e0 write", "other", "unknown"; harmless.
    std::uint64_t count = 0;
    bool operator==(const TargetSeries&) const = default;
};

struct ReasonSeries {
    std::string label;  ///< "npf", "L2 CPUID", "other".
    ExitStats exits;
    /// By target; at the end "other" and "unknown", where there are some. Empty unless asked for
    /// and counted, for the reason "other", and by vCPU.
    std::vector<TargetSeries> targets{};
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
    /// Share of the vCPUs' time (in the guest, and in exits on a CPU) that was spent in
    /// exits since the series were last made.
    double exit_ratio = 0.0;
    std::vector<ReasonSeries> reasons;  ///< By level and code; at the end "other".
    std::vector<VcpuSeries> by_vcpu;    ///< Ascending by id; empty unless asked for.
};

struct SeriesOptions {
    std::uint32_t top_reasons = 20;  ///< Of each VM; the others are in "other".
    bool per_vcpu = false;
    std::uint32_t top_targets = 0;  ///< Of each reason; 0: no series by target.
};

/// What is remembered of the VMs from one set of series to the next. If a counter is lower than
/// before, Prometheus assumes a restart and counts all of it again, so no counter may decrease:
/// - A VM keeps its label until it has ended, and no other VM has that label meanwhile.
/// - A reason that has its own series keeps it; a reason that is part of "other" stays there.
/// - So does a target of a reason. One that made room for others in the kernel took its counts to
///   those that are not kept apart: its series keeps them, and they are taken off "other".
/// - Times never shrink, although they are read while the program runs and may be an exit off.
struct SeriesMemory {
    struct TargetMemory {
        struct Counts {
            std::uint64_t now = 0;   ///< When it was last seen,
            std::uint64_t gone = 0;  ///< and what it lost until then.
        };
        std::map<std::string, Counts> own_series;  ///< By target.
        std::uint64_t other = 0, unknown = 0;
    };
    struct VmMemory {
        std::string label;
        std::set<ReasonKey> own_series, folded;
        std::map<ReasonKey, TargetMemory> targets;
        ExitStats exits;
        std::uint64_t guest_ns = 0, untraced = 0;
        std::map<std::uint32_t, std::uint64_t> vcpu_guest_ns;
    };
    std::map<std::string, VmMemory> vms;  ///< By Vm::id.
};

/// In the order of their labels. Any process may claim any name, so the first VM with a name has it
/// as its label. VMs that come later while that VM exists, or at the same time, get their ids as
/// suffixes ("web#4242.1"). Each VM keeps its label for life, so none continues the series of
/// another. A VM that comes back under its name while its predecessor is written for the last time
/// is left out until the next update, and then has the name.
std::vector<VmSeries> make_series(const Snapshot& snapshot, const SeriesOptions& options,
                                  SeriesMemory& memory);
/// The same without histograms and, whatever is asked for, without series by vCPU.
std::vector<VmSeries> make_series(const Overview& overview, const SeriesOptions& options,
                                  SeriesMemory& memory);

}  // namespace exittop
