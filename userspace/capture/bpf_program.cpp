// SPDX-License-Identifier: GPL-2.0-only
// Loads, attaches and maps the BPF program with libbpf.
#include "capture/bpf_program.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <exception>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <set>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/file_descriptor.h"
#include "capture/kernel_facts.h"
#include "capture/libbpf_log.h"
#include "capture/shared_memory.h"
#include "capture/shared_word.h"
#include "exittop.skel.h"
#include "model/exit_reason.h"
#include "model/histogram.h"
#include "system/files.h"
#include "system/host.h"

namespace exittop {
namespace {

/// BPF_LOG_LEVEL1 and BPF_LOG_STATS of the kernel's bpf_verifier.h: for a rejected program, the
/// path to the error; for every program, the verifier's statistics.
constexpr std::uint32_t verifier_log = 1 | 4;

struct LinkDeleter {
    void operator()(bpf_link* link) const { bpf_link__destroy(link); }
};

struct RingDeleter {
    void operator()(ring_buffer* ring) const { ring_buffer__free(ring); }
};

struct SkeletonDeleter {
    void operator()(exittop_bpf* skeleton) const { exittop_bpf__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<exittop_bpf, SkeletonDeleter>;

/// Runs a program once, here and now, with these as the arguments of its tracepoint. 0, or -errno.
int run_program(const bpf_program* program, std::span<const std::uint64_t> arguments) {
    LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = arguments.data(),
                .ctx_size_in = std::uint32_t(arguments.size_bytes()));
    return bpf_prog_test_run_opts(bpf_program__fd(program), &options);
}

/// The programs for one tracepoint, by how much is counted.
struct ExitPrograms {
    bpf_program* timed;
    bpf_program* count;
    bpf_program* targets = nullptr;  ///< The faster one for targets; none: `timed` does.
};
struct EntryPrograms {
    bpf_program* histogram;
    bpf_program* time;
    bpf_program* targets = nullptr;
    bpf_program* targets_time = nullptr;
};

static_assert(offsetof(std::remove_pointer_t<decltype(exittop_bpf::bss)>, slots) ==
                  sizeof(exittop_memory),
              "slots begin with a cache line, behind what all vCPUs share");

/// Of the ring buffer; called by libbpf, which is C.
int take_command_line(void* lines, void* record, std::size_t /*size*/) noexcept try {
    const auto& line = *static_cast<const exittop_command_line*>(record);
    (*static_cast<std::map<std::uint32_t, std::string>*>(lines))[line.slot] =
        std::string(line.text, std::min<std::size_t>(line.size, sizeof line.text));
    return 0;
} catch (const std::exception&) {
    return 0;  // Only a name is lost.
}

/// exittop must notice when a vCPU is created and freed. Otherwise the next vCPU at the same
/// address is counted for the previous VM. If possible, kprobes are attached besides fentry: no
/// task is preempted within a kprobe, so the kernel never skips it for another task.
enum class VcpuEnds { fentry, kprobe };

/// How the VMM's time is told. A classic tracepoint's program costs more and needs more privilege,
/// but on Linux 7 the kernel runs it each time: no task is preempted within it. `none`: the parts
/// of the time are not told apart; exits are counted without that, too.
enum class FpuEvent { classic, raw, none };

/// What is tried beside the programs that count.
struct Extras {
    VcpuEnds ends;
    FpuEvent fpu;
};

/// In the order of what is missing.
constexpr std::array extras_to_try = {
    Extras{VcpuEnds::fentry, FpuEvent::classic}, Extras{VcpuEnds::fentry, FpuEvent::raw},
    Extras{VcpuEnds::kprobe, FpuEvent::raw}, Extras{VcpuEnds::fentry, FpuEvent::none},
    Extras{VcpuEnds::kprobe, FpuEvent::none}};

}  // namespace

struct BpfProgram::State {
    AttachVariant variant = AttachVariant::classic;
    Extras extras = extras_to_try.front();
    std::string missing;  ///< What is not there for want of them, and why; empty: nothing.
    std::uint32_t max_vcpus = 0;
    CountDetail detail = CountDetail::histogram;
    std::optional<LeafMeanings> leaves;
    std::optional<TargetRequest> targets;
    TargetKinds target_kinds;
    TargetRoom target_room;
    Skeleton skeleton;
    std::vector<std::unique_ptr<bpf_link, LinkDeleter>> links;
    std::unique_ptr<bpf_link, LinkDeleter> learning;  ///< While learn_order is attached.
    FileDescriptor measuring;
    SharedMemory shared;
    ProgramBarrier barrier;
    bool targets_open = false;      ///< They are counted, or may be: there are areas,
    bool areas_with_slots = false;  ///< which are behind the slots in `shared`, from the start on;
    FileDescriptor target_map;      ///< else in a map of their own, mapped:
    SharedMemory target_areas;
    std::vector<std::unique_ptr<bpf_link, LinkDeleter>> target_links;
    std::set<std::uint32_t> limited;                     ///< Users in the map limited_users.
    std::map<std::uint32_t, std::string> command_lines;  ///< Filled from the ring buffer.
    std::unique_ptr<ring_buffer, RingDeleter> ring;

