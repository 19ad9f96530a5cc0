// SPDX-License-Identifier: GPL-2.0-only
#include "commands/dump.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <iterator>
#include <thread>
#include <utility>

#include "base/text.h"
#include "capture/collector.h"
#include "commands/waiting.h"
#include "system/workload.h"

namespace exittop {
namespace {

using namespace std::chrono_literals;

/// All counts, and the VMs without counts.
Snapshot with_silent_vms(Collector& collector) {
    Snapshot snapshot = collector.snapshot();
    std::ranges::move(collector.silent_vms(snapshot), std::back_inserter(snapshot.vms));
    return snapshot;
}

/// Counting that begins when the host is ready, and ends for one of several causes.
class Counting {
public:
    Counting(const Host& host, const CountingOptions& options, const Work& work,
             std::optional<LeafService> leaves)
        : work_(work), waiting_(host, options, std::move(leaves)) {}

    std::expected<Counted, Error> run() {
        if (auto begun = waiting_.poll(); !begun) return std::unexpected(begun.error());
        if (!work_.command.empty()) {
            auto workload = Workload::start(work_.command);
            if (!workload) return std::unexpected(workload.error());
            workload_.emplace(std::move(*workload));
        }
        while (!is_over()) {
            if (const auto number = signals_.wait(poll_interval)) handle(*number);
            if (auto polled = waiting_.poll(); !polled) return std::unexpected(polled.error());
        }
        return result();
    }

private:
    void handle(int number) {
        if (number == SIGCHLD) return;
        interrupted_ = true;
        if (workload_) {
            workload_->end(number);  // and the counting with it
        } else {
            stopped_ = true;
        }
    }

    bool is_over() {
        if (workload_) {
            status_ = workload_->exit_status();
            return status_.has_value();
        }
        const auto& collector = waiting_.collector();
        return stopped_ ||
               (collector && work_.duration && collector->running_time() >= *work_.duration);
    }

    std::expected<Counted, Error> result() {
        if (auto stopped = waiting_.stop(); !stopped) return std::unexpected(stopped.error());
        return Counted{with_silent_vms(*waiting_.collector()), status_.value_or(0), interrupted_};
    }

