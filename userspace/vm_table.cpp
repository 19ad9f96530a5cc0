// SPDX-License-Identifier: GPL-2.0-only
#include "vm_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <tuple>
#include <utility>

namespace exittop {
namespace {

/// A word that the BPF program may be writing: read once, whole.
template <typename Word>
Word load(const Word& word) {
    return std::atomic_ref<Word>(const_cast<Word&>(word)).load(std::memory_order_acquire);
}

const std::uint8_t* block_of(const vcpu_slot& slot, unsigned number) {
    return reinterpret_cast<const std::uint8_t*>(&slot) +
           std::size_t(number % EXITTOP_SLOT_BLOCKS) * EXITTOP_BLOCK_SIZE;
}

const exit_cell& cell_of(const vcpu_slot& slot, unsigned number) {
    return *reinterpret_cast<const exit_cell*>(block_of(slot, number));
}

/// Count of a bucket of which `low` is in the block (or cell) at hand and the rest, if it ever
/// wrapped, in the block `carry`.
std::uint64_t bucket_count(const vcpu_slot& slot, std::uint32_t low, unsigned carry,
                           unsigned word) {
    if (carry == 0) return low;
    const auto& high = *reinterpret_cast<const exit_words*>(block_of(slot, carry));
    return (std::uint64_t(load(high.word[word])) << 32) | low;
}

Histogram read_histogram(const vcpu_slot& slot, const exit_cell& cell) {
    Histogram histogram;
    for (unsigned i = 0; i < EXITTOP_NEAR_BUCKETS; ++i) {
        histogram.add(i, bucket_count(slot, load(cell.near[i]), cell.extra[EXITTOP_NEAR_CARRY], i));
    }
    if (cell.extra[EXITTOP_FAR] == 0) return histogram;
    const auto& far = *reinterpret_cast<const exit_words*>(block_of(slot, cell.extra[EXITTOP_FAR]));
    for (unsigned i = 0; i < EXITTOP_FAR_BUCKETS; ++i) {
        histogram.add(EXITTOP_NEAR_BUCKETS + i,
                      bucket_count(slot, load(far.word[i]), cell.extra[EXITTOP_FAR_CARRY], i));
    }
    return histogram;
}

ExitStats read_cell(const vcpu_slot& slot, unsigned number) {
    const exit_cell& cell = cell_of(slot, number);
    ExitStats stats;
    stats.code = cell.code;
    stats.level = cell.level == 2 ? GuestLevel::l2 : GuestLevel::l1;
    stats.count = load(cell.count);
    stats.time_ns = load(cell.time_ns);
    stats.max_ns = load(cell.max_ns);
    stats.vmm_ns = load(cell.vmm_ns);
    stats.halted_ns = load(cell.halted_ns);
    stats.histogram = read_histogram(slot, cell);

    // Of the exit being handled, parts are there already while its time is not.
    const vcpu_header& header = slot.header;
    const std::uint64_t pending = load(header.exit_ns);
    if (pending != 0 && header.split_exit_ns == pending && header.cell == number) {
        stats.vmm_ns -= std::min(stats.vmm_ns, header.split_vmm_ns);
        stats.halted_ns -= std::min(stats.halted_ns, header.split_halted_ns);
    }
    return stats;
}

Isa isa_of(const vcpu_header& header) { return static_cast<Isa>(header.isa); }

Paging paging_of(const vcpu_header& header) {
    if (header.paging == EXITTOP_PAGING_SHADOW) return Paging::shadow;
    if (header.paging != EXITTOP_PAGING_TDP) return Paging::unknown;
    if (isa_of(header) == Isa::vmx) return Paging::ept;
    return isa_of(header) == Isa::svm ? Paging::npt : Paging::unknown;
}

std::string command_of(const vcpu_header& header) {
    return {header.command, strnlen(header.command, sizeof header.command)};
}

void add_lost(Lost& sum, const Lost& more) {
    for (const LostCause& cause : lost_causes()) sum.*cause.value += more.*cause.value;
}

/// A vCPU that has not exited yet has no ISA, and with it no name for its paging.
void complete(Vm& vm, const vcpu_header& header) {
    if (vm.isa == Isa::unknown) vm.isa = isa_of(header);
    if (vm.paging == Paging::unknown) vm.paging = paging_of(header);
}

}  // namespace

SlotContents read_slot(const vcpu_slot& slot) {
    const vcpu_header& header = slot.header;
    SlotContents contents;
    contents.vcpu.id = header.vcpu_id;
    contents.vcpu.tid = header.tid;
    const unsigned cells = std::min<unsigned>(load(header.cells), EXITTOP_CELLS);
    for (unsigned i = 0; i < cells; ++i) {
        const ExitStats stats = read_cell(slot, header.cell_blocks[i]);
        if (stats.code != EXITTOP_CODE_UNREADABLE && !find_exit_reason(isa_of(header), stats.code)) {
            contents.lost.unknown_code += stats.count;
        }
        contents.vcpu.exits.push_back(stats);
    }
    std::ranges::sort(contents.vcpu.exits, {},
                      [](const ExitStats& stats) { return std::tuple(stats.level, stats.code); });

    contents.lost.reasons_full = load(cell_of(slot, EXITTOP_REST_CELL).count);
    contents.lost.histogram_full = load(header.histogram_full);
    contents.lost.unknown_isa = load(header.unknown_isa);
    contents.lost.exit_without_entry = load(header.exit_without_entry);
    contents.lost.entry_without_exit = load(header.entry_without_exit);
    return contents;
}

std::size_t VmTable::entry_of(const vcpu_header& header) {
    if (const auto newest = newest_by_kvm_.find(header.kvm); newest != newest_by_kvm_.end()) {
        const Entry& entry = entries_[newest->second];
        if (entry.first_ended_ns == 0 || header.first_ns < entry.first_ended_ns) {
            return newest->second;
        }
    }

    Entry entry;
    const VmIdentity identity = identify_(header.pid, command_of(header));
    entry.vm.pid = header.pid;
    entry.vm.name = identity.name;
    entry.vm.uuid = identity.uuid;
    entry.vm.vmm = identity.vmm;
    entry.vm.id = fmt::format("{}.{}", header.pid, ++vms_of_pid_[header.pid]);
    entries_.push_back(std::move(entry));
    return newest_by_kvm_[header.kvm] = entries_.size() - 1;
}

void VmTable::take_over(const vcpu_slot& slot, std::uint32_t number) {
    Entry& entry = entries_[owner_[number]];
    complete(entry.vm, slot.header);
    SlotContents contents = read_slot(slot);
    add_lost(ended_lost_, contents.lost);
    entry.vm.vcpus.push_back(std::move(contents.vcpu));
    std::erase(entry.live, number);
    if (entry.first_ended_ns == 0 || slot.header.ended_ns < entry.first_ended_ns) {
        entry.first_ended_ns = slot.header.ended_ns;
    }
    entry.vm.ended = entry.live.empty();
    owner_[number] = no_entry;
}

void VmTable::update(std::span<const vcpu_slot> slots, const Release& release) {
    owner_.resize(slots.size(), no_entry);
    // In the order of their first event, so that a VM is seen before another takes its address.
    std::vector<std::uint32_t> numbers;
    for (std::uint32_t number = 0; number < slots.size(); ++number) {
        const auto state = load(slots[number].header.state);
        if (state == EXITTOP_SLOT_ENDED ||
            (state == EXITTOP_SLOT_IN_USE && owner_[number] == no_entry)) {
            numbers.push_back(number);
        }
    }
    std::ranges::sort(numbers, {}, [&](auto number) { return slots[number].header.first_ns; });

    for (const std::uint32_t number : numbers) {
        const vcpu_header& header = slots[number].header;
        if (owner_[number] == no_entry) {
            owner_[number] = entry_of(header);
            entries_[owner_[number]].live.push_back(number);
        }
        if (load(header.state) == EXITTOP_SLOT_ENDED) {
            take_over(slots[number], number);
            release(number);
        }
    }
}

VmTable::Contents VmTable::contents(std::span<const vcpu_slot> slots) const {
    Contents result{{}, ended_lost_};
    for (const Entry& entry : entries_) {
        Vm vm = entry.vm;
        for (const std::uint32_t number : entry.live) {
            complete(vm, slots[number].header);
            SlotContents contents = read_slot(slots[number]);
            vm.vcpus.push_back(std::move(contents.vcpu));
            add_lost(result.lost, contents.lost);
        }
        std::ranges::sort(vm.vcpus, {}, &Vcpu::id);
        result.vms.push_back(std::move(vm));
    }
    std::ranges::stable_sort(result.vms, {},
                             [](const Vm& vm) { return std::tie(vm.name, vm.id); });
    return result;
}

}  // namespace exittop