    [[nodiscard]] exittop_memory& memory() const {
        return *reinterpret_cast<exittop_memory*>(shared.at(0));
    }
    [[nodiscard]] std::span<vcpu_slot> slots() const {
        return {reinterpret_cast<vcpu_slot*>(shared.at(sizeof(exittop_memory))), slot_count()};
    }
    [[nodiscard]] bool reads_by_cast() const {
        return variant == AttachVariant::typed || variant == AttachVariant::raw;
    }
    [[nodiscard]] bool splits_time() const {
        return extras.fpu != FpuEvent::none && detail >= CountDetail::time;
    }
    [[nodiscard]] bpf_program* fpu_program() const;
    [[nodiscard]] std::vector<bpf_program*> programs_in_order() const;
    std::expected<void, Error> start(const KernelFacts& facts);
    std::expected<void, Error> open(const KernelFacts& facts);
    std::expected<void, Error> attach();
    [[nodiscard]] bool is_needed(const bpf_program* program) const;
    [[nodiscard]] std::uint32_t slot_count() const { return EXITTOP_SLOTS_OF(max_vcpus); }
    [[nodiscard]] std::uint64_t memory_size() const;
    std::expected<void, Error> make_memory();
    std::expected<void, Error> prove_memory() const;
    std::expected<void, Error> fill_free_slots();
    int give_slot(std::uint32_t slot_index);
    [[nodiscard]] int give_waiting(std::uint32_t place) const;
    void set_leaves(const KernelFacts& facts);
    std::expected<void, Error> fill_known_reasons();
    std::expected<void, Error> choose_targets(const KernelFacts& facts);
    std::expected<void, Error> set_targets();
    [[nodiscard]] std::vector<bpf_program*> target_programs() const;
    std::expected<void, Error> open_targets();
    [[nodiscard]] std::uint32_t area_size() const;
    [[nodiscard]] FileDescriptor make_areas(std::uint32_t count) const;
    int map_areas();
    void close_targets();
    [[nodiscard]] target_area* area(std::uint32_t slot_index) const;
};

/// The one that tells the VMM's time.
bpf_program* BpfProgram::State::fpu_program() const {
    const auto& programs = skeleton->progs;
    if (extras.fpu == FpuEvent::classic) return programs.fpu_classic;
    return reads_by_cast() ? programs.fpu_cast : programs.fpu_helper;
}

/// The programs of this variant in the order of attachment. First those that end a vCPU, so that no
/// slot is left behind; last the exit, which creates the slots, without which the others do
/// nothing. Programs on one tracepoint run in the order of attachment: the one that learns how KVM
/// counts follows the entry, because it must not delay the entry's clock.
std::vector<bpf_program*> BpfProgram::State::programs_in_order() const {
    auto& programs = skeleton->progs;
    std::vector<bpf_program*> order;
    if (extras.ends == VcpuEnds::fentry) order = {programs.destroy_fpu, programs.create_fpu};
    order.insert(order.end(), {programs.destroy, programs.create});
    if (splits_time()) {
        order.push_back(fpu_program());
    }
    const auto add = [&](const ExitPrograms& exit, const EntryPrograms& entry) {
        const bool by_target = areas_with_slots && exit.targets != nullptr;
        if (detail == CountDetail::time) {
            order.push_back(by_target ? entry.targets_time : entry.time);
        }
        if (detail == CountDetail::histogram) {
            order.push_back(by_target ? entry.targets : entry.histogram);
        }
        order.push_back(programs.learn_order);
        bpf_program* counts = by_target ? exit.targets : exit.timed;
        order.push_back(detail == CountDetail::count ? exit.count : counts);
    };
    const EntryPrograms raw_entry = {programs.entry_raw, programs.entry_raw_time};
    const EntryPrograms cast_entry = {programs.entry_cast, programs.entry_cast_time,
                                      programs.entry_cast_targets,
                                      programs.entry_cast_targets_time};
    switch (variant) {
        case AttachVariant::typed:
            add({programs.exit_typed, programs.exit_typed_count, programs.exit_typed_targets},
                cast_entry);
            break;
        case AttachVariant::raw:
            add({programs.exit_raw, programs.exit_raw_count}, cast_entry);
            break;
        case AttachVariant::btf:
            add({programs.exit_btf, programs.exit_btf_count, programs.exit_btf_targets},
                {programs.entry_btf, programs.entry_btf_time, programs.entry_btf_targets,
                 programs.entry_btf_targets_time});
            break;
        case AttachVariant::raw_helper:
            add({programs.exit_raw_helper, programs.exit_raw_helper_count}, raw_entry);
            break;
        case AttachVariant::raw_reason:
            add({programs.exit_raw_reason, programs.exit_raw_reason_count}, raw_entry);
            break;
        case AttachVariant::classic:
            add({programs.exit_classic, programs.exit_classic_count},
                {programs.entry_classic, programs.entry_classic_time});
            break;
    }
    if (leaves) order.push_back(programs.answer_cpuid);
    return order;
}

std::expected<void, Error> BpfProgram::State::open(const KernelFacts& facts) {
    LIBBPF_OPTS(bpf_object_open_opts, options, .btf_custom_path = facts.types.c_str(),
                .kernel_log_level = shows_libbpf_log() ? verifier_log : 0);
    skeleton.reset(exittop_bpf__open_opts(&options));
    if (!skeleton) return std::unexpected(kernel_error("cannot open the BPF object", -errno));
    // On a kernel without bpf_rdonly_cast(), libbpf looks for it in the modules' BTF. Without the
    // privilege for that, the first look fails and would end the load; later looks do not. So the
    // first look is made here.
    if (!facts.rdonly_cast) bpf_program__set_attach_target(skeleton->progs.exit_btf, 0, "kvm_exit");
    forget_complaints();
    if (auto chosen = choose_targets(facts); !chosen) return chosen;
    if (auto made = make_memory(); !made) return made;
    if (const int code = barrier.make()) {
        return std::unexpected(kernel_error("cannot wait for BPF programs", code));
    }
    skeleton->rodata->tdp_enabled_address = facts.tdp_enabled_address;
    for (unsigned i = 0; i < 256; ++i) {
        const std::uint8_t bucket = bucket_table_entry(static_cast<std::uint8_t>(i));
        skeleton->rodata->bucket_table[i] = static_cast<std::uint8_t>(bucket * sizeof(u32));
    }
    struct stat pid_ns{};
    if (stat("/proc/self/ns/pid", &pid_ns) == 0 && pid_ns.st_ino != first_pid_namespace) {
        skeleton->rodata->pid_ns_device = pid_ns.st_dev;
        skeleton->rodata->pid_ns_inode = pid_ns.st_ino;
    }
    skeleton->rodata->hash_slots = max_vcpus + 1;  // One more for slot 0, which is never used.
    skeleton->rodata->last_slot = slot_count() - 1;
    bpf_map__set_max_entries(skeleton->maps.vcpu_slots, max_vcpus);
    bpf_map__set_max_entries(skeleton->maps.free_hash_slots, max_vcpus);
    bpf_map__set_max_entries(skeleton->maps.free_overflow_slots,
                             EXITTOP_OVERFLOW_SLOTS(max_vcpus) + 1);
    skeleton->rodata->parts_on = splits_time();
    if (leaves) set_leaves(facts);
    if (auto set = set_targets(); !set) return set;

    std::vector<bpf_program*> wanted = programs_in_order();
    std::ranges::copy(target_programs(), std::back_inserter(wanted));
    const std::array run_by_hand = {skeleton->progs.prove_memory, skeleton->progs.look_at_slot,
                                    skeleton->progs.end_slot, skeleton->progs.evict_slot,
                                    skeleton->progs.end_waiting};
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, skeleton->obj) {
        const bool load = std::ranges::find(wanted, program) != wanted.end() ||
                          std::ranges::find(run_by_hand, program) != run_by_hand.end();
        bpf_program__set_autoload(program, load);
    }
    if (const int code = exittop_bpf__load(skeleton.get())) {
        return std::unexpected(kernel_error("cannot load the BPF program", code));
    }
    target_map = FileDescriptor();
    if (auto proven = prove_memory(); !proven) return proven;
    ring.reset(ring_buffer__new(bpf_map__fd(skeleton->maps.command_lines), take_command_line,
                                &command_lines, nullptr));
    if (!ring) return std::unexpected(kernel_error("cannot map the ring of command lines", -errno));
    memory().armed_ns = std::numeric_limits<std::uint64_t>::max();
    if (auto filled = fill_free_slots(); !filled) return filled;
    return leaves ? fill_known_reasons() : std::expected<void, Error>{};
}

/// Before the memory is made: which reasons have targets, and room for how many.
std::expected<void, Error> BpfProgram::State::choose_targets(const KernelFacts& facts) {
    if (!targets) return {};
    auto kinds = exittop::target_kinds(*targets, facts.vendor_btf);
    if (!kinds) return std::unexpected(kinds.error());
    auto room = exittop::target_room(max_vcpus, targets->memory);
    if (!room) return std::unexpected(room.error());
    target_kinds = *kinds;
    target_room = *room;
    areas_with_slots = targets->from_start;
    return {};
}

/// Before the load: constants and sizes for targets; without them the verifier takes all of it out.
std::expected<void, Error> BpfProgram::State::set_targets() {
    bpf_map__set_autocreate(skeleton->maps.later_areas, targets && !areas_with_slots);
    if (!targets) return {};
    skeleton->rodata->targets_possible = true;
    skeleton->rodata->target_entries = target_room.entries;
    skeleton->rodata->reason_entries = target_room.reason_entries;
    std::ranges::copy(target_kinds.by_index, skeleton->rodata->target_kinds);
    skeleton->rodata->other_target_kind = target_kinds.other;
    skeleton->rodata->targets_from_start = areas_with_slots;
    if (areas_with_slots) {
        const std::uint64_t first = EXITTOP_MEMORY_SIZE(max_vcpus) - sizeof(exittop_memory);
        skeleton->rodata->first_area = std::uint32_t(first);
        skeleton->rodata->area_size = area_size();
        skeleton->rodata->last_area =
            std::uint32_t(first + std::uint64_t{slot_count() - 1} * area_size());
        return {};
    }
    // What later maps will be like. The size of an inner map that libbpf makes cannot be set:
    // libbpf 1.5 crashes.
    target_map = make_areas(1);
    const int code =
        target_map ? bpf_map__set_inner_map_fd(skeleton->maps.later_areas, target_map.number())
                   : -errno;
    if (code != 0) return std::unexpected(kernel_error("cannot make a map for targets", code));
    return {};
}

std::uint32_t BpfProgram::State::area_size() const {
    return std::uint32_t(EXITTOP_AREA_SIZE(target_room.entries));
}

/// A map for later_areas; none: see errno.
FileDescriptor BpfProgram::State::make_areas(std::uint32_t count) const {
    LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_INNER_MAP | BPF_F_MMAPABLE);
    return FileDescriptor(bpf_map_create(BPF_MAP_TYPE_ARRAY, "targets", sizeof(std::uint32_t),
                                         area_size(), count, &options));
}

