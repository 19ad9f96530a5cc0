// SPDX-License-Identifier: GPL-2.0-only
#include "capture/collector.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <ctime>
#include <limits>
#include <map>
#include <set>
#include <sstream>
#include <utility>

#include "capture/shared_word.h"

namespace exittop {
namespace {

/// Module parameters change only when a module is reloaded, which is rare.
constexpr auto facts_age = std::chrono::seconds(5);

/// Maximum age of KVM's own counts in an overview.
constexpr auto kvm_count_age = std::chrono::seconds(10);
constexpr auto wraps_age = std::chrono::seconds(30);  // track_wraps()

/// How many bytes of new VMMs' files are read to find their versions: before a snapshot, which may
/// take longer, or before an overview, where it takes a millisecond or two.
constexpr std::size_t most_of_programs = std::size_t{128} << 20;
constexpr std::size_t most_in_overview = std::size_t{2} << 20;

std::uint64_t nanoseconds_of(const timespec& time) {
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000u +
           static_cast<std::uint64_t>(time.tv_nsec);
}

std::uint64_t nanoseconds_of(const timeval& time) {
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000u +
           static_cast<std::uint64_t>(time.tv_usec) * 1'000u;
}

std::uint64_t own_cpu_ns() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return nanoseconds_of(usage.ru_utime) + nanoseconds_of(usage.ru_stime);
}

/// The pid in /proc of a vCPU's process; 0 if /proc does not have it.
std::uint32_t pid_of(const vcpu_identity& who, ProcView::Numbers numbers) {
    switch (numbers) {
        case ProcView::Numbers::kernel: return who.pid;
        case ProcView::Numbers::own: return who.reader_pid;
        case ProcView::Numbers::unknown: break;
    }
    return 0;
}

std::uint64_t exits_in(const std::vector<ExitStats>& exits) {
    std::uint64_t sum = 0;
    for (const ExitStats& stats : exits) sum += stats.count;
    return sum;
}

std::uint64_t exits_in(const std::vector<Vm>& vms) {
    std::uint64_t sum = 0;
    for (const Vm& vm : vms) {
        for (const Vcpu& vcpu : vm.vcpus) sum += exits_in(vcpu.exits);
    }
    return sum;
}

std::uint64_t exits_in(const std::vector<VmOverview>& vms) {
    std::uint64_t sum = 0;
    for (const VmOverview& vm : vms) sum += exits_in(vm.exits);
    return sum;
}

/// The processes of VMs that are there.
std::set<std::uint32_t> processes_of(const auto& vms) {
    std::set<std::uint32_t> pids;
    for (const VmInfo& vm : vms) {
        if (!vm.ended) pids.insert(vm.pid);
    }
    return pids;
}

/// The arguments in what /proc/PID/cmdline has; the last may be cut.
std::vector<std::string> split_arguments(const std::string& line) {
    std::vector<std::string> arguments;
    std::istringstream stream(line);
    for (std::string argument; std::getline(stream, argument, '\0');) {
        arguments.push_back(std::move(argument));
    }
    return arguments;
}

VmIdentity identify_on(const Host& host, const VmTable::Process& process) {
    const auto& [pid, command, line] = process;
    std::vector<std::string> argv = host.arguments(pid);
    if (argv.empty()) argv = split_arguments(line);  // It is gone.
    const std::string cgroup = host.cgroup(pid);
    VmIdentity identity = identify({argv, command, pid, cgroup});
    identity.uid = host.uid(pid);
    identity.executable = host.executable(pid);
    if (identity.pod.uid.empty()) return identity;
    Pod pod = host.pod(identity.pod.uid);
    if (!pod.name.empty()) identity.pod = std::move(pod);
    return identity;
}

/// Notes the host, which also has the ISA of VMs of which no exit was counted.
void set_host(auto& snapshot, const HostFacts& facts) {
    snapshot.host = facts;
    for (auto& vm : snapshot.vms) {
        if (is_uncounted(vm)) vm.isa = facts.isa;
    }
}

}  // namespace

std::expected<Collector, Error> Collector::start(const Host& host, AttachChoice attach,
                                                 std::uint32_t max_vcpus, CountDetail detail,
                                                 std::optional<LeafService> leaves,
                                                 std::optional<TargetRequest> targets) {
    if (targets) targets->isa = host.facts().isa;
    auto program =
        BpfProgram::start(attach, max_vcpus, detail,
                          leaves ? std::optional(leaves->meanings) : std::nullopt, targets);
    if (!program) return std::unexpected(program.error());
    Collector collector(host, std::move(*program), std::move(leaves));
    collector.targets_from_start_ = targets && targets->from_start;
    return collector;
}

Collector::Collector(const Host& host, BpfProgram program, std::optional<LeafService> leaves)
    : host_(&host), program_(std::move(program)), leaves_(std::move(leaves)),
      proc_(host.proc_view(program_.memory().reader_pid)), memory_bytes_(program_.memory_bytes()),
      vms_(
          [&host, versions = versions_,
           hidden = !program_.sees_paging()](const VmTable::Process& process) {
              VmIdentity identity = identify_on(host, process);
              if (hidden) identity.paging = host.facts().paging;
              identity.version = versions->of(process.pid);
              return identity;
          },
          [numbers = proc_.numbers](const vcpu_identity& who) { return pid_of(who, numbers); },
          program_.command_lines(), program_.target_sources()) {}

