// SPDX-License-Identifier: GPL-2.0-only
// Whose vCPUs get the slots when there are fewer than vCPUs: no user more than its share while
// others want some.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <vector>

namespace exittop {

/// A vCPU that exits, and where it is counted.
struct SlotUse {
    std::uint64_t vcpu = 0;  ///< Address of its struct kvm_vcpu.
    std::uint32_t uid = 0;   ///< Of the process that runs it.
    std::uint32_t slot = 0;  ///< 0: it waits for one.
    std::uint64_t first_ns = 0;
};

/// What makes room for those who wait.
struct SlotPlan {
    std::vector<std::uint32_t> evict;  ///< Slots that their vCPUs are to give up.
    std::set<std::uint32_t> limited;   ///< Users who may have no further slot for now.
    bool operator==(const SlotPlan&) const = default;
};

/// How many of the slots each user may have: all that it wants, where that leaves as many for each
/// other one that wants them (max-min fair). All together as many as there are, or are wanted.
std::map<std::uint32_t, std::uint32_t> fair_shares(
    const std::map<std::uint32_t, std::uint32_t>& wanted, std::uint32_t slots);

/// Who gives up which slot, the newest vCPU first, so that each user has its share. One that a
/// waiting vCPU can get is within INSERT_PROBES, or an overflow slot (exittop_abi.h).
SlotPlan plan_slots(std::span<const SlotUse> vcpus, std::uint32_t max_vcpus);

}  // namespace exittop
