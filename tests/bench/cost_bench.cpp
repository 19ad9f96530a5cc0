// SPDX-License-Identifier: GPL-2.0-only
// What counting costs on this machine: ns per event through test runs of the BPF program, against a
// program that does nothing; the start; and how a snapshot, a refresh and an export grow with the
// number of VMs (of 8 vCPUs, 20 reasons each, counted by the BPF program). Needs root. Prints
// tables in Markdown.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "analysis/series.h"
#include "capture/bpf_program.h"
#include "capture/vm_table.h"
#include "cpu_time.h"
#include "floor.skel.h"
#include "live/live_state.h"
#include "live/live_view.h"
#include "output/prometheus.h"
#include "system/files.h"

#include <bpf/bpf.h>

namespace exittop::test {
namespace {

constexpr std::uint32_t vcpus_per_vm = 8;
constexpr std::uint32_t reasons = 20;
constexpr std::uint32_t svm = 2;

struct Spent {
    double cpu_ms = 0.0;
    double wall_ms = 0.0;
};

Spent spent_on(auto&& work) {
    const double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    const double wall = seconds_of(CLOCK_MONOTONIC);
    work();
    return {(seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu) * 1e3,
            (seconds_of(CLOCK_MONOTONIC) - wall) * 1e3};
}

/// The median by CPU time.
Spent median_of(int times, auto&& work) {
    std::vector<Spent> all;
    for (int i = 0; i < times; ++i) all.push_back(spent_on(work));
    std::ranges::sort(all, {}, &Spent::cpu_ms);
    return all[all.size() / 2];
}

/// Memory of this process, without the kernel memory that it maps.
double own_mib() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with("RssAnon:")) return std::stod(line.substr(8)) / 1024;
    }
    return 0.0;
}

std::uint64_t address_of(std::uint32_t number) { return 0x10000ULL + number * 0x2a80ULL; }

void exit_and_entry(BpfProgram& program, std::uint64_t vcpu, std::uint32_t code) {
    const std::array<std::uint64_t, 3> exit = {code, vcpu, svm};
    const std::array<std::uint64_t, 1> entry = {vcpu};
    program.test_run("exit_raw_reason", exit);
    program.test_run("entry_raw", entry);
}

/// Least ns of a test run, of many batches.
double ns_per_run(auto&& run) {
    constexpr int batches = 60, runs = 2'000;
    double least = 1e9;
    for (int batch = 0; batch < batches; ++batch) {
        const Spent spent = spent_on([&] {
            for (int i = 0; i < runs; ++i) run();
        });
        least = std::min(least, spent.wall_ms * 1e6 / runs);
    }
    return least;
}

int compare_with_floor() {
    auto program = BpfProgram::load_detached(64);
    floor_bpf* floor = floor_bpf__open_and_load();
    if (!program || floor == nullptr) return 1;
    const std::array<std::uint64_t, 3> exit = {0x72, address_of(1), svm};
    const std::array<std::uint64_t, 1> entry = {address_of(1)};
    LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = exit.data(), .ctx_size_in = sizeof exit);
    const int empty = bpf_program__fd(floor->progs.exit_empty);
    exit_and_entry(*program, address_of(1), 0x72);
    const int exit_fd = program->descriptor("exit_raw_reason");
    const int entry_fd = program->descriptor("entry_raw");
    const double none = ns_per_run([] { getppid(); });
    const double base = ns_per_run([&] { bpf_prog_test_run_opts(empty, &options); });
    const double pair = ns_per_run([&] {
        options.ctx_in = exit.data();
        options.ctx_size_in = sizeof exit;
        bpf_prog_test_run_opts(exit_fd, &options);
        options.ctx_in = entry.data();
        options.ctx_size_in = sizeof entry;
        bpf_prog_test_run_opts(entry_fd, &options);
    });
    fmt::print("### Test runs on this machine, ns per event\n\n"
               "| a system call | floor: empty program | exittop (exit and entry, mean) | ratio |\n"
               "|---|---|---|---|\n| {:.0f} | {:.0f} | {:.0f} | {:.2f} |\n\n",
               none, base, pair / 2, pair / 2 / base);
    floor_bpf__destroy(floor);
    return 0;
}

/// A start and its end, with room for 4,096 vCPUs. Without KVM, the start only reads the kernel's
/// facts; then loading the program is measured separately, and attaching is not measured.
void report_start() {
    bool attached = false;
    const Spent start = median_of(9, [&] {
        attached = BpfProgram::start(AttachChoice::raw, 4096, CountDetail::histogram).has_value();
    });
    if (attached) {
        fmt::print("Start: {:.0f} ms of CPU ({:.0f} ms)\n\n", start.cpu_ms, start.wall_ms);
        return;
    }
    const Spent load = median_of(9, [] { auto program = BpfProgram::load_detached(4096); });
    fmt::print("Start: {:.0f} ms of CPU ({:.0f} ms): {:.0f} ({:.0f}) to read what the kernel says "
               "of itself, {:.0f} ({:.0f}) to load\nthe program; attaching is not in it, as this "
               "machine has no KVM\n\n",
               start.cpu_ms + load.cpu_ms, start.wall_ms + load.wall_ms, start.cpu_ms,
               start.wall_ms, load.cpu_ms, load.wall_ms);
}

