// SPDX-License-Identifier: GPL-2.0-only
// Hand-written slots, as the BPF program would leave them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "exittop_abi.h"
#include "model/histogram.h"

namespace exittop::test {

/// A vCPU as it is first seen.
struct MadeVcpu {
    std::uint64_t kvm = 0xffff'0000'0000'1000;
    std::uint64_t first_ns = 100;
    std::uint32_t id = 0;
    std::uint32_t pid = 1000;
    std::uint32_t tid = 1001;
    std::string_view command = "qemu";
    std::uint32_t isa = 2;
    std::uint32_t paging = EXITTOP_PAGING_TDP;
};

inline vcpu_identity identity_of(const MadeVcpu& vcpu) {
    vcpu_identity who{};
    who.kvm = vcpu.kvm;
    who.first_ns = vcpu.first_ns;
    who.vcpu_id = vcpu.id;
    who.pid = vcpu.pid;
    who.tid = vcpu.tid;
    vcpu.command.copy(who.command, sizeof who.command);
    return who;
}

/// Writes into one slot, and its state, what the BPF program's workers would write.
class SlotWriter {
public:
    SlotWriter(vcpu_slot& slot, std::uint8_t& state) : slot_(slot), state_(state) {}

    void begin(const MadeVcpu& vcpu) {
        vcpu_header& header = slot_.header;
        header.who = identity_of(vcpu);
        header.vcpu = vcpu.kvm + 0x100000 + vcpu.id * 0x1000;
        header.isa = vcpu.isa;
        header.paging = vcpu.paging;
        header.blocks = EXITTOP_HEADER_BLOCKS;
        header.kvm_exits_first = 1'000'000;
        header.kvm_exits_more = EXITTOP_MORE_UNKNOWN;
        state_ = EXITTOP_SLOT_IN_USE;
    }

    void end(std::uint64_t ended_ns, std::int64_t kvm_exits_more = EXITTOP_MORE_UNKNOWN) {
        slot_.header.vcpu = 0;
        slot_.header.kvm_exits_more_at_end = kvm_exits_more;
        slot_.header.who.ended_ns = ended_ns;
        state_ = EXITTOP_SLOT_ENDED;
    }

    unsigned new_block() {
        if (slot_.header.blocks >= EXITTOP_OVERFLOW_CELL) throw std::length_error("slot is full");
        return slot_.header.blocks++;
    }

    exit_cell& cell_at(unsigned number) { return *static_cast<exit_cell*>(block(number)); }
    exit_words& words_at(unsigned number) { return *static_cast<exit_words*>(block(number)); }

    /// The cell of a code, created if there is none.
    exit_cell& cell(std::uint32_t code, std::uint8_t level = 1) {
        return cell_at(cell_number(code, level));
    }

    unsigned cell_number(std::uint32_t code, std::uint8_t level = 1) {
        vcpu_header& header = slot_.header;
        for (unsigned i = 0; i < header.cells; ++i) {
            const unsigned number = header.cell_blocks[i];
            if (cell_at(number).code == code && cell_at(number).level == level) return number;
        }
        const unsigned number = new_block();
        cell_at(number).code = code;
        cell_at(number).level = level;
        header.cell_blocks[header.cells++] = static_cast<std::uint8_t>(number);
        return number;
    }

    /// An extra block of a cell, made if there is none.
    exit_words& extra(exit_cell& cell, exittop_extra_block kind) {
        if (cell.extra[kind] == 0) cell.extra[kind] = static_cast<std::uint8_t>(new_block());
        return words_at(cell.extra[kind]);
    }

    /// `count` completed exits of `ns` each.
    void exits(std::uint32_t code, std::uint64_t ns, std::uint32_t count = 1,
               std::uint8_t level = 1) {
        exit_cell& made = cell(code, level);
        made.count += count;
        made.time_ns += ns * count;
        made.max_ns = std::max(made.max_ns, ns);
        const std::size_t bucket = bucket_of(ns);
        if (bucket < EXITTOP_SHORT_BUCKETS) {
            made.short_counts[bucket] += count;
        } else {
            extra(made, EXITTOP_LONG).word[bucket - EXITTOP_SHORT_BUCKETS] += count;
        }
    }

private:
    void* block(unsigned number) {
        return reinterpret_cast<std::uint8_t*>(&slot_) + std::size_t{number} * EXITTOP_BLOCK_SIZE;
    }

    vcpu_slot& slot_;
    std::uint8_t& state_;
};

/// All slots of a run; number 0 is never in use.
class FakeSlots {
public:
    explicit FakeSlots(std::uint32_t count) : slots_(count + 1), states_(count + 1) {}

    [[nodiscard]] std::span<vcpu_slot> all() { return slots_; }
    [[nodiscard]] std::span<const std::uint8_t> states() const { return states_; }
    SlotWriter at(std::uint32_t number) { return {slots_.at(number), states_.at(number)}; }
    SlotWriter begin(std::uint32_t number, const MadeVcpu& vcpu) {
        SlotWriter writer = at(number);
        writer.begin(vcpu);
        return writer;
    }
    /// One that waits for a slot, and its place.
    waiting_vcpu& wait(std::uint32_t place, const MadeVcpu& vcpu, std::uint64_t exits) {
        waiting_vcpu& waiting = waiting_.at(place);
        waiting.vcpu = vcpu.kvm + 0x100000 + vcpu.id * 0x1000;
        waiting.exits = exits;
        waiting.who = identity_of(vcpu);
        waiting.state = EXITTOP_SLOT_IN_USE;
        return waiting;
    }
    [[nodiscard]] std::span<waiting_vcpu> waiting() { return waiting_; }

    void clear(std::uint32_t number) {
        std::memset(static_cast<void*>(&slots_.at(number)), 0, sizeof(vcpu_slot));
        states_.at(number) = EXITTOP_SLOT_FREE;
    }

private:
    std::vector<vcpu_slot> slots_;
    std::vector<std::uint8_t> states_;
    std::vector<waiting_vcpu> waiting_{8};
};

}  // namespace exittop::test