    const Work& work_;
    Signals signals_;
    DeferredCollector waiting_;
    std::optional<Workload> workload_;
    std::optional<int> status_;
    bool stopped_ = false;
    bool interrupted_ = false;
};

/// What counting costs on this host with its current load, as the kernel measured it.
CheckLine cost_line(const Snapshot& snapshot) {
    const Cost& cost = snapshot.cost;
    if (cost.runs == 0 || !(snapshot.duration_s > 0.0)) {
        return {Finding::note, "cost", "not estimated: no exits; run it again beside a VM"};
    }
    const double runs = static_cast<double>(cost.runs);
    const double run_ns = static_cast<double>(cost.run_ns);
    return {Finding::ok, "cost",
            fmt::format("about {:.0f} ns per event, {} events/s: {} of one CPU", run_ns / runs,
                        print_rate(runs / snapshot.duration_s),
                        print_percent(run_ns * 1e-9 / snapshot.duration_s))};
}

/// Whether the counts equal KVM's own.
CheckLine kvm_count_check(const std::vector<Vm>& vms) {
    const KvmCount count = kvm_count(vms);
    const std::string vcpus = print_number_of(count.known, "vCPU");
    const std::string others =
        count.unknown == 0 ? "" : fmt::format("; not known for {} more", count.unknown);
    if (count.known == 0) return {Finding::note, "counts", "KVM's own count is not known"};
    if (count.untraced == 0) {
        return {Finding::ok, "counts",
                fmt::format("counted = KVM's count for {}{}", vcpus, others)};
    }
    return {Finding::note, "counts",
            fmt::format("KVM counted {} for {}, {} of which it did not trace{}",
                        print_number_of(count.exits, "exit"), vcpus, group_digits(count.untraced),
                        others)};
}

/// "; uid 107, /usr/bin/qemu-system-x86_64", as far as it is known.
std::string owner_text(const VmInfo& vm) {
    std::string text = vm.uid ? fmt::format("; uid {}", *vm.uid) : "";
    if (vm.executable.empty()) return text;
    return text + (text.empty() ? "; " : ", ") + sanitise(vm.executable, name_columns);
}

}  // namespace

std::expected<Counted, Error> count_exits(const Host& host, const CountingOptions& options,
                                          const Work& work, std::optional<LeafService> leaves) {
    return Counting(host, options, work, std::move(leaves)).run();
}

std::vector<CheckLine> check_counting(const Host& host, const CheckOptions& options) {
    std::vector<CheckLine> lines;
    const HostFacts facts = host.facts();
    for (const auto& [name, value] : facts.parameters) {
        if (affects_exit_cost(name)) {
            lines.push_back({Finding::ok, "parameter", name + " = " + value});
        }
    }
    if (!host.vendor_module()) return lines;

    auto collector = Collector::start(host, options.counting.attach, options.counting.max_vcpus);
    if (!collector) {
        lines.push_back({Finding::missing, "attach", collector.error().text});
        return lines;
    }
    lines.push_back({Finding::ok, "paging", paging_name(facts.paging) + " for new VMs"});
    lines.push_back({Finding::ok, "attach", attach_variant_name(collector->program().variant())});
    for (const std::string& note : collector->notes()) {
        lines.push_back({Finding::note, "limits", note});
    }
    if (host.module_users("kvm")) {
        lines.push_back(
            {Finding::note, "module",
             "kvm cannot be unloaded while exittop counts ('rmmod kvm': in use): end it "
             "first; the vendor's module can"});
    }
    for (const ProgramFacts& program : collector->program().programs()) {
        lines.push_back(
            {Finding::ok, "program",
             fmt::format("{}: {} instructions verified, {} bytes of machine code", program.name,
                         program.verified_instructions, program.jited_bytes)});
    }
    lines.push_back({Finding::ok, "memory",
                     fmt::format("{} for up to {} vCPUs (--max-vcpus)",
                                 print_bytes(collector->program().memory_bytes()),
                                 collector->program().max_vcpus())});
    const std::uint32_t max_vcpus = collector->program().max_vcpus();
    if (const auto room = target_room(max_vcpus, options.counting.target_memory)) {
        lines.push_back({Finding::ok, "targets",
                         fmt::format("{} more while --targets is on: {} targets of each vCPU",
                                     print_bytes(room->bytes), room->entries - 1)});
    } else {
        lines.push_back({Finding::note, "targets", room.error().text});
    }
    const auto measured = collector->measure_cost(true);
    std::this_thread::sleep_for(options.duration.value_or(1s));
    const Snapshot snapshot = with_silent_vms(*collector);
    lines.push_back(measured ? cost_line(snapshot)
                             : CheckLine{Finding::note, "cost", measured.error().text});
    if (snapshot.vms.empty()) {
        lines.push_back({Finding::note, "VMs", "none exited meanwhile"});
    }
    for (const Vm& vm : snapshot.vms) {
        lines.push_back(
            {Finding::ok, "VM",
             fmt::format("{} (pid {}, {}, {}, {}){}", sanitise(vm.name, name_columns), vm.pid,
                         sanitise(vm.vmm, name_columns), print_number_of(vm.vcpus.size(), "vCPU"),
                         vm.silent ? "no exit seen" : paging_name(vm.paging), owner_text(vm))});
    }
    if (!snapshot.vms.empty()) {
        lines.push_back({Finding::note, "names",
                         "are what each VMM's process says of itself; uid and executable are what "
                         "the kernel says of it"});
        lines.push_back(kvm_count_check(snapshot.vms));
    }
    return lines;
}

}  // namespace exittop