/// What tells targets besides the programs that count: on VMX an address is in no register.
std::vector<bpf_program*> BpfProgram::State::target_programs() const {
    const auto has = [this](exittop_target_kind kind) {
        return std::ranges::find(target_kinds.by_index, kind) != target_kinds.by_index.end();
    };
    std::vector<bpf_program*> programs;
    if (has(EXITTOP_TARGET_EPT_VIOLATION) || has(EXITTOP_TARGET_EXCEPTION_VMX)) {
        programs.push_back(skeleton->progs.tell_page_fault);
    }
    if (has(EXITTOP_TARGET_EPT_MISCONFIG)) {
        programs.push_back(skeleton->progs.tell_fast_mmio);
        programs.push_back(skeleton->progs.tell_mmio);
    }
    return programs;
}

std::expected<void, Error> BpfProgram::State::open_targets() {
    if (!targets) return failed("targets need times: leave out --detail count");
    if (targets_open) return {};
    int code = areas_with_slots ? 0 : map_areas();
    targets_open = code == 0;
    for (bpf_program* program : target_programs()) {
        bpf_link* link = code == 0 ? bpf_program__attach(program) : nullptr;
        if (link == nullptr && code == 0) code = -errno;
        if (link != nullptr) target_links.emplace_back(link);
    }
    if (code == 0) return {};
    close_targets();
    return std::unexpected(kernel_error("cannot count targets", code));
}

