// SPDX-License-Identifier: GPL-2.0-only
// CPU time of one refresh of the live view with 1,000 VMs of 8 vCPUs: reading the slots, the state,
// the frame, and writing it to a terminal; and of a key, which needs no reading. Prints the median
// of many; fails if it is far above the target of 10 ms.
#include <pty.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "capture/vm_table.h"
#include "cpu_time.h"
#include "live/live_state.h"
#include "live/live_view.h"
#include "live/terminal.h"
#include "fake_slots.h"

namespace exittop::test {
namespace {

constexpr std::uint32_t vms = 1'000;
constexpr std::uint32_t vcpus = 8;
constexpr int refreshes = 60;
constexpr double target_ms = 10.0;
constexpr double broken_ms = 5 * target_ms;
constexpr std::array<std::uint32_t, 12> codes = {0x00, 0x10, 0x41, 0x60, 0x61, 0x64,
                                                 0x72, 0x78, 0x7b, 0x7c, 0x81, 0x400};

// The report's output, because stdout becomes the terminal that is drawn on.
FILE* report_file = stdout;

// A terminal of 50 by 200 in place of stdin and stdout; a child reads what is written to it.
class MadeTerminal {
public:
    MadeTerminal() {
        winsize size{};
        size.ws_row = 50;
        size.ws_col = 200;
        int outer = -1;
        int inner = -1;
        const int kept = dup(STDOUT_FILENO);
        if (kept < 0 || openpty(&outer, &inner, nullptr, nullptr, &size) != 0) std::abort();
        reader_ = fork();
        if (reader_ == 0) {
            std::array<char, 65536> read_away{};
            close(inner);
            while (read(outer, read_away.data(), read_away.size()) > 0) {}
            _exit(0);
        }
        report_file = fdopen(kept, "w");
        dup2(inner, STDIN_FILENO);
        dup2(inner, STDOUT_FILENO);
        setenv("TERM", "xterm-256color", 1);
        setenv("LC_ALL", "C.UTF-8", 1);
        auto opened = Terminal::open({});
        if (!opened) std::abort();
        terminal_.emplace(std::move(*opened));
    }
    MadeTerminal(const MadeTerminal&) = delete;
    MadeTerminal& operator=(const MadeTerminal&) = delete;
    ~MadeTerminal() {
        terminal_.reset();
        kill(reader_, SIGKILL);
    }
    void show(const std::vector<Line>& lines) { terminal_->show(lines); }

private:
    std::optional<Terminal> terminal_;
    pid_t reader_ = 0;
};

// A second of exits in every slot, as the BPF program would have counted them.
void count_more(FakeSlots& slots, std::uint32_t second) {
    for (std::uint32_t number = 1; number <= vms * vcpus; ++number) {
        SlotWriter writer = slots.at(number);
        for (std::size_t i = 0; i < codes.size(); ++i) {
            const auto ns = static_cast<std::uint64_t>(600 + 977 * i + 13 * number);
            writer.exits(codes[i], ns, static_cast<std::uint32_t>(5 + i * second));
        }
    }
}

void begin(FakeSlots& slots) {
    for (std::uint32_t number = 1; number <= vms * vcpus; ++number) {
        const std::uint32_t vm = (number - 1) / vcpus;
        slots.begin(number, {.kvm = 0xffff'0000'0000'0000 + vm * 0x10000,
                             .first_ns = 100 + number,
                             .id = (number - 1) % vcpus,
                             .pid = 1000 + vm,
                             .tid = 100'000 + number});
    }
}

class Refreshing {
public:
    Refreshing() {
        begin(slots_);
        // Only when VMs come or go.
        table_.update(slots_.all(), slots_.states(), [](std::uint32_t) {});
    }

    void refresh(std::uint32_t second, const std::string& in_full) {
        count_more(slots_, second);
        const double began = cpu_ms();
        VmTable::OverviewContents contents =
            table_.overview(slots_.all(), second * 1'000'000'000ULL, in_full);
        const double read = cpu_ms();
        Sample sample;
        sample.overview.taken_at = "2026-03-01T12:00:00Z";
        sample.overview.duration_s = second;
        sample.overview.vms = std::move(contents.vms);
        sample.overview.in_full = std::move(contents.in_full);
        state = apply(std::move(state), std::move(sample));
        const double applied = cpu_ms();
        const auto lines = draw(state, Glyphs::utf8);
        const double drawn = cpu_ms();
        terminal.show(lines);
        const double shown = cpu_ms();
        parts[0].push_back(read - began);
        parts[1].push_back(applied - read);
        parts[2].push_back(drawn - applied);
        parts[3].push_back(shown - drawn);
        parts[4].push_back(shown - began);
    }

    State state = apply(State{}, Resize{50, 200});
    MadeTerminal terminal;
    std::array<std::vector<double>, 5> parts;

private:
    FakeSlots slots_{vms * vcpus};
    VmTable table_{[](const VmTable::Process& process) {
        return VmIdentity{fmt::format("vm-{:04}", process.pid - 1000), "", "qemu"};
    }};
};

double report(const char* what, Refreshing& refreshing) {
    const auto& parts = refreshing.parts;
    const double all = median(parts[4]);
    fmt::print(report_file,
               "{}: {:.2f} ms of CPU (slots {:.2f}, state {:.2f}, frame {:.2f}, terminal {:.2f}), "
               "{:.2f}% of a core at one a second\n",
               what, all, median(parts[0]), median(parts[1]), median(parts[2]), median(parts[3]),
               all / 10);
    for (auto& part : refreshing.parts) part.clear();
    return all;
}

int run() {
    Refreshing refreshing;
    fmt::print(report_file, "{} VMs of {} vCPUs, {} reasons each; target under {} ms\n", vms, vcpus,
               codes.size(), target_ms);
    refreshing.refresh(1, "");
    report("first refresh", refreshing);
    std::uint32_t second = 2;
    for (int i = 0; i < refreshes; ++i) refreshing.refresh(second++, "");
    const double all = report("refresh", refreshing);
    refreshing.state = apply(std::move(refreshing.state), Key{KeyCode::enter, 0});
    for (int i = 0; i < refreshes; ++i) refreshing.refresh(second++, refreshing.state.vm);
    report("refresh, one VM opened", refreshing);
    refreshing.state = apply(std::move(refreshing.state), Key{KeyCode::escape, 0});

    std::vector<double> keys;
    for (int i = 0; i < 200; ++i) {
        const double began = cpu_ms();
        refreshing.state = apply(std::move(refreshing.state), Key{KeyCode::down, 0});
        refreshing.terminal.show(draw(refreshing.state, Glyphs::utf8));
        keys.push_back(cpu_ms() - began);
    }
    fmt::print(report_file, "key: {:.2f} ms of CPU\n", median(keys));
    return all < broken_ms ? 0 : 1;
}

}  // namespace
}  // namespace exittop::test

int main() { return exittop::test::run(); }
