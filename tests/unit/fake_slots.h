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
        header.cells_used = EXITTOP_OVERFLOW_CELL + 1;
        header.short_end = EXITTOP_SHORT_BEGIN;
        header.long_block_begin = EXITTOP_LONG_END;
        slot_.cells[EXITTOP_OVERFLOW_CELL].short_at = EXITTOP_LOST_COUNTS_AT;
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

    /// The cell of a code, created if there is none.
    exit_cell& cell(std::uint32_t code, std::uint8_t level = 1) {
        return slot_.cells[cell_number(code, level)];
    }

    unsigned cell_number(std::uint32_t code, std::uint8_t level = 1) {
        vcpu_header& header = slot_.header;
        const std::uint8_t flags = level == 2 ? EXITTOP_CELL_L2 : 0;
        for (unsigned number = 1; number < header.cells_used; ++number) {
            const exit_cell& cell = slot_.cells[number];
            if (cell.code == code && (cell.flags & EXITTOP_CELL_L2) == flags) return number;
        }
        if (header.cells_used >= EXITTOP_CELLS) throw std::length_error("slot is full");
        exit_cell& made = slot_.cells[header.cells_used];
        made.code = code;
        made.flags = flags;
        made.short_at = static_cast<std::uint16_t>(header.short_end);
        header.short_end += sizeof(short_counts);
        return header.cells_used++;
    }

    /// The parts of a cell's time.
    exit_parts& parts(exit_cell& cell) {
        cell.flags |= EXITTOP_CELL_PARTS;
        return slot_.parts[&cell - slot_.cells];
    }

    short_counts& shorts(const exit_cell& cell) {
        return *reinterpret_cast<short_counts*>(bytes() + cell.short_at);
    }

    /// The long buckets of a cell, made if it has none.
    long_counts& longs(exit_cell& cell) {
        if (cell.long_block == 0)
            cell.long_block = static_cast<std::uint8_t>(--slot_.header.long_block_begin);
        return *reinterpret_cast<long_counts*>(bytes() + cell.long_block * sizeof(long_counts));
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
            shorts(made).count[bucket] += count;
        } else {
            longs(made).count[bucket - EXITTOP_SHORT_BUCKETS] += count;
        }
    }

private:
    std::uint8_t* bytes() { return reinterpret_cast<std::uint8_t*>(&slot_); }

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