/// Makes and maps the areas, and gives them to the program. 0, or -errno.
int BpfProgram::State::map_areas() {
    target_map = make_areas(slot_count());
    if (target_map) target_areas = SharedMemory(target_map.number(), target_room.bytes);
    if (!target_areas) return -errno;
    const std::uint32_t only = 0;
    const int inner = target_map.number();
    return bpf_map_update_elem(bpf_map__fd(skeleton->maps.later_areas), &only, &inner, BPF_ANY);
}

void BpfProgram::State::close_targets() {
    std::atomic_ref(memory().by_target).store(0);
    for (vcpu_slot& slot : slots()) {
        std::atomic_ref<u64> word(slot.header.vcpu);
        u64 vcpu = word.load();
        // Where the vCPU goes meanwhile, the word becomes 0. The program sets and clears another
        // bit.
        while ((vcpu & EXITTOP_BY_TARGET) != 0 &&
               !word.compare_exchange_weak(vcpu, vcpu & ~EXITTOP_BY_TARGET)) {}
    }
    target_links.clear();
    const std::uint32_t only = 0;
    if (target_map) bpf_map_delete_elem(bpf_map__fd(skeleton->maps.later_areas), &only);
    barrier.wait();
    targets_open = false;
    target_areas = SharedMemory();
    target_map = FileDescriptor();
}

target_area* BpfProgram::State::area(std::uint32_t slot_index) const {
    if (!targets_open) return nullptr;
    const std::size_t offset = std::size_t{area_size()} * slot_index;
    return reinterpret_cast<target_area*>(areas_with_slots
                                              ? shared.at(EXITTOP_MEMORY_SIZE(max_vcpus) + offset)
                                              : target_areas.at(offset));
}

