// SPDX-License-Identifier: GPL-2.0-only
#include "capture/vm_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "capture/shared_word.h"

namespace exittop {
namespace {

/// A vCPU that has not exited yet has no ISA, and with it no name for its paging.
void complete(VmInfo& vm, const vcpu_header& header) {
    if (vm.isa == Isa::unknown) vm.isa = isa_of(header);
    if (vm.paging == Paging::unknown) vm.paging = paging_of(header);
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

// Of vCPUs in slots, and of those that wait for one.
const vcpu_identity& who_is_in(const vcpu_slot& slot) { return slot.header.who; }
const vcpu_identity& who_is_in(const waiting_vcpu& place) { return place.who; }
bool hides_paging(const vcpu_slot& slot) { return slot.header.paging == EXITTOP_PAGING_UNKNOWN; }
bool hides_paging(const waiting_vcpu&) { return true; }

}  // namespace

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

std::size_t VmTable::make_entry(const auto& vcpu, std::string line) {
    const vcpu_identity& who = who_is_in(vcpu);
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
    newcomers_.push_back(
        {place, {pid_of_(who), command_of(who), std::move(line)}, hides_paging(vcpu)});
    return newest_by_kvm_[who.kvm] = place;
}

void VmTable::learn_line(std::size_t place, std::string line) {
    if (line.empty()) return;
    const auto newcomer = std::ranges::find(newcomers_, place, &Newcomer::place);
    if (newcomer != newcomers_.end() && newcomer->process.line.empty()) {
        newcomer->process.line = std::move(line);
    }
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

SlotContents VmTable::contents_of(const vcpu_slot& slot, std::uint32_t slot_index,
                                  std::uint64_t now_ns) const {
    static const SeenBuckets none;
    const auto known = seen_.find(slot_index);
    return read_slot(slot, now_ns, known != seen_.end() ? known->second : none,
                     targets_of_(slot_index));
}

void VmTable::track_wraps(std::span<const vcpu_slot> slots) {
    for (std::uint32_t slot_index = 0; slot_index < slots_.owner.size(); ++slot_index) {
        if (slots_.owner[slot_index] != no_entry) {
            exittop::track_wraps(slots[slot_index], seen_[slot_index]);
        }
    }
    std::erase_if(seen_, [](const auto& of_slot) { return of_slot.second.empty(); });
}

void VmTable::take_over(Entry& entry, const vcpu_slot& slot, std::uint32_t slot_index) {
    complete(entry.vm, slot.header);
    SlotContents contents = contents_of(slot, slot_index, 0);
    seen_.erase(slot_index);
    ended_lost_ += contents.lost;
    keep_vcpu(entry, std::move(contents.vcpu),
              slot.header.evicted != 0 ? 0 : slot.header.who.ended_ns);
}

void VmTable::take_over(Entry& entry, const waiting_vcpu& waiting, std::uint32_t) {
    ended_lost_.table_full += waiting.exits;
    keep_vcpu(entry, read_waiting(waiting), waiting.who.ended_ns);
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

void VmTable::update_records(Records& records, auto vcpus, auto state_of,
                             std::span<const vcpu_slot> slots, const Release& release) {
    std::vector<std::size_t>& owner = records.owner;
    owner.resize(vcpus.size(), no_entry);
    // In the order of their first event, so that a VM is seen before another takes its address.
    std::vector<std::uint32_t> changed;
    for (std::uint32_t index = 0; index < vcpus.size(); ++index) {
        const auto state = state_of(index);
        if (state == EXITTOP_SLOT_ENDED ||
            (state == EXITTOP_SLOT_IN_USE && owner[index] == no_entry)) {
            changed.push_back(index);
        }
    }
    std::ranges::sort(changed, {}, [&](auto index) { return who_is_in(vcpus[index]).first_ns; });

    for (const std::uint32_t index : changed) {
        if (owner[index] == no_entry) {
            owner[index] = known_entry(who_is_in(vcpus[index]), slots);
            if (owner[index] == no_entry) {
                owner[index] = make_entry(vcpus[index], records.line_of(index));
            } else {
                learn_line(owner[index], records.line_of(index));
            }
            (entries_[owner[index]].*records.of_vm).push_back(index);
        }
        Entry& entry = entries_[owner[index]];
        if (state_of(index) == EXITTOP_SLOT_ENDED) {
            take_over(entry, vcpus[index], index);
            std::erase(entry.*records.of_vm, index);
            owner[index] = no_entry;
            release(index);
        }
        entry.vm.ended = entry.live.empty() && entry.waiting.empty();
    }
    identify_newcomers();
}

void VmTable::update(std::span<const vcpu_slot> slots, std::span<const std::uint8_t> states,
                     const Release& release) {
    const auto state_of = [states](std::uint32_t slot) { return load(states[slot]); };
    update_records(slots_, slots, state_of, slots, release);
}

void VmTable::update_waiting(std::span<const waiting_vcpu> waiting,
                             std::span<const vcpu_slot> slots, const Release& release) {
    const auto state_of = [waiting](std::uint32_t place) { return load(waiting[place].state); };
    update_records(places_, waiting, state_of, slots, release);
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

Vm VmTable::full_vm(const Entry& entry, const Present& present, Lost& lost) const {
    Vm vm = entry.vm;
    if (entry.version) vm.vmm_version = *entry.version;
    vm.vcpus.reserve(vm.vcpus.size() + entry.live.size());
    for (const std::uint32_t slot_index : entry.live) {
        complete(vm, present.slots[slot_index].header);
        SlotContents contents = contents_of(present.slots[slot_index], slot_index, present.now_ns);
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
    std::vector<ExitStats> exits;
    for (const std::uint32_t slot_index : entry.live) {
        const vcpu_slot& slot = present.slots[slot_index];
        complete(vm, slot.header);
        const SlotNumbers numbers = read_slot_numbers(slot, present.now_ns, exits);
        for (std::size_t nth = 0; nth < exits.size(); ++nth) add_nth(vm.exits, nth, exits[nth]);
        vm.vcpus.push_back(numbers.vcpu);
        lost += numbers.lost;
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
    return static_cast<std::uint32_t>(slots_.owner.size()) -
           static_cast<std::uint32_t>(std::ranges::count(slots_.owner, no_entry));
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
