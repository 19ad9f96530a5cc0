// SPDX-License-Identifier: GPL-2.0-only
#include "commands/live.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <utility>

#include "capture/collector.h"
#include "commands/selection.h"
#include "commands/waiting.h"
#include "live/live_state.h"
#include "live/live_view.h"
#include "live/terminal.h"
#include "output/json.h"
#include "output/run_file.h"
#include "system/files.h"
#include "system/workload.h"

namespace exittop {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

/// VMs that ended longer ago than this are removed from memory.
constexpr auto ended_kept = 60s;
/// Maximum age of the list of VMs without exits: making it looks into every process.
constexpr auto silent_age = 10s;
/// After this many wake-ups by input without an event, the terminal is assumed to be gone.
constexpr int most_deaf_wakeups = 20;

/// "exittop-20260301T120000Z.json"
std::string run_file_name(std::string taken_at) {
    std::erase_if(taken_at, [](char c) { return c == ':' || c == '-'; });
    return fmt::format("exittop-{}.json", taken_at);
}

/// A reason's screen switches targets on.
CountingOptions ready_for_targets(CountingOptions options) {
    options.targets_later = true;
    return options;
}

class Live {
public:
    Live(const Host& host, const LiveOptions& options, Terminal terminal, State state)
        : options_(options), terminal_(std::move(terminal)), state_(std::move(state)),
          deferred_(host, ready_for_targets(options.counting), {}, listener()) {
        happen(terminal_.size());
    }

    std::expected<int, Error> run() {
        draw_now();
        while (!state_.quit) {
            if (auto counted = count(); !counted) return std::unexpected(counted.error());
            answer_requests();
            switch_targets();
            if (std::exchange(changed_, false)) draw_now();
            wait();
        }
        return static_cast<int>(ExitStatus::done);
    }

private:
    void happen(const Event& event) {
        state_ = apply(std::move(state_), event);
        changed_ = true;
    }

    void draw_now() { terminal_.show(draw(state_, terminal_.glyphs())); }