/// Before the load: constants and sizes for answering leaves.
void BpfProgram::State::set_leaves(const KernelFacts& facts) {
    skeleton->rodata->leaves_on = true;
    std::ranges::copy(*leaves, skeleton->rodata->leaves);
    skeleton->rodata->tsc_khz_address = facts.tsc_khz_address;
    skeleton->rodata->leaf_slots = slot_count();
    // Each VM has at least one vCPU, and one entry more than it has vCPUs.
    bpf_map__set_max_entries(skeleton->maps.vm_slots, 2 * slot_count());
    std::size_t reasons = 0;
    for (const IsaFacts& isa : isas) reasons += exit_reasons(isa.isa).size();
    bpf_map__set_max_entries(skeleton->maps.known_reasons, std::uint32_t(reasons));
}

std::expected<void, Error> BpfProgram::State::fill_known_reasons() {
    const int known = bpf_map__fd(skeleton->maps.known_reasons);
    for (const IsaFacts& isa : isas) {
        for (const ExitReason& reason : exit_reasons(isa.isa)) {
            const std::uint64_t key = std::uint64_t(isa.isa) << 32 | reason.code;
            const std::uint8_t is_known = 1;
            if (const int code = bpf_map_update_elem(known, &key, &is_known, BPF_ANY)) {
                return std::unexpected(kernel_error("cannot fill the map of exit reasons", code));
            }
        }
    }
    return {};
}

/// Of the slots, and of the areas where these are behind them.
std::uint64_t BpfProgram::State::memory_size() const {
    return EXITTOP_MEMORY_SIZE(max_vcpus) + (areas_with_slots ? target_room.bytes : 0);
}

/// The object declares its .bss with all the slots there can be; it gets as many as were asked for.
/// libbpf maps it into the space it reserved for the declared size: a larger one would overlap
/// other memory.
static_assert(sizeof(*Skeleton::element_type::bss) >= EXITTOP_MEMORY_SIZE(EXITTOP_MAX_SLOTS));
std::expected<void, Error> BpfProgram::State::make_memory() {
    LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
    const auto make = [&] {
        return FileDescriptor(bpf_map_create(BPF_MAP_TYPE_ARRAY, "slots", sizeof(std::uint32_t),
                                             std::uint32_t(memory_size()), 1, &options));
    };
    if (memory_size() > sizeof(*Skeleton::element_type::bss)) areas_with_slots = false;
    FileDescriptor made = make();
    if (!made && errno == E2BIG) {
        // Up to Linux 5.10 the limit is 4 MiB: room for some 500 vCPUs.
        areas_with_slots = false;
        while (EXITTOP_MEMORY_SIZE(max_vcpus) > 4u << 20) --max_vcpus;
        if (targets) target_room = exittop::target_room(max_vcpus, targets->memory).value();
        made = make();
    }
    int code = made ? bpf_map__reuse_fd(skeleton->maps.bss, made.number()) : -errno;
    if (code == 0) {
        // Mapped here, not by the skeleton: from libbpf 1.5 on, the skeleton's bss no longer points
        // to the memory of a map that replaced the declared one.
        shared = SharedMemory(made.number(), memory_size());
        if (shared) return {};
        code = -errno;
    }
    return std::unexpected(kernel_error(
        fmt::format("cannot get the memory for {} vCPUs (--max-vcpus)", max_vcpus), code));
}

/// Checks that what the program writes is what is read here, and the reverse, from the end of the
/// memory to its beginning. If it were not, it would look as if nothing exited.
std::expected<void, Error> BpfProgram::State::prove_memory() const {
    constexpr std::uint64_t question = 0x6578'6974'746f'7001;
    u64& far = slots().back().header.who.first_ns;
    std::atomic_ref(far).store(question, std::memory_order_release);
    const int code = run_program(skeleton->progs.prove_memory, {});
    const std::uint64_t answer = std::atomic_ref(memory().proof).exchange(0);
    far = 0;
    if (code != 0) {
        return std::unexpected(kernel_error("cannot run a BPF program to check its memory", code));
    }
    if (answer == ~question) return {};
    return std::unexpected(
        Error{ExitStatus::failed,
              "what the BPF program writes is not what exittop reads, so nothing would be "
              "counted: please report this, with the version of libbpf"});
}

int BpfProgram::State::give_slot(std::uint32_t slot_index) {
    const std::uint8_t unused = 0;
    const int code = slot_index <= max_vcpus
                         ? bpf_map_update_elem(bpf_map__fd(skeleton->maps.free_hash_slots),
                                               &slot_index, &unused, BPF_ANY)
                         : bpf_map_update_elem(bpf_map__fd(skeleton->maps.free_overflow_slots),
                                               nullptr, &slot_index, BPF_ANY);
    // After the map: a reader that sees the new count then finds the slot there.
    if (code == 0) ++std::atomic_ref(memory().given_back);
    return code;
}

