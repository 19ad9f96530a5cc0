// SPDX-License-Identifier: GPL-2.0-only
#include "capture/vm_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <optional>
#include <set>
#include <thread>
#include <tuple>
#include <utility>

namespace exittop {
namespace {

/// A word that the BPF program may be writing: read once, whole.
template <typename Word>
Word load(const Word& word) {
    return std::atomic_ref<Word>(const_cast<Word&>(word)).load(std::memory_order_acquire);
}

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

/// A vCPU that has not exited yet has no ISA, and with it no name for its paging.
void complete(VmInfo& vm, const vcpu_header& header) {
    if (vm.isa == Isa::unknown) vm.isa = isa_of(header);
    if (vm.paging == Paging::unknown) vm.paging = paging_of(header);
}

Vcpu read_vcpu(const vcpu_slot& slot) {
    Vcpu vcpu;
    vcpu.id = slot.header.who.vcpu_id;
    vcpu.tid = slot.header.who.tid;
    return vcpu;
}

Vcpu read_waiting(const waiting_vcpu& waiting) {
    Vcpu vcpu;
    vcpu.id = waiting.who.vcpu_id;
    vcpu.tid = waiting.who.tid;
    vcpu.uncounted = load(waiting.exits);
    return vcpu;
}

/// Adds a vCPU, which may be in the list from another time.
void add_vcpu(auto& vcpus, auto vcpu) {
    const auto known = std::ranges::find(vcpus, vcpu.id, &VcpuInfo::id);
    if (known != vcpus.end()) {
        *known += vcpu;
    } else {
        vcpus.push_back(std::move(vcpu));
    }
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

/// Adds the numbers of a vCPU's n-th reason to the sums of its VM, in no order: the vCPUs of a VM
/// met their reasons in much the same order, so that most are found at once.
void add_nth(std::vector<ExitStats>& sums, std::size_t nth, const ExitStats& stats) {
    if (nth >= sums.size() || key_of(sums[nth]) != key_of(stats)) {
        const auto found = std::ranges::find(sums, key_of(stats), key_of);
        nth = static_cast<std::size_t>(found - sums.begin());
        if (found == sums.end()) {
            sums.push_back(stats);
            return;
        }
    }
    sums[nth].add_numbers(stats);
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

/// Adds the exits whose code has no name, or could not be read.
void add_unknown(Lost& lost, const std::vector<ExitStats>& exits, Isa isa) {
    for (const ExitStats& stats : exits) {
        if (stats.code == EXITTOP_CODE_UNREADABLE) {
            lost.unknown_isa += stats.count;
        } else if (!find_exit_reason(isa, stats.code)) {
            lost.unknown_code += stats.count;
        }
    }
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

}  // namespace

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

void describe_vm(VmInfo& vm, std::uint32_t pid, const VmIdentity& identity) {
    vm.pid = pid;
    vm.name = identity.name;
    vm.uuid = identity.uuid;
    vm.vmm = identity.vmm;
    if (identity.version) vm.vmm_version = *identity.version;
    vm.memory_bytes = identity.memory_bytes;
    vm.pod = identity.pod;
    vm.named = identity.named;
    vm.uid = identity.uid;
    vm.executable = identity.executable;
}

bool VmTable::ended_before(const Entry& entry, std::uint64_t ns, std::span<const vcpu_slot> slots) {
    if (entry.first_ended_ns != 0 && entry.first_ended_ns <= ns) return true;
    return std::ranges::any_of(entry.live, [&](std::uint32_t slot_index) {
        const std::uint64_t ended = load(slots[slot_index].header.who.ended_ns);
        return ended != 0 && ended <= ns;
    });
}

bool VmTable::is_another(const Entry& entry, const vcpu_identity& who,
                         std::span<const vcpu_slot> slots) {
    const std::vector<Vcpu>& vcpus = entry.vm.vcpus;
    if (entry.kernel_pid != who.pid) return true;
    if (!entry.still_there.contains(who.vcpu_id) &&
        std::ranges::find(vcpus, who.vcpu_id, &Vcpu::id) != vcpus.end()) {
        return true;
    }
    return std::ranges::any_of(entry.live, [&](std::uint32_t slot_index) {
        return slots[slot_index].header.who.vcpu_id == who.vcpu_id;
    });
}

unsigned VmTable::next_number(std::uint32_t pid) {
    const auto place = vms_of_pid_.try_emplace(pid, numbers_used_).first;
    const unsigned number = ++place->second;
    if (vms_of_pid_.size() > most_pids_) {
        std::set<std::uint32_t> in_use = {pid};
        for (const Entry& entry : entries_) in_use.insert(entry.kernel_pid);
        std::erase_if(vms_of_pid_, [&](const auto& of_pid) {
            if (in_use.contains(of_pid.first)) return false;
            numbers_used_ = std::max(numbers_used_, of_pid.second);
            return true;
        });
        most_pids_ = std::max(least_pids, 2 * vms_of_pid_.size());
    }
    return number;
}

std::size_t VmTable::known_entry(const vcpu_identity& who, std::span<const vcpu_slot> slots) const {
    const auto newest = newest_by_kvm_.find(who.kvm);
    if (newest == newest_by_kvm_.end()) return no_entry;
    const Entry& entry = entries_[newest->second];
    const bool is_its = !ended_before(entry, who.first_ns, slots) && !is_another(entry, who, slots);
    return is_its ? newest->second : no_entry;
}

std::size_t VmTable::make_entry(const vcpu_identity& who, std::string line, bool hides_paging) {
    Entry entry;
    entry.kernel_pid = who.pid;
    entry.vm.id = fmt::format("{}.{}", who.pid, next_number(who.pid));
    std::size_t place = entries_.size();
    if (free_entries_.empty()) {
        entries_.push_back(std::move(entry));
    } else {
        place = free_entries_.back();
        free_entries_.pop_back();
        entries_[place] = std::move(entry);
    }
    newcomers_.push_back({place, {pid_of_(who), command_of(who), std::move(line)}, hides_paging});
    return newest_by_kvm_[who.kvm] = place;
}

void VmTable::identify_newcomers() {
    std::map<Process, VmIdentity> known;
    for (const Newcomer& newcomer : std::exchange(newcomers_, {})) {
        auto found = known.find(newcomer.process);
        if (found == known.end()) {
            found = known.emplace(newcomer.process, identify_(newcomer.process)).first;
        }
        introduce(newcomer, found->second);
    }
}

void VmTable::introduce(const Newcomer& newcomer, const VmIdentity& identity) {
    Entry& entry = entries_[newcomer.place];
    describe_vm(entry.vm, newcomer.process.pid, identity);
    // By the kernel's number, which is nobody's else.
    if (newcomer.process.pid == 0 && !identity.named) {
        entry.vm.name = fmt::format("{}-{}", newcomer.process.command, entry.kernel_pid);
    }
    if (!identity.named) ++ended_lost_.unnamed;
    entry.version = identity.version;
    if (newcomer.hides_paging) entry.vm.paging = identity.paging;
}

void VmTable::take_over(const vcpu_slot& slot, std::uint32_t slot_index) {
    Entry& entry = entries_[owner_[slot_index]];
    complete(entry.vm, slot.header);
    SlotContents contents = read_slot(slot);
    ended_lost_ += contents.lost;
    keep_vcpu(entry, std::move(contents.vcpu),
              slot.header.evicted != 0 ? 0 : slot.header.who.ended_ns);
    std::erase(entry.live, slot_index);
    entry.vm.ended = entry.live.empty() && entry.waiting.empty();
    owner_[slot_index] = no_entry;
}

void VmTable::keep_vcpu(Entry& entry, Vcpu vcpu, std::uint64_t ended_ns) {
    if (ended_ns == 0) {
        entry.still_there.insert(vcpu.id);
    } else {
        entry.still_there.erase(vcpu.id);
        if (entry.first_ended_ns == 0 || ended_ns < entry.first_ended_ns) {
            entry.first_ended_ns = ended_ns;
        }
    }
    add_vcpu(entry.vm.vcpus, std::move(vcpu));
}

void VmTable::take_over_waiting(const waiting_vcpu& waiting, std::uint32_t place) {
    Entry& entry = entries_[waiting_owner_[place]];
    ended_lost_.table_full += waiting.exits;
    keep_vcpu(entry, read_waiting(waiting), waiting.who.ended_ns);
    std::erase(entry.waiting, place);
    entry.vm.ended = entry.live.empty() && entry.waiting.empty();
    waiting_owner_[place] = no_entry;
}

void VmTable::update(std::span<const vcpu_slot> slots, std::span<const std::uint8_t> states,
                     const Release& release) {
    owner_.resize(slots.size(), no_entry);
    // In the order of their first event, so that a VM is seen before another takes its address.
    std::vector<std::uint32_t> slot_indices;
    for (std::uint32_t slot_index = 0; slot_index < slots.size(); ++slot_index) {
        const auto state = load(states[slot_index]);
        if (state == EXITTOP_SLOT_ENDED ||
            (state == EXITTOP_SLOT_IN_USE && owner_[slot_index] == no_entry)) {
            slot_indices.push_back(slot_index);
        }
    }
    std::ranges::sort(slot_indices, {},
                      [&](auto slot_index) { return slots[slot_index].header.who.first_ns; });

    for (const std::uint32_t slot_index : slot_indices) {
        if (owner_[slot_index] == no_entry) {
            const vcpu_header& header = slots[slot_index].header;
            const std::size_t known = known_entry(header.who, slots);
            owner_[slot_index] = known != no_entry
                                     ? known
                                     : make_entry(header.who, line_of_(slot_index),
                                                  header.paging == EXITTOP_PAGING_UNKNOWN);
            Entry& entry = entries_[owner_[slot_index]];
            entry.live.push_back(slot_index);
            entry.vm.ended = false;
        }
        if (load(states[slot_index]) == EXITTOP_SLOT_ENDED) {
            take_over(slots[slot_index], slot_index);
            release(slot_index);
        }
    }
    identify_newcomers();
}

void VmTable::update_waiting(std::span<const waiting_vcpu> waiting,
                             std::span<const vcpu_slot> slots, const Release& release) {
    waiting_owner_.resize(waiting.size(), no_entry);
    std::vector<std::uint32_t> places;
    for (std::uint32_t place = 0; place < waiting.size(); ++place) {
        const auto state = load(waiting[place].state);
        if (state == EXITTOP_SLOT_ENDED ||
            (state == EXITTOP_SLOT_IN_USE && waiting_owner_[place] == no_entry)) {
            places.push_back(place);
        }
    }
    std::ranges::sort(places, {}, [&](auto place) { return waiting[place].who.first_ns; });

    for (const std::uint32_t place : places) {
        if (waiting_owner_[place] == no_entry) {
            const vcpu_identity& who = waiting[place].who;
            const std::size_t known = known_entry(who, slots);
            waiting_owner_[place] = known != no_entry ? known : make_entry(who, {}, true);
            Entry& entry = entries_[waiting_owner_[place]];
            entry.waiting.push_back(place);
            entry.vm.ended = false;
        }
        if (load(waiting[place].state) == EXITTOP_SLOT_ENDED) {
            take_over_waiting(waiting[place], place);
            release(place);
        }
    }
    identify_newcomers();
}

void VmTable::add_present(const Entry& entry, auto& vm, auto vcpu) {
    // No vCPU is there twice but those that had no slot for a while.
    if (entry.still_there.empty() && entry.waiting.empty()) {
        vm.vcpus.push_back(std::move(vcpu));
    } else {
        add_vcpu(vm.vcpus, std::move(vcpu));
    }
}

void VmTable::add_waiting(const Entry& entry, auto& vm, const Present& present, Lost& lost) {
    for (const std::uint32_t place : entry.waiting) {
        Vcpu vcpu = read_waiting(present.waiting[place]);
        lost.table_full += vcpu.uncounted;
        add_present(entry, vm, std::move(vcpu));
    }
}

Vm VmTable::full_vm(const Entry& entry, const Present& present, Lost& lost) {
    Vm vm = entry.vm;
    if (entry.version) vm.vmm_version = *entry.version;
    vm.vcpus.reserve(vm.vcpus.size() + entry.live.size());
    for (const std::uint32_t slot_index : entry.live) {
        complete(vm, present.slots[slot_index].header);
        SlotContents contents = read_slot(present.slots[slot_index], present.now_ns);
        add_present(entry, vm, std::move(contents.vcpu));
        lost += contents.lost;
    }
    add_waiting(entry, vm, present, lost);
    std::ranges::sort(vm.vcpus, {}, &Vcpu::id);
    return vm;
}

VmOverview VmTable::vm_overview(const Entry& entry, const Present& present, Lost& lost) {
    const Vm& known = entry.vm;
    VmOverview vm{known, {}, {}};
    if (entry.version) vm.vmm_version = *entry.version;
    vm.vcpus.reserve(known.vcpus.size() + entry.live.size());
    for (const std::uint32_t slot_index : entry.live) {
        const vcpu_slot& slot = present.slots[slot_index];
        complete(vm, slot.header);
        ExitStats sum;
        std::size_t nth = 0;
        for_each_cell(slot, [&](unsigned cell) {
            const ExitStats stats = read_counts(slot, cell);
            sum.add_numbers(stats);
            add_nth(vm.exits, nth++, stats);
        });
        VcpuInfo vcpu = read_vcpu(slot);
        add_kvm_count(vcpu, slot, sum.count);
        vcpu.guest_ns = guest_time(slot.header, sum.time_ns, present.now_ns);
        vm.vcpus.push_back(vcpu);
        lost += read_lost(slot);
    }
    std::ranges::sort(vm.exits, {}, key_of);
    add_unknown(lost, vm.exits, vm.isa);
    for (const Vcpu& ended : known.vcpus) {  // What these lost is known since they ended.
        for (const ExitStats& stats : ended.exits) {
            entry_of(vm.exits, key_of(stats)).add_numbers(stats);
        }
        add_present(entry, vm, VcpuInfo(ended));
    }
    add_waiting(entry, vm, present, lost);
    std::ranges::sort(vm.vcpus, {}, &VcpuInfo::id);
    return vm;
}

namespace {

void sort_by_name(std::vector<Vm>& vms) {
    std::ranges::stable_sort(vms, {}, [](const Vm& vm) { return std::tie(vm.name, vm.id); });
}

}  // namespace

VmTable::Contents VmTable::contents(std::span<const vcpu_slot> slots, std::uint64_t now_ns,
                                    std::span<const waiting_vcpu> waiting) const {
    const Present present{slots, waiting, now_ns};
    Contents result{{}, ended_lost_};
    result.vms.reserve(entries_.size());
    for (const Entry& entry : entries_) {
        if (!entry.forgotten) result.vms.push_back(full_vm(entry, present, result.lost));
    }
    sort_by_name(result.vms);
    return result;
}

VmTable::OverviewContents VmTable::overview(std::span<const vcpu_slot> slots, std::uint64_t now_ns,
                                            const std::string& in_full,
                                            std::span<const waiting_vcpu> waiting) const {
    const Present present{slots, waiting, now_ns};
    OverviewContents result{{}, {}, ended_lost_};
    result.vms.reserve(entries_.size());
    for (const Entry& entry : entries_) {
        if (entry.forgotten) continue;
        if (in_full.empty() || entry.vm.id != in_full) {
            result.vms.push_back(vm_overview(entry, present, result.lost));
        } else {
            result.in_full = full_vm(entry, present, result.lost);
            result.vms.push_back(overview_of(*result.in_full));
        }
    }
    return result;
}

void VmTable::for_each_live(
    const std::function<void(const VmInfo& vm, std::uint32_t slot)>& use) const {
    for (const Entry& entry : entries_) {
        for (const std::uint32_t slot : entry.live) use(entry.vm, slot);
    }
}

std::uint32_t VmTable::slots_in_use() const {
    return static_cast<std::uint32_t>(owner_.size()) -
           static_cast<std::uint32_t>(std::ranges::count(owner_, no_entry));
}

void VmTable::forget_ended(std::uint64_t ns) {
    for (std::size_t place = 0; place < entries_.size(); ++place) {
        Entry& entry = entries_[place];
        if (!entry.vm.ended || entry.first_ended_ns >= ns || entry.forgotten) continue;
        entry = {};  // The place stays, for another VM: those behind it are known by theirs.
        entry.forgotten = true;
        free_entries_.push_back(place);
        std::erase_if(newest_by_kvm_, [place](const auto& each) { return each.second == place; });
    }
}

}  // namespace exittop
