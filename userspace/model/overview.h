// SPDX-License-Identifier: GPL-2.0-only
// What lists of all VMs and their counters need, at a fraction of the cost of a snapshot: no
// histograms, and no exits by vCPU.
#pragma once

#include <optional>
#include <vector>

#include "model/snapshot.h"

namespace exittop {

struct VmOverview : VmInfo {
    std::vector<VcpuInfo> vcpus{};   ///< Ascending by id.
    std::vector<ExitStats> exits{};  ///< Of all vCPUs, ascending by key_of(), without histograms.
    bool operator==(const VmOverview&) const = default;
};

struct Overview : SnapshotInfo {
    std::vector<VmOverview> vms{};  ///< Running ones and those that ended, in no order.
    std::optional<Vm> in_full{};    ///< The one of them that was asked for in full.
    bool operator==(const Overview&) const = default;
};

VmOverview overview_of(const Vm& vm);

/// As of a Vm.
bool is_uncounted(const VmOverview& vm);
inline const std::vector<ExitStats>& exits_by_reason(const VmOverview& vm) { return vm.exits; }

}  // namespace exittop