std::expected<void, Error> BpfProgram::State::fill_free_slots() {
    for (std::uint32_t slot_index = 1; slot_index < slot_count(); ++slot_index) {
        if (const int code = give_slot(slot_index)) {
            return std::unexpected(kernel_error("cannot hand out the slots", code));
        }
    }
    for (std::uint32_t place = 0; place < EXITTOP_WAITING; ++place) {
        if (const int code = give_waiting(place)) {
            return std::unexpected(kernel_error("cannot hand out the places to wait", code));
        }
    }
    return {};
}

int BpfProgram::State::give_waiting(std::uint32_t place) const {
    const std::uint8_t unused = 0;
    return bpf_map_update_elem(bpf_map__fd(skeleton->maps.free_waiting), &place, &unused, BPF_ANY);
}

std::expected<void, Error> BpfProgram::State::start(const KernelFacts& facts) {
    forget_complaints();
    if (shows_libbpf_log()) report(fmt::format("trying {}", attach_variant_id(variant)));
    if (auto opened = open(facts); !opened) return opened;
    if (targets && targets->from_start) {
        if (auto opened = open_targets(); !opened) return opened;
        memory().by_target = EXITTOP_BY_TARGET;
    }
    return attach();
}

/// Whether this variant cannot work without that program.
bool BpfProgram::State::is_needed(const bpf_program* program) const {
    const auto& programs = skeleton->progs;
    // Everything else is counted without it; only KVM's own count is unknown.
    if (program == programs.learn_order) return false;
    const bool is_kprobe = program == programs.destroy || program == programs.create;
    return !is_kprobe || extras.ends == VcpuEnds::kprobe;
}

std::expected<void, Error> BpfProgram::State::attach() {
    for (bpf_program* program : programs_in_order()) {
        bpf_link* link = bpf_program__attach(program);
        const int code = link ? 0 : -errno;
        if (!link && !is_needed(program)) continue;
        if (program == skeleton->progs.learn_order) {
            learning.reset(link);
            continue;
        }
        if (!link) {
            const auto what = fmt::format("cannot attach {}", bpf_program__section_name(program));
            if (code != -EACCES) return std::unexpected(kernel_error(what, code));
            // Unlike -EPERM this is not about BPF but about perf events, or the files of tracefs.
            return std::unexpected(
                Error{ExitStatus::lacking, what + ": not permitted; on this kernel run as root, or "
                                                  "set kernel.perf_event_paranoid to 2 or less"});
        }
        links.emplace_back(link);
    }
    memory().armed_ns = monotonic_ns();
    return {};
}

BpfProgram::BpfProgram(std::unique_ptr<State> state) : state_(std::move(state)) {}
BpfProgram::BpfProgram(BpfProgram&&) noexcept = default;
BpfProgram& BpfProgram::operator=(BpfProgram&&) noexcept = default;
BpfProgram::~BpfProgram() = default;

namespace {

/// Whether there can be targets, however the program is attached.
std::expected<void, Error> check_targets(const std::optional<TargetRequest>& targets,
                                         std::uint32_t max_vcpus, const KernelFacts& facts) {
    if (!targets) return {};
    if (auto kinds = target_kinds(*targets, facts.vendor_btf); !kinds) {
        return std::unexpected(kinds.error());
    }
    if (auto room = target_room(max_vcpus, targets->memory); !room) {
        return std::unexpected(room.error());
    }
    return {};
}

}  // namespace

std::expected<BpfProgram, Error> BpfProgram::start(AttachChoice choice, std::uint32_t max_vcpus,
                                                   CountDetail detail,
                                                   const std::optional<LeafMeanings>& leaves,
                                                   const std::optional<TargetRequest>& targets) {
    keep_complaints();
    auto facts = read_kernel_facts();
    if (!facts) return std::unexpected(facts.error());
    if (auto able = check_targets(targets, max_vcpus, *facts); !able) {
        return std::unexpected(able.error());
    }
    if (leaves) facts->tsc_khz_address = kernel_symbol("tsc_khz");
    std::vector<FailedAttach> failed;
    for (const AttachVariant variant : variants_to_try(*facts, choice)) {
        std::optional<Error> first_error;
        for (const Extras& extras : extras_to_try) {
            if (extras.ends == VcpuEnds::fentry && !facts->guest_fpu_freed) continue;
            if (extras.fpu == FpuEvent::classic && !facts->preempts_raw_tracepoints) continue;
            auto state = std::make_unique<State>();
            state->variant = variant;
            state->extras = extras;
            state->max_vcpus = max_vcpus;
            state->detail = detail;
            state->leaves = leaves;
            state->targets = targets;
            const auto done = state->start(*facts);
            if (!done && !first_error) first_error = done.error();
            if (!done) continue;
            if (extras.fpu == FpuEvent::none && detail >= CountDetail::time) {
                state->missing = "the parts of the exits' time are not known: " + first_error->text;
            }
            return BpfProgram(std::move(state));
        }
        failed.push_back({variant, *first_error});
    }
    return std::unexpected(attach_error(failed));
}

