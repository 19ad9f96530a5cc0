// SPDX-License-Identifier: GPL-2.0-only
#include "capture/slot_reader.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <span>
#include <thread>
#include <utility>

namespace exittop {
namespace {

const std::uint8_t* block_of(const vcpu_slot& slot, unsigned block_index) {
    return reinterpret_cast<const std::uint8_t*>(&slot) +
           std::size_t(block_index % EXITTOP_SLOT_BLOCKS) * EXITTOP_BLOCK_SIZE;
}

const exit_cell& cell_of(const vcpu_slot& slot, unsigned block_index) {
    return *reinterpret_cast<const exit_cell*>(block_of(slot, block_index));
}

/// Reads what the program may be rearranging (vcpu_header::layout_seq): again, until nothing was.
/// That takes it far less than a microsecond, with interrupts off; in memory that somebody else
/// wrote to it may never end.
auto read_at_rest(const vcpu_header& header, auto read) {
    using Clock = std::chrono::steady_clock;
    std::optional<Clock::time_point> begun;
    for (;;) {
        const std::uint32_t before = load(header.layout_seq);
        auto contents = read();
        std::atomic_thread_fence(std::memory_order_acquire);
        if (before % 2 == 0 && load(header.layout_seq) == before) return contents;
        if (!begun) begun = Clock::now();
        if (Clock::now() - *begun > std::chrono::seconds(1)) return contents;
        std::this_thread::yield();
    }
}

/// Count of a bucket from its low half and, if that ever wrapped, the word in the block of high
/// halves
/// (`high_block`; 0: it did not).
std::uint64_t bucket_count(const vcpu_slot& slot, std::uint32_t low, unsigned high_block,
                           unsigned word) {
    if (high_block == 0) return low;
    const auto& high = *reinterpret_cast<const exit_words*>(block_of(slot, high_block));
    return (std::uint64_t(load(high.word[word])) << 32) | low;
}

/// Of the buckets up to that of the longest time, which is written before a bucket is: those behind
/// it are empty, and most of a cell need not be fetched.
Histogram read_histogram(const vcpu_slot& slot, const exit_cell& cell, std::uint64_t max_ns) {
    std::array<std::uint64_t, histogram_buckets> counts;
    const auto end = static_cast<unsigned>(bucket_of(max_ns)) + 1;
    const unsigned shorts = std::min<unsigned>(end, EXITTOP_SHORT_BUCKETS);
    const unsigned longs = cell.extra[EXITTOP_LONG] != 0 ? end - shorts : 0;
    for (unsigned i = 0; i < shorts; ++i) {
        counts[i] =
            bucket_count(slot, load(cell.short_counts[i]), cell.extra[EXITTOP_SHORT_HIGH], i);
    }
    const auto& words =
        *reinterpret_cast<const exit_words*>(block_of(slot, cell.extra[EXITTOP_LONG]));
    for (unsigned i = 0; i < longs; ++i) {
        counts[shorts + i] =
            bucket_count(slot, load(words.word[i]), cell.extra[EXITTOP_LONG_HIGH], i);
    }
    return Histogram(std::span(counts).first(shorts + longs));
}

/// All of a cell but its histogram.
ExitStats read_counts(const vcpu_slot& slot, unsigned block_index) {
    const exit_cell& cell = cell_of(slot, block_index);
    ExitStats stats;
    stats.code = cell.code;
    stats.level = cell.level == 2 ? GuestLevel::l2 : GuestLevel::l1;
    stats.count = load(cell.count);
    stats.time_ns = load(cell.time_ns);
    stats.max_ns = load(cell.max_ns);
    stats.vmm_ns = load(cell.vmm_ns);
    stats.halted_ns = load(cell.halted_ns);

    // Of the exit being handled, parts are there already while its time is not.
    const vcpu_header& header = slot.header;
    const std::uint64_t pending = load(header.exit_ns);
    if (pending != 0 && header.split_exit_ns == pending &&
        header.cell == block_index * EXITTOP_BLOCK_SIZE) {
        stats.vmm_ns -= std::min(stats.vmm_ns, header.split_vmm_ns);
        stats.halted_ns -= std::min(stats.halted_ns, header.split_halted_ns);
    }
    return stats;
}

/// How many more exits KVM counted itself; none where that is not known, or cannot be: its count
/// went back (somebody reset the statistics), or it re-entered without counting (Linux 5.10).
std::optional<std::uint64_t> untraced_exits(const vcpu_header& header) {
    const bool has_ended = load(header.who.ended_ns) != 0;
    const s64 more = load(has_ended ? header.kvm_exits_more_at_end : header.kvm_exits_more);
    if (more < 0) return std::nullopt;
    return static_cast<std::uint64_t>(more);
}

/// Notes what is known of KVM's own count of a vCPU, of which `counted` exits have a reason.
void add_kvm_count(VcpuInfo& vcpu, const vcpu_slot& slot, std::uint64_t counted) {
    const auto untraced = untraced_exits(slot.header);
    if (!untraced) return;
    vcpu.untraced = *untraced;
    vcpu.kvm_exits = counted + load(cell_of(slot, EXITTOP_OVERFLOW_CELL).count) + *untraced;
}

unsigned cells_in_use(const vcpu_slot& slot) {
    return std::min<unsigned>(load(slot.header.cells), EXITTOP_CELLS);
}

/// Calls `use` with the block index of each cell in use.
void for_each_cell(const vcpu_slot& slot, auto use) {
    const std::span block_indices(slot.header.cell_blocks, cells_in_use(slot));
    // With many vCPUs none is in the cache: all are asked for before the first is waited for.
    for (const unsigned block_index : block_indices)
        __builtin_prefetch(&cell_of(slot, block_index));
    for (const unsigned block_index : block_indices) use(block_index);
}

/// What the slot itself knows to be lost.
Lost read_lost(const vcpu_slot& slot) {
    const vcpu_header& header = slot.header;
    Lost lost;
    lost.reasons_full = load(cell_of(slot, EXITTOP_OVERFLOW_CELL).count);
    lost.histogram_full = load(header.histogram_full);
    lost.exit_without_entry = load(header.exit_without_entry);
    // Where KVM's own count is known, what entries tell of exits that it did not trace is in there.
    if (const auto untraced = untraced_exits(header)) {
        lost.untraced = *untraced;
    } else {
        lost.entry_without_exit = load(header.entry_without_exit);
    }
    return lost;
}

/// Time that a vCPU spent in the guest: its life without its exits, of which `exits_ns` were
/// completed and one may be under way.
std::uint64_t guest_time(const vcpu_header& header, std::uint64_t exits_ns, std::uint64_t now_ns) {
    const std::uint64_t ended = load(header.who.ended_ns);
    const std::uint64_t pending = load(header.exit_ns);
    std::uint64_t end = ended != 0 ? ended : now_ns;
    if (pending != 0 && pending < end) end = pending;
    const std::uint64_t first = header.who.first_ns;
    const std::uint64_t life = end > first ? end - first : 0;
    return life > exits_ns ? life - exits_ns : 0;
}

Vcpu read_vcpu(const vcpu_slot& slot) {
    Vcpu vcpu;
    vcpu.id = slot.header.who.vcpu_id;
    vcpu.tid = slot.header.who.tid;
    return vcpu;
}

}  // namespace

Isa isa_of(const vcpu_header& header) { return static_cast<Isa>(header.isa); }

Paging paging_of(const vcpu_header& header) {
    if (header.paging == EXITTOP_PAGING_SHADOW) return Paging::shadow;
    if (header.paging != EXITTOP_PAGING_TDP) return Paging::unknown;
    const IsaFacts* facts = find_isa(isa_of(header));
    return facts != nullptr ? facts->nested_paging : Paging::unknown;
}

std::string command_of(const vcpu_identity& who) {
    return {who.command, strnlen(who.command, sizeof who.command)};
}

Vcpu read_waiting(const waiting_vcpu& waiting) {
    Vcpu vcpu;
    vcpu.id = waiting.who.vcpu_id;
    vcpu.tid = waiting.who.tid;
    vcpu.uncounted = load(waiting.exits);
    return vcpu;
}

void add_unknown(Lost& lost, const std::vector<ExitStats>& exits, Isa isa) {
    for (const ExitStats& stats : exits) {
        if (stats.code == EXITTOP_CODE_UNREADABLE) {
            lost.unknown_isa += stats.count;
        } else if (!find_exit_reason(isa, stats.code)) {
            lost.unknown_code += stats.count;
        }
    }
}

SlotContents read_slot(const vcpu_slot& slot, std::uint64_t now_ns) {
    SlotContents contents;
    contents.vcpu = read_vcpu(slot);
    contents.vcpu.exits = read_at_rest(slot.header, [&slot] {
        std::vector<ExitStats> exits;
        exits.reserve(cells_in_use(slot));
        for_each_cell(slot, [&](unsigned block_index) {
            ExitStats stats = read_counts(slot, block_index);
            stats.histogram = read_histogram(slot, cell_of(slot, block_index), stats.max_ns);
            exits.push_back(std::move(stats));
        });
        return exits;
    });
    std::ranges::sort(contents.vcpu.exits, {}, key_of);
    contents.lost = read_lost(slot);
    add_unknown(contents.lost, contents.vcpu.exits, isa_of(slot.header));
    std::uint64_t exits_ns = 0, counted = 0;
    for (const ExitStats& stats : contents.vcpu.exits) {
        exits_ns += stats.time_ns;
        counted += stats.count;
    }
    add_kvm_count(contents.vcpu, slot, counted);
    contents.vcpu.guest_ns = guest_time(slot.header, exits_ns, now_ns);
    return contents;
}

SlotNumbers read_slot_numbers(const vcpu_slot& slot, std::uint64_t now_ns,
                              std::vector<ExitStats>& exits) {
    SlotNumbers numbers{read_vcpu(slot), read_lost(slot)};
    exits.clear();
    for_each_cell(slot,
                  [&](unsigned block_index) { exits.push_back(read_counts(slot, block_index)); });
    ExitStats sum;
    for (const ExitStats& stats : exits) sum.add_numbers(stats);
    add_kvm_count(numbers.vcpu, slot, sum.count);
    numbers.vcpu.guest_ns = guest_time(slot.header, sum.time_ns, now_ns);
    return numbers;
}

}  // namespace exittop