    /// Waits for a key, the next sample or the next poll.
    void wait() {
        const auto due =
            std::chrono::duration_cast<std::chrono::milliseconds>(next_ - Clock::now());
        const auto limit = std::clamp<std::chrono::milliseconds>(due + 1ms, 1ms, poll_interval);
        pollfd input{STDIN_FILENO, POLLIN, 0};
        const int ready = ::poll(&input, 1, static_cast<int>(limit.count()));
        bool heard = false;
        while (const auto event = terminal_.next()) {
            heard = true;
            happen(*event);
        }
        deaf_ = ready > 0 && !heard ? deaf_ + 1 : 0;
        const bool gone = ready > 0 && (input.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
        if (gone || deaf_ > most_deaf_wakeups) state_.quit = true;
        while (const auto number = signals_.wait(0ms)) {
            if (*number != SIGCHLD) state_.quit = true;
        }
    }

    std::optional<Collector>& collector() { return deferred_.collector(); }

    std::expected<void, Error> count() {
        if (auto polled = deferred_.poll(); !polled || !collector()) return polled;
        const bool due = Clock::now() >= next_;
        // A sample has it in full, too, but the state takes no samples while paused.
        const std::string opened = opened_vm(state_);
        if (opened != detailed_ && (!due || state_.paused)) look_into(opened);
        if (due) sample();
        return {};
    }

    DeferredListener listener() {
        return {.waits =
                    [this] {
                        state_.waiting = "Waiting for kvm_intel or kvm_amd to be loaded.";
                        changed_ = true;
                    },
                .counts =
                    [this](const Collector& collector) {
                        for (const std::string& note : collector.notes()) {
                            happen(Note{note, state_.measure});
                        }
                        next_ = Clock::now();
                    }};
    }

    /// Adds the VMs of which no exit was seen; they are looked for every ten seconds.
    void add_silent_vms(Overview& overview) {
        if (Clock::now() - silent_at_ >= silent_age) {
            silent_ = collector()->silent_vms(overview);
            silent_at_ = Clock::now();
        }
        std::erase_if(silent_, [&overview](const VmInfo& silent) {
            const auto has_exits = [&silent](const VmInfo& vm) {
                return vm.pid == silent.pid && !vm.ended;
            };
            return std::ranges::any_of(overview.vms, has_exits);
        });
        for (const Vm& silent : silent_) {
            overview.vms.push_back(overview_of(silent));
            if (silent.id == detailed_) overview.in_full = silent;
        }
    }

    void sample() {
        detailed_ = opened_vm(state_);
        // Not before a sample has shown that these VMs ended.
        const auto delay = std::chrono::duration_cast<Clock::duration>(
            std::chrono::duration<double>(state_.delay_s));
        if (!state_.keep_ended) {
            collector()->forget_ended(std::max<Clock::duration>(ended_kept, 2 * delay));
        }
        Sample taken{collector()->overview(detailed_)};
        add_silent_vms(taken.overview);
        keep_wanted(taken.overview, options_.vms);
        state_ = apply(std::move(state_), std::move(taken));
        changed_ = true;
        next_ = std::max(next_ + delay, Clock::now() + delay / 2);
        if (options_.iterations && ++samples_ > *options_.iterations) state_.quit = true;
    }

    /// A VM that was just opened shows its distributions at once.
    void look_into(const std::string& id) {
        detailed_ = id;
        if (id.empty()) return;
        Overview overview = collector()->overview(id);
        if (overview.in_full) happen(Detail{std::move(*overview.in_full), overview.duration_s});
    }

    void answer_requests() {
        if (!collector()) return;
        if (state_.write) happen(Note{write_run(), state_.measure});
        if (state_.measure == measuring_) return;
        const auto done = collector()->measure_cost(state_.measure);
        measuring_ = state_.measure && done.has_value();
        happen(Note{!done        ? done.error().text
                    : measuring_ ? "the kernel measures its BPF programs until exittop ends"
                                 : "the kernel no longer measures for exittop",
                    measuring_});
    }

    /// Targets are counted as long as the screen that shows them is open. If that fails, it is
    /// tried again when it is opened again.
    void switch_targets() {
        const std::string wanted = wants_targets(state_);
        if (!collector() || wanted == asked_targets_) return;
        asked_targets_ = wanted;
        const auto done = collector()->switch_targets(wanted);
        happen(TargetsSwitched{.vm = done ? wanted : std::string(),
                               .at_s = collector()->running_time().count(),
                               .bytes = collector()->target_bytes(),
                               .error = done ? std::string() : done.error().text});
    }

    /// Switched on by a screen, targets are counted of its VM alone, from then on. Elsewhere they
    /// are none, or what vCPUs had that ended while another screen was open.
    void settle_targets(Snapshot& snapshot) const {
        if (state_.chosen_targets) return;
        for (Vm& vm : snapshot.vms) {
            if (vm.id == asked_targets_) {
                fill_up_targets(vm);
            } else {
                take_out_targets(vm);
            }
        }
    }

    static void fill_up_targets(Vm& vm) {
        for (Vcpu& vcpu : vm.vcpus) {
            for (ExitStats& stats : vcpu.exits) {
                if (!stats.targets) continue;
                const bool has_histogram = !stats.histogram.empty();
                const std::uint64_t completed =
                    has_histogram ? stats.histogram.total() : stats.count;
                stats.targets->fill_up({completed, stats.time_ns}, "before they were counted");
            }
        }
    }

    std::string write_run() {
        Snapshot snapshot = collector()->snapshot();
        keep_wanted(snapshot, options_.vms);
        settle_targets(snapshot);
        const std::string name = run_file_name(snapshot.taken_at);
        const auto written = write_file(name, to_json(snapshot), false);
        return written ? "wrote " + name : written.error().text;
    }

    const LiveOptions& options_;
    Signals signals_;
    Terminal terminal_;
    State state_;
    DeferredCollector deferred_;
    Clock::time_point next_ = Clock::now() + poll_interval;
    std::vector<Vm> silent_;
    Clock::time_point silent_at_{};
    std::string detailed_;       ///< The VM whose distributions the state has.
    std::string asked_targets_;  ///< What wants_targets() said last.
    std::uint64_t samples_ = 0;
    bool measuring_ = false;
    bool changed_ = true;
    int deaf_ = 0;
};

bool is_known(Screen screen, const std::string& sort) {
    return std::ranges::find(sort_keys(screen), sort, &SortKey::key) != sort_keys(screen).end();
}

std::expected<State, Error> first_state(const LiveOptions& options) {
    State state;
    state.delay_s = std::chrono::duration<double>(options.delay).count();
    state.chosen_targets = options.counting.targets;
    // The default sort field of the tables, the count, is the rate here.
    for (const Screen screen : {Screen::vms, Screen::reasons, Screen::targets}) {
        if (options.sort != "count" && is_known(screen, options.sort)) {
            state.lists[static_cast<std::size_t>(screen)].sort = options.sort;
        }
    }
    if (options.baseline.empty()) return state;
    const auto run = read_run(options.baseline);
    if (!run) return std::unexpected(run.error());
    state.baseline = baseline_from(run->repeats.front(), run->label);
    return state;
}

}  // namespace

std::expected<int, Error> run_live(const Host& host, const LiveOptions& options, Color color) {
    if (isatty(STDIN_FILENO) != 1) {
        return failed("stdin is not a terminal, so there are no keys: use --batch");
    }
    auto state = first_state(options);
    if (!state) return std::unexpected(state.error());
    auto terminal = Terminal::open({options.ascii, color});
    if (!terminal) return std::unexpected(terminal.error());
    return Live(host, options, std::move(*terminal), std::move(*state)).run();
}

}  // namespace exittop