int grow(std::uint32_t vms) {
    const std::uint32_t vcpus = vms * vcpus_per_vm;
    auto program = BpfProgram::load_detached(vcpus);
    if (!program) {
        fmt::print(stderr, "cost_bench: {}\n", program.error().text);
        // Root may load it: for root a refusal is a failure.
        return program.error().status == ExitStatus::lacking && geteuid() != 0 ? 77 : 1;
    }
    for (std::uint32_t number = 0; number < vcpus; ++number) {
        for (std::uint32_t reason = 0; reason < reasons; ++reason) {
            exit_and_entry(*program, address_of(number), 0x60 + reason);
        }
    }
    // Made-up vCPUs have no struct kvm that distinguishes VMs.
    std::uint32_t seen = 0;
    for (std::uint32_t number = 0; number < program->slots().size(); ++number) {
        if (program->slot_states()[number] == EXITTOP_SLOT_FREE) continue;
        vcpu_slot& slot = program->slots()[number];
        const std::uint32_t vm = seen++ / vcpus_per_vm;
        slot.header.who.kvm = 0xffff'0000'0000'0000 + vm * 0x10000ULL;
        slot.header.who.pid = 1000 + vm;
        slot.header.who.vcpu_id = seen % vcpus_per_vm;
    }
    if (seen != vcpus) return 1;

    VmTable table([](const VmTable::Process& process) {
        return VmIdentity{fmt::format("vm-{:04}", process.pid - 1000), "", "qemu"};
    });
    table.update(program->slots(), program->slot_states(), [](std::uint32_t) {});
    std::uint64_t now = 1'000'000'000;
    State state = apply(State{}, Resize{50, 200});
    const Spent refresh = median_of(15, [&] {
        Sample sample;
        sample.overview.taken_at = "2026-03-01T12:00:00Z";
        sample.overview.duration_s = static_cast<double>(now += 1'000'000'000) * 1e-9;
        sample.overview.vms = table.overview(program->slots(), now, "").vms;
        state = apply(std::move(state), std::move(sample));
        const auto lines = draw(state, Glyphs::utf8);
    });
    const double live_memory = own_mib();
    state = State{};
    const auto file =
        std::filesystem::temp_directory_path() / fmt::format("exittop-bench-{}.prom", getpid());
    SeriesMemory memory;
    const Spent exported = median_of(15, [&] {
        Overview overview;
        overview.detail = CountDetail::time;
        overview.vms = table.overview(program->slots(), now += 1'000'000'000, "").vms;
        const auto series = make_series(overview, {}, memory);
        if (!publish_file(file, prometheus_text(overview, series, {}))) std::abort();
    });
    const double export_memory = own_mib();
    withdraw_file(file);
    Snapshot snapshot;
    const Spent taken =
        median_of(7, [&] { snapshot.vms = table.contents(program->slots(), now).vms; });
    fmt::print("| {} | {} | {:.2f} / {:.2f} | {:.2f} / {:.2f} | {:.2f} / {:.2f} | {:.1f}, {:.1f} | "
               "{:.2f} |\n",
               vms, vcpus, taken.cpu_ms, taken.wall_ms, refresh.cpu_ms, refresh.wall_ms,
               exported.cpu_ms, exported.wall_ms, live_memory, export_memory,
               static_cast<double>(program->memory_bytes()) / vcpus / 1024);
    return 0;
}

int report_growth() {
    fmt::print("### Growth: VMs of 8 vCPUs, 20 reasons; ms of CPU / wall time\n\n"
               "| VMs | vCPUs | snapshot | live refresh | export | own MiB: live, export | "
               "kernel KiB per vCPU |\n"
               "|---|---|---|---|---|---|---|\n");
    std::fflush(stdout);
    for (const std::uint32_t vms : {1U, 10U, 100U, 1'000U}) {
        // Each in its own process, to measure its memory.
        const pid_t child = fork();
        if (child == 0) {
            const int status = grow(vms);
            std::fflush(stdout);
            _exit(status);
        }
        int status = 0;
        waitpid(child, &status, 0);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return 1;
    }
    return 0;
}

int run() {
    if (const int status = compare_with_floor(); status != 0) return status;
    report_start();
    return report_growth();
}

}  // namespace
}  // namespace exittop::test

// With the argument "growth", prints only the growth.
int main(int argc, char** argv) {
    using namespace exittop::test;
    return argc > 1 && argv[1] == std::string_view("growth") ? report_growth() : run();
}