void Collector::poll() {
    program_.end_learning();
    const std::atomic_ref changes(program_.memory().changes);
    const auto time = std::chrono::steady_clock::now();
    if (time - tracked_wraps_ >= wraps_age) {
        vms_.track_wraps(program_.slots());
        tracked_wraps_ = time;
    }
    const std::uint64_t now = changes.load(std::memory_order_acquire);
    if (now == seen_changes_) return;
    seen_changes_ = now;
    take_up_changes();
}

void Collector::update_vms() {
    vms_.update(program_.slots(), program_.slot_states(),
                [this](std::uint32_t slot) { program_.release_slot(slot); });
    vms_.update_waiting(program_.waiting(), program_.slots(),
                        [this](std::uint32_t place) { program_.release_waiting(place); });
}

void Collector::share_slots() {
    std::vector<SlotUse> vcpus;
    const auto add = [&vcpus](const vcpu_identity& who, std::uint64_t& vcpu, std::uint32_t slot,
                              bool pinned) {
        const std::uint64_t address = EXITTOP_VCPU_OF(std::atomic_ref(vcpu).load());
        if (address != 0) vcpus.push_back({address, who.uid, slot, who.first_ns, pinned});
    };
    for (waiting_vcpu& waiting : program_.waiting()) add(waiting.who, waiting.vcpu, 0, false);
    if (vcpus.empty() && !limits_users_) return;
    const auto states = program_.slot_states();
    for (std::uint32_t number = 1; number < states.size(); ++number) {
        if (states[number] != EXITTOP_SLOT_IN_USE) continue;
        vcpu_header& header = program_.slots()[number].header;
        add(header.who, header.vcpu, number, header.readable != 0);
    }
    const SlotPlan plan = plan_slots(vcpus, program_.max_vcpus());
    program_.limit_users(plan.limited);
    limits_users_ = !plan.limited.empty();
    if (plan.evict.empty()) return;
    program_.evict(plan.evict);
    update_vms();
}

std::expected<void, Error> Collector::switch_targets(const std::string& vm_id) {
    if (targets_from_start_ || vm_id == by_target_) return {};
    by_target_.clear();
    program_.close_targets();
    if (vm_id.empty()) return {};
    if (auto opened = program_.open_targets(); !opened) return opened;
    by_target_ = vm_id;
    count_by_target();
    return {};
}

void Collector::count_by_target() {
    if (by_target_.empty()) return;
    vms_.for_each_live([this](const VmInfo& vm, std::uint32_t slot) {
        if (vm.id == by_target_) program_.count_by_target(slot);
    });
}

void Collector::take_up_changes() {
    update_vms();
    count_by_target();
    if (leaves_) {
        vms_.for_each_live([this](const VmInfo& vm, std::uint32_t slot) {
            // The slot is this vCPU's until it is released, so no other VM can come to it.
            if (leaves_->may_read(vm)) program_.slots()[slot].header.readable = 1;
        });
    }
    share_slots();
}

Snapshot Collector::snapshot() {
    if (stopped_.time_since_epoch().count() == 0) look_at_kvm_counts();
    take_up_changes();
    versions_->read(most_of_programs);
    auto [vms, lost] = vms_.contents(program_.slots(), monotonic_ns(), program_.waiting());
    Snapshot snapshot{info(lost, exits_in(vms)), std::move(vms)};
    set_host(snapshot, host_->facts());
    return snapshot;
}

Overview Collector::overview(const std::string& in_full) {
    const auto now = std::chrono::steady_clock::now();
    if (now - looked_at_ >= kvm_count_age) look_at_kvm_counts();
    poll();
    versions_->read(most_in_overview);
    auto [vms, full, lost] =
        vms_.overview(program_.slots(), monotonic_ns(), in_full, program_.waiting());
    Overview overview{info(lost, exits_in(vms)), std::move(vms), std::move(full)};
    if (facts_.kernel.empty() || now - facts_at_ > facts_age) {
        facts_ = host_->facts();
        facts_at_ = now;
    }
    set_host(overview, facts_);
    if (overview.in_full && is_uncounted(*overview.in_full)) overview.in_full->isa = facts_.isa;
    return overview;
}

std::vector<Vm> Collector::silent_vms(const Snapshot& snapshot) const {
    return silent_vms(processes_of(snapshot.vms), snapshot.host.isa);
}

std::vector<Vm> Collector::silent_vms(const Overview& overview) const {
    return silent_vms(processes_of(overview.vms), overview.host.isa);
}

