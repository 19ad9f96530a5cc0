// SPDX-License-Identifier: GPL-2.0-only
// Decides whose vCPUs get the slots if there are fewer slots than vCPUs: no user has more than its
// share while others want some.
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
    bool pinned = false;  ///< Its slot is not taken away: its guest reads what is in there.
};

/// What makes room for those who wait.
struct SlotPlan {
    std::vector<std::uint32_t> evict;  ///< Slots that their vCPUs are to give up.
    std::set<std::uint32_t> limited;   ///< Users who may have no further slot for now.
    bool operator==(const SlotPlan&) const = default;
};

/// How many slots each user may have (max-min fair): all that it wants, if that leaves as many for
/// every other user that wants them. The sum is the number of slots, or of slots wanted.
std::map<std::uint32_t, std::uint32_t> fair_shares(
    const std::map<std::uint32_t, std::uint32_t>& wanted, std::uint32_t slots);

/// Who gives up which slot, the newest vCPU first, so that each user has its share. A waiting vCPU
/// can only use a slot within INSERT_PROBES, or an overflow slot (exittop_abi.h).
SlotPlan plan_slots(std::span<const SlotUse> vcpus, std::uint32_t max_vcpus);

}  // namespace exittop