std::expected<BpfProgram, Error> BpfProgram::load_detached(
    std::uint32_t max_vcpus, const std::optional<TargetRequest>& targets) {
    keep_complaints();
    auto state = std::make_unique<State>();
    state->variant = AttachVariant::raw_reason;
    state->extras = {VcpuEnds::kprobe, FpuEvent::raw};
    state->max_vcpus = max_vcpus;
    state->targets = targets;
    if (auto done = state->open(KernelFacts{}); !done) {
        return std::unexpected(done.error());
    }
    state->memory().armed_ns = monotonic_ns();
    return BpfProgram(std::move(state));
}

void BpfProgram::detach() {
    // The programs are detached one by one: from here on, a missing half is not a loss.
    memory().armed_ns = std::numeric_limits<std::uint64_t>::max();
    state_->learning.reset();
    // The exit first, because it was attached last: every counted exit then has its time.
    while (!state_->links.empty()) state_->links.pop_back();
    state_->target_links.clear();
    state_->barrier.wait();
}

AttachVariant BpfProgram::variant() const { return state_->variant; }

std::uint32_t BpfProgram::max_vcpus() const { return state_->max_vcpus; }

CountDetail BpfProgram::detail() const { return state_->detail; }

const std::string& BpfProgram::missing() const { return state_->missing; }

bool BpfProgram::splits_time() const { return state_->splits_time(); }

bool BpfProgram::sees_paging() const { return state_->skeleton->rodata->tdp_enabled_address != 0; }

exittop_memory& BpfProgram::memory() { return state_->memory(); }

std::span<vcpu_slot> BpfProgram::slots() { return state_->slots(); }

std::span<std::uint8_t> BpfProgram::slot_states() {
    return {reinterpret_cast<std::uint8_t*>(slots().data() + slots().size()), slots().size()};
}

void BpfProgram::release_slot(std::uint32_t slot_index) {
    // What is reported for the slot's next vCPU must not be mistaken for a report about this one.
    ring_buffer__consume(state_->ring.get());
    state_->command_lines.erase(slot_index);
    std::memset(&slots()[slot_index], 0, sizeof(vcpu_slot));
    if (target_area* area = state_->area(slot_index)) {
        std::memset(area, 0, EXITTOP_AREA_SIZE(state_->target_room.entries));
    }
    slot_states()[slot_index] = EXITTOP_SLOT_FREE;
    state_->give_slot(slot_index);
}

void BpfProgram::end_learning() {
    if (state_->learning && std::atomic_ref(memory().count_order).load() != EXITTOP_ORDER_UNKNOWN) {
        state_->learning.reset();
    }
}

void BpfProgram::look_at_kvm_counts() {
    for (std::uint64_t slot_index = 1; slot_index < slots().size(); ++slot_index) {
        if (slot_states()[slot_index] != EXITTOP_SLOT_IN_USE) continue;
        run_program(state_->skeleton->progs.look_at_slot, {&slot_index, 1});
    }
}

std::function<std::string(std::uint32_t)> BpfProgram::command_lines() const {
    return [state = state_.get()](std::uint32_t slot) {
        ring_buffer__consume(state->ring.get());
        const auto found = state->command_lines.find(slot);
        return found == state->command_lines.end() ? std::string() : found->second;
    };
}

void BpfProgram::end_slot(std::uint32_t slot_index, std::uint64_t vcpu) {
    const std::array<std::uint64_t, 2> arguments = {slot_index, vcpu};
    run_program(state_->skeleton->progs.end_slot, arguments);
}

std::span<waiting_vcpu> BpfProgram::waiting() { return memory().waiting; }

void BpfProgram::release_waiting(std::uint32_t place) {
    std::memset(&waiting()[place], 0, sizeof(waiting_vcpu));
    // If that fails, the place stays taken; the only effect is on table_full.
    std::ignore = state_->give_waiting(place);
}

void BpfProgram::end_waiting(const std::function<bool(const vcpu_identity& who)>& is_gone) {
    for (std::uint64_t place = 0; place < waiting().size(); ++place) {
        waiting_vcpu& waits = waiting()[place];
        const std::uint64_t vcpu = std::atomic_ref(waits.vcpu).load();
        if (vcpu == 0 || !is_gone(waits.who)) continue;
        run_program(state_->skeleton->progs.end_waiting, std::array{place, vcpu});
    }
}

void BpfProgram::evict(std::span<const std::uint32_t> slot_indices) {
    for (const std::uint32_t slot_index : slot_indices) {
        const std::uint64_t vcpu = EXITTOP_VCPU_OF(load(slots()[slot_index].header.vcpu));
        run_program(state_->skeleton->progs.evict_slot,
                    std::array{std::uint64_t{slot_index}, vcpu});
    }
    state_->barrier.wait();
}