std::vector<Vm> Collector::silent_vms(const std::set<std::uint32_t>& known, Isa isa) const {
    // Where a VM may be known by another number than /proc has for it, it would be there twice.
    if (proc_.numbers == ProcView::Numbers::unknown) return {};
    std::vector<Vm> silent;
    for (const KvmProcess& process : host_->vm_processes(known)) {
        if (process.vcpus.empty()) continue;
        Vm vm;
        describe_vm(vm, process.pid, identify_on(*host_, {process.pid, process.command, {}}));
        vm.id = fmt::format("{}.0", process.pid);  // Those with exits are numbered from 1 on.
        vm.isa = isa;
        vm.silent = true;
        for (const std::uint32_t id : process.vcpus) vm.vcpus.push_back({{.id = id}, {}});
        silent.push_back(std::move(vm));
    }
    return silent;
}

std::vector<std::string> Collector::notes() const {
    std::vector<std::string> notes;
    if (!program_.missing().empty()) notes.push_back(program_.missing());
    if (proc_.numbers == ProcView::Numbers::own) {
        notes.emplace_back(
            "this is a PID namespace of its own: --pid finds no VM outside of it, and "
            "those there without an exit are not told");
    } else if (proc_.numbers == ProcView::Numbers::unknown) {
        notes.emplace_back("/proc shows another PID namespace: --pid finds no VM, and VMs without "
                           "an exit are not told");
    } else if (proc_.hides_others) {
        notes.emplace_back("/proc hides processes of others (hidepid): VMs of theirs are known by "
                           "the beginning of their command line alone");
    }
    if (proc_.numbers != ProcView::Numbers::unknown && proc_.hides_files) {
        notes.emplace_back(
            "VMs of other users without an exit are not told: to look for them takes "
            "CAP_SYS_PTRACE");
    }
    return notes;
}

void Collector::end_stale_vcpus() {
    // A process that is not visible may still exist.
    if (proc_.numbers == ProcView::Numbers::unknown || proc_.hides_others) return;
    timespec boot{};
    clock_gettime(CLOCK_BOOTTIME, &boot);
    const std::uint64_t suspended_ns = nanoseconds_of(boot) - monotonic_ns();
    std::map<std::uint32_t, std::uint64_t> started;  // by process; never: it is gone
    constexpr auto never = std::numeric_limits<std::uint64_t>::max();
    constexpr std::uint64_t tick_ns = 10'000'000;
    std::vector<std::uint32_t> stale;
    vms_.for_each_live([&](const VmInfo& vm, std::uint32_t slot) {
        if (vm.pid == 0) return;
        const auto [found, is_new] = started.try_emplace(vm.pid, never);
        if (is_new) found->second = host_->started_ns(vm.pid).value_or(never);
        const vcpu_header& header = program_.slots()[slot].header;
        const bool is_gone = found->second == never;
        if (is_gone || found->second > header.who.first_ns + suspended_ns + tick_ns) {
            stale.push_back(slot);
        }
    });
    for (const std::uint32_t slot : stale) {
        const auto& word = program_.slots()[slot].header.vcpu;
        program_.end_slot(slot, EXITTOP_VCPU_OF(load(word)));
    }
    program_.end_waiting([&](const vcpu_identity& who) {
        const std::uint32_t pid = pid_of(who, proc_.numbers);
        return pid != 0 && !host_->started_ns(pid);
    });
    if (!stale.empty()) take_up_changes();
}

void Collector::look_at_kvm_counts() {
    end_stale_vcpus();
    program_.look_at_kvm_counts();
    looked_at_ = std::chrono::steady_clock::now();
}

void Collector::forget_ended(std::chrono::nanoseconds age) {
    const std::uint64_t now = monotonic_ns();
    const auto span = static_cast<std::uint64_t>(age.count());
    vms_.forget_ended(now > span ? now - span : 0);
}

SnapshotInfo Collector::info(const Lost& lost, std::uint64_t exits) {
    SnapshotInfo info;
    info.taken_at = utc_now();
    info.duration_s = running_time().count();
    info.detail = program_.detail();
    info.attach = attach_variant_id(program_.variant());
    info.lost = lost;
    // What found no place to wait either.
    info.lost.table_full += program_.memory().table_full;
    info.cost.cpu_ns = own_cpu_ns();
    info.cost.target_bytes = program_.target_bytes();
    info.cost.memory_bytes = memory_bytes_ + info.cost.target_bytes;
    info.cost.vcpus_used = vms_.slots_in_use();
    info.cost.vcpus_limit = program_.max_vcpus();
    for (const ProgramFacts& program : program_.programs()) {
        info.lost.program_missed += program.missed;
        info.cost.run_ns += program.run_ns;
        info.cost.runs += program.runs;
    }
    info.known_parts = program_.splits_time() ? TimeParts::all() : TimeParts{};
    if (info.known_parts.empty() && info.detail >= CountDetail::time) {
        info.lost.split_missed += exits;
    }
    return info;
}

void Collector::stop() {
    look_at_kvm_counts();
    program_.detach();
    stopped_ = std::chrono::steady_clock::now();
}

std::chrono::duration<double> Collector::running_time() const {
    const auto end =
        stopped_.time_since_epoch().count() ? stopped_ : std::chrono::steady_clock::now();
    return end - started_;
}

}  // namespace exittop
