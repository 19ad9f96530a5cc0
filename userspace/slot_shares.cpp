// SPDX-License-Identifier: GPL-2.0-only
#include "slot_shares.h"

#include <algorithm>
#include <utility>

#include "exittop_abi.h"

namespace exittop {

namespace {

/// Whether the BPF program would give that slot to the vCPU: slot_take() in bpf/slots.bpf.h.
bool can_get(std::uint64_t vcpu, std::uint32_t slot, std::uint32_t max_vcpus) {
    const std::uint32_t homes = max_vcpus + 1;  // The loader's: slot 0 is one.
    if (slot >= homes) return true;
    const auto home = static_cast<std::uint32_t>(EXITTOP_HOME_OF(vcpu, homes));
    return (slot + homes - home) % homes < EXITTOP_CREATE_WAYS;
}

/// A plan in the making.
class Planner {
public:
    Planner(std::span<const SlotUse> vcpus, std::uint32_t max_vcpus) : max_vcpus_(max_vcpus) {
        free_.resize(EXITTOP_SLOTS_OF(max_vcpus), true);
        free_[0] = false;
        for (const SlotUse& vcpu : vcpus) {
            ++wanted_[vcpu.uid];
            (vcpu.slot != 0 ? have_ : wait_).push_back(vcpu);
            if (vcpu.slot == 0) continue;
            ++held_[vcpu.uid];
            free_[vcpu.slot] = false;
        }
        shares_ = fair_shares(wanted_, max_vcpus);
        std::ranges::sort(wait_, {}, &SlotUse::first_ns);
        std::ranges::sort(have_, std::ranges::greater{}, &SlotUse::first_ns);
        room_ = max_vcpus - std::min<std::uint32_t>(max_vcpus, std::uint32_t(have_.size()));
    }

    SlotPlan plan() {
        SlotPlan plan;
        for (const SlotUse& waiting : wait_) {
            if (held_[waiting.uid] + promised_[waiting.uid] >= shares_[waiting.uid]) continue;
            if (finds_room(waiting) || makes_room(waiting, plan.evict)) ++promised_[waiting.uid];
        }
        // Those who gave one up will want it back.
        for (const auto& [uid, count] : wanted_) {
            if (count > held_[uid] && held_[uid] >= shares_[uid]) plan.limited.insert(uid);
        }
        return plan;
    }

private:
    /// Whether a vCPU gets a slot at its next exit without anybody's doing.
    bool finds_room(const SlotUse& waiting) {
        if (room_ == 0) return false;
        for (std::uint32_t slot = 1; slot < free_.size(); ++slot) {
            if (!free_[slot] || !can_get(waiting.vcpu, slot, max_vcpus_)) continue;
            free_[slot] = false;
            --room_;
            return true;
        }
        return false;
    }

    /// Has the newest vCPU give up its slot that can, of a user who has more than its share.
    bool makes_room(const SlotUse& waiting, std::vector<std::uint32_t>& evict) {
        const auto found = std::ranges::find_if(have_, [&](const SlotUse& vcpu) {
            return held_[vcpu.uid] > shares_[vcpu.uid] &&
                   can_get(waiting.vcpu, vcpu.slot, max_vcpus_);
        });
        if (found == have_.end()) return false;
        --held_[found->uid];
        evict.push_back(found->slot);
        have_.erase(found);
        return true;
    }

    std::uint32_t max_vcpus_;
    std::vector<SlotUse> wait_;  // the oldest first
    std::vector<SlotUse> have_;  // the newest first
    std::vector<bool> free_;     // by slot
    std::uint32_t room_ = 0;     // how many vCPUs may still have one
    std::map<std::uint32_t, std::uint32_t> wanted_, shares_, held_, promised_;  // by user
};

}  // namespace

std::map<std::uint32_t, std::uint32_t> fair_shares(
    const std::map<std::uint32_t, std::uint32_t>& wanted, std::uint32_t slots) {
    std::vector<std::pair<std::uint32_t, std::uint32_t>> modest_first;  // wanted, by whom
    for (const auto& [uid, count] : wanted) modest_first.emplace_back(count, uid);
    std::ranges::sort(modest_first);
    std::map<std::uint32_t, std::uint32_t> shares;
    auto users = static_cast<std::uint32_t>(modest_first.size());
    for (const auto& [count, uid] : modest_first) {
        shares[uid] = std::min(count, slots / users--);
        slots -= shares[uid];
    }
    return shares;
}

SlotPlan plan_slots(std::span<const SlotUse> vcpus, std::uint32_t max_vcpus) {
    if (std::ranges::find(vcpus, 0U, &SlotUse::slot) == vcpus.end()) return {};
    return Planner(vcpus, max_vcpus).plan();
}

}  // namespace exittop