void BpfProgram::limit_users(const std::set<std::uint32_t>& uids) {
    if (uids == state_->limited) return;
    const int map = bpf_map__fd(state_->skeleton->maps.limited_users);
    const std::uint8_t unused = 0;
    bool lifted = false;
    for (const std::uint32_t uid : state_->limited) {
        if (uids.contains(uid)) continue;
        bpf_map_delete_elem(map, &uid);
        lifted = true;
    }
    for (const std::uint32_t uid : uids) bpf_map_update_elem(map, &uid, &unused, BPF_ANY);
    state_->limited = uids;
    std::atomic_ref(memory().limits).store(uids.size());
    // Waiting vCPUs try again.
    if (lifted) ++std::atomic_ref(memory().given_back);
}

std::expected<void, Error> BpfProgram::open_targets() { return state_->open_targets(); }

void BpfProgram::close_targets() {
    if (state_->targets_open) state_->close_targets();
}

void BpfProgram::count_by_target(std::uint32_t slot_index) {
    if (!state_->targets_open) return;
    vcpu_header& header = slots()[slot_index].header;
    std::atomic_ref<u64> word(header.vcpu);
    u64 vcpu = word.load();
    if (vcpu == 0 || (vcpu & EXITTOP_BY_TARGET) != 0) return;
    // What was noted of an exit under way when they were switched off is of no later one.
    std::atomic_ref(header.target_kind).store(EXITTOP_TARGET_NONE);
    // Where the vCPU goes meanwhile, the word becomes 0. The program sets and clears another bit.
    while (vcpu != 0 && !word.compare_exchange_weak(vcpu, vcpu | EXITTOP_BY_TARGET)) {}
}

std::function<TargetSource(std::uint32_t)> BpfProgram::target_sources() const {
    return [state = state_.get()](std::uint32_t slot_index) {
        return TargetSource{state->area(slot_index), &state->target_kinds,
                            state->target_room.entries};
    };
}

std::uint64_t BpfProgram::target_bytes() const {
    return state_->targets_open ? state_->target_room.bytes : 0;
}

std::vector<ProgramFacts> BpfProgram::programs() const {
    std::vector<ProgramFacts> result;
    const auto& programs = state_->skeleton->progs;
    // Since Linux 7.0 a task may be preempted within a raw tracepoint; the kernel does not run the
    // same program for others on that CPU then. kvm_exit and kvm_entry are safe, as interrupts are
    // off there; what the other programs miss is noticed elsewhere.
    const std::array noticed = {programs.destroy_fpu, programs.create_fpu, programs.destroy,
                                programs.create,      programs.fpu_cast,   programs.fpu_helper,
                                programs.fpu_classic};
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, state_->skeleton->obj) {
        const int fd = bpf_program__fd(program);
        bpf_prog_info info{};
        std::uint32_t length = sizeof info;
        if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &length) != 0) continue;
        result.push_back(
            {bpf_program__name(program), info.verified_insns, info.jited_prog_len,
             std::ranges::find(noticed, program) != noticed.end() ? 0 : info.recursion_misses,
             info.run_time_ns, info.run_cnt});
    }
    return result;
}

std::expected<void, Error> BpfProgram::measure_cost(bool on) {
    state_->measuring = FileDescriptor(on ? bpf_enable_stats(BPF_STATS_RUN_TIME) : -1);
    if (on && !state_->measuring) {
        return std::unexpected(
            kernel_error("cannot switch on the kernel's BPF statistics", -errno));
    }
    return {};
}

std::size_t BpfProgram::memory_bytes() const {
    std::size_t bytes = 0;
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, state_->skeleton->obj) {
        std::ifstream facts(fmt::format("/proc/self/fdinfo/{}", bpf_map__fd(map)));
        for (std::string line; std::getline(facts, line);) {
            if (line.starts_with("memlock:")) bytes += std::strtoul(line.c_str() + 8, nullptr, 10);
        }
    }
    return state_->areas_with_slots ? bytes - state_->target_room.bytes : bytes;  // target_bytes()
}

int BpfProgram::test_run(const std::string& program, std::span<const std::uint64_t> arguments) {
    const bpf_program* found =
        bpf_object__find_program_by_name(state_->skeleton->obj, program.c_str());
    if (found == nullptr || bpf_program__fd(found) < 0) return -ENOENT;
    return run_program(found, arguments);
}

int BpfProgram::descriptor(const std::string& program) const {
    const bpf_program* found =
        bpf_object__find_program_by_name(state_->skeleton->obj, program.c_str());
    return found != nullptr ? bpf_program__fd(found) : -1;
}

std::uint64_t monotonic_ns() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(std::chrono::nanoseconds(now).count());
}

}  // namespace exittop
