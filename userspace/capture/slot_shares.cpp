// SPDX-License-Identifier: GPL-2.0-only
#include "capture/slot_shares.h"

#include <algorithm>
#include <utility>

#include "exittop_abi.h"

namespace exittop {

namespace {

/// Indices of the slots that the BPF program may give to a vCPU: slot_take() in bpf/slots.bpf.h.
std::vector<std::uint32_t> reachable(std::uint64_t vcpu, std::uint32_t max_vcpus) {
    const std::uint32_t hash_slots = max_vcpus + 1;  // As in the loader: slot 0 is one of them.
    const auto first = static_cast<std::uint32_t>(EXITTOP_HASH_SLOT_OF(vcpu, hash_slots));
    const std::uint32_t probes = std::min<std::uint32_t>(EXITTOP_INSERT_PROBES, hash_slots);
    std::vector<std::uint32_t> slots;
    for (std::uint32_t probe = 0; probe < probes; ++probe) {
        if (const std::uint32_t slot = (first + probe) % hash_slots; slot != 0) {
            slots.push_back(slot);
        }
    }
    for (std::uint32_t slot = hash_slots; slot < EXITTOP_SLOTS_OF(max_vcpus); ++slot) {
        slots.push_back(slot);
    }
    return slots;
}

/// A plan in the making.
class Planner {
public:
    Planner(std::span<const SlotUse> vcpus, std::uint32_t max_vcpus)
        : max_vcpus_(max_vcpus), users_(EXITTOP_SLOTS_OF(max_vcpus)), room_(max_vcpus) {
        std::map<std::uint32_t, std::uint32_t> wanted;
        for (const SlotUse& vcpu : vcpus) {
            ++wanted[vcpu.uid];
            ++of_user_[vcpu.uid].wanted;
            if (vcpu.slot == 0) {
                wait_.push_back(&vcpu);
                continue;
            }
            ++of_user_[vcpu.uid].held;
            users_[vcpu.slot] = &vcpu;
            if (room_ > 0) --room_;
        }
        for (const auto& [uid, share] : fair_shares(wanted, max_vcpus)) of_user_[uid].share = share;
        std::ranges::sort(wait_, {}, &SlotUse::first_ns);
    }

    SlotPlan plan() {
        SlotPlan plan;
        for (const SlotUse* waiting : wait_) {
            OfUser& user = of_user_[waiting->uid];
            if (user.held + user.promised >= user.share) continue;
            const auto slots = reachable(waiting->vcpu, max_vcpus_);
            if (finds_room(slots) || makes_room(slots, plan.evict)) ++user.promised;
        }
        // Users that gave one up will want it back.
        for (const auto& [uid, user] : of_user_) {
            if (user.wanted > user.held && user.held >= user.share) plan.limited.insert(uid);
        }
        return plan;
    }

private:
    struct OfUser {
        std::uint32_t wanted = 0, share = 0;
        std::uint32_t held = 0;
        std::uint32_t promised = 0;  ///< To be had at the next exits of vCPUs that wait.
    };

    /// Whether a vCPU gets one of the slots at its next exit without further action.
    bool finds_room(std::span<const std::uint32_t> slots) {
        if (room_ == 0) return false;
        const auto is_free = [this](std::uint32_t slot) { return users_[slot] == nullptr; };
        const auto found = std::ranges::find_if(slots, is_free);
        if (found == slots.end()) return false;
        users_[*found] = &promised_;
        --room_;
        return true;
    }

    /// Takes the slot of the newest vCPU in these slots whose user has more than its share.
    bool makes_room(std::span<const std::uint32_t> slots, std::vector<std::uint32_t>& evict) {
        const SlotUse* newest = nullptr;
        for (const std::uint32_t slot : slots) {
            const SlotUse* user = users_[slot];
            if (user == nullptr || user == &promised_ || user->pinned) continue;
            const OfUser& numbers = of_user_[user->uid];
            if (numbers.held <= numbers.share) continue;
            if (newest == nullptr || user->first_ns > newest->first_ns) newest = user;
        }
        if (newest == nullptr) return false;
        --of_user_[newest->uid].held;
        users_[newest->slot] = &promised_;
        evict.push_back(newest->slot);
        return true;
    }

    static constexpr SlotUse promised_{};
    std::uint32_t max_vcpus_;
    std::vector<const SlotUse*> users_;  // by slot; none: it is free
    std::uint32_t room_;                 // how many more vCPUs may have one
    std::vector<const SlotUse*> wait_;   // the oldest first
    std::map<std::uint32_t, OfUser> of_user_;
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
