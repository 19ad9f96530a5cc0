// SPDX-License-Identifier: GPL-2.0-only
#include "capture/slot_reader.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

#include "base/number.h"
#include "capture/shared_word.h"

namespace exittop {
namespace {

/// Where short or long buckets begin; nullptr if the offset leads out of the slot, which the BPF
/// program never writes: the memory was corrupted.
template <typename Counts>
const Counts* counts_at(const vcpu_slot& slot, std::size_t offset) {
    if (offset % alignof(Counts) != 0 || offset + sizeof(Counts) > sizeof slot) return nullptr;
    return reinterpret_cast<const Counts*>(reinterpret_cast<const std::uint8_t*>(&slot) + offset);
}

bool has_histogram(const exit_cell& cell) { return cell.short_at != EXITTOP_LOST_COUNTS_AT; }

/// Reads a cell's buckets as they are, and returns how many: up to that of the longest time, which
/// is written before a bucket is. Those behind it are empty, and need not be fetched.
std::size_t read_buckets(const vcpu_slot& slot, const exit_cell& cell, BucketCounts& counts) {
    const std::size_t end = bucket_of(load(cell.max_ns)) + 1;
    const std::size_t short_end = std::min<std::size_t>(end, EXITTOP_SHORT_BUCKETS);
    const auto* shorts = counts_at<short_counts>(slot, cell.short_at);
    if (!has_histogram(cell) || shorts == nullptr) return 0;
    for (std::size_t i = 0; i < short_end; ++i) counts[i] = load(shorts->count[i]);
    const auto* longs = counts_at<long_counts>(slot, cell.long_block * sizeof(long_counts));
    if (cell.long_block == 0 || longs == nullptr) return short_end;
    for (std::size_t i = short_end; i < end; ++i) {
        counts[i] = load(longs->count[i - EXITTOP_SHORT_BUCKETS]);
    }
    return end;
}

/// What a count of 32 bits is in full, given what it was in full at an earlier look: it has gained
/// less than 2^32 since.
std::uint64_t widened(std::uint64_t seen, std::uint64_t low) {
    return seen + static_cast<std::uint32_t>(low - seen);
}

Histogram read_histogram(const vcpu_slot& slot, unsigned number, const SeenBuckets& seen) {
    BucketCounts counts;
    const std::size_t end = read_buckets(slot, slot.cells[number], counts);
    if (const auto known = seen.find(number); known != seen.end()) {
        for (std::size_t i = 0; i < end; ++i) counts[i] = widened(known->second[i], counts[i]);
    }
    return Histogram(std::span(counts).first(end));
}

/// A part of the time, in a slot and in what is read from it.
struct SlotPart {
    u64 exit_parts::* slot;
    std::uint64_t ExitStats::* stats;
};
constexpr std::array slot_parts = {
    SlotPart{&exit_parts::vmm_ns, &ExitStats::vmm_ns},
    SlotPart{&exit_parts::polled_ns, &ExitStats::polled_ns},
    SlotPart{&exit_parts::preempted_ns, &ExitStats::preempted_ns},
    SlotPart{&exit_parts::halted_ns, &ExitStats::halted_ns},
    SlotPart{&exit_parts::blocked_ns, &ExitStats::blocked_ns},
};

/// All of a cell but its histogram; `stats` may be of another cell before.
void read_counts(const vcpu_slot& slot, unsigned number, ExitStats& stats) {
    const exit_cell& cell = slot.cells[number];
    const std::uint8_t flags = load(cell.flags);
    stats.code = cell.code;
    stats.level = (flags & EXITTOP_CELL_L2) != 0 ? GuestLevel::l2 : GuestLevel::l1;
    stats.count = load(cell.count);
    // The parts first, as they are written last: so they never are more than the time.
    const bool has_parts = (flags & EXITTOP_CELL_PARTS) != 0;
    for (const SlotPart& part : slot_parts) {
        stats.*part.stats = has_parts ? load(slot.parts[number].*part.slot) : 0;
    }
    stats.time_ns = load(cell.time_ns);
    stats.max_ns = load(cell.max_ns);
}

/// One more than the number of the last cell in use. Cell 0 is the overflow cell.
unsigned cells_end(const vcpu_slot& slot) {
    return std::min<unsigned>(load(slot.header.cells_used), EXITTOP_CELLS);
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
    vcpu.kvm_exits = counted + load(slot.cells[EXITTOP_OVERFLOW_CELL].count) + *untraced;
}

/// Exits of reasons that found no room for a histogram. Where histograms are not asked for, the
/// program never gets to lost_counts.
std::uint64_t without_histogram(const vcpu_slot& slot) {
    std::uint64_t exits = 0;
    for (unsigned number = 1; number < cells_end(slot); ++number) {
        if (!has_histogram(slot.cells[number])) exits += load(slot.cells[number].count);
    }
    const bool fills =
        exits != 0 && std::ranges::any_of(slot.lost_counts.count,
                                          [](const u32& count) { return load(count) != 0; });
    return fills ? exits : 0;
}

/// What the slot itself knows to be lost.
Lost read_lost(const vcpu_slot& slot) {
    const vcpu_header& header = slot.header;
    Lost lost;
    lost.reasons_full = load(slot.cells[EXITTOP_OVERFLOW_CELL].count);
    lost.histogram_full = load(header.histogram_full) + without_histogram(slot);
    lost.exit_without_entry = load(header.exit_without_entry);
    lost.split_missed = load(slot.times.vmm_missed);
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

/// Exits that a histogram lacks because a bucket wrapped unseen.
std::uint64_t missed(const ExitStats& stats) {
    if (stats.count >> 32 == 0) return 0;
    const std::uint64_t total = stats.histogram.total();
    if (total == 0 || stats.count < total) return 0;
    return (stats.count - total) >> 32 << 32;
}

VcpuInfo read_vcpu(const vcpu_slot& slot) {
    VcpuInfo vcpu;
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

SlotContents read_slot(const vcpu_slot& slot, std::uint64_t now_ns, const SeenBuckets& seen,
                       const TargetSource& targets) {
    SlotContents contents;
    std::vector<ExitStats>& exits = contents.vcpu.exits;
    const SlotNumbers numbers = read_slot_numbers(slot, now_ns, exits);
    static_cast<VcpuInfo&>(contents.vcpu) = numbers.vcpu;
    contents.lost = numbers.lost;
    add_unknown(contents.lost, exits, isa_of(slot.header));
    for (unsigned i = 0; i < exits.size(); ++i) {
        exits[i].histogram = read_histogram(slot, i + 1, seen);
        contents.lost.histogram_full += missed(exits[i]);
        if (targets.has(exits[i].code)) {
            exits[i].targets = read_targets(targets, isa_of(slot.header), i + 1, exits[i].code);
        }
    }
    std::ranges::sort(exits, {}, key_of);
    return contents;
}

SlotNumbers read_slot_numbers(const vcpu_slot& slot, std::uint64_t now_ns,
                              std::vector<ExitStats>& exits) {
    SlotNumbers numbers{read_vcpu(slot), read_lost(slot)};
    const unsigned end = cells_end(slot);
    // With many vCPUs none is in the cache: all are asked for before the first is waited for.
    for (unsigned number = 1; number < end; number += 2) __builtin_prefetch(&slot.cells[number]);
    exits.resize(end > 1 ? end - 1 : 0);
    std::uint64_t counted = 0, exits_ns = 0;
    for (unsigned number = 1; number < end; ++number) {
        ExitStats& stats = exits[number - 1];
        read_counts(slot, number, stats);
        counted += stats.count;
        exits_ns += stats.time_ns;
    }
    add_kvm_count(numbers.vcpu, slot, counted);
    numbers.vcpu.guest_ns = guest_time(slot.header, exits_ns, now_ns);
    return numbers;
}

void track_wraps(const vcpu_slot& slot, SeenBuckets& seen) {
    constexpr std::uint64_t may_wrap_soon = 1ULL << 31;
    for (unsigned number = 1; number < cells_end(slot); ++number) {
        const exit_cell& cell = slot.cells[number];
        if (load(cell.count) < may_wrap_soon) continue;
        BucketCounts now;
        const std::size_t end = read_buckets(slot, cell, now);
        BucketCounts& last = seen[number];
        for (std::size_t i = 0; i < end; ++i) last[i] = widened(last[i], now[i]);
    }
}

}  // namespace exittop
