// SPDX-License-Identifier: GPL-2.0-only
#include "commands/export.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <string>
#include <utility>
#include <vector>

#include "analysis/series.h"
#include "base/text.h"
#include "commands/selection.h"
#include "commands/waiting.h"
#include "output/prometheus.h"
#include "system/files.h"
#include "system/service_manager.h"
#include "system/workload.h"

namespace exittop {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using WriteResult = std::expected<void, Error>;

constexpr std::chrono::nanoseconds default_interval = 15s;

double unix_time_s() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch())
        .count();
}

/// Where the metrics go: a file, or stdout.
class Target {
public:
    explicit Target(std::string name) : name_(std::move(name)) {}

    [[nodiscard]] bool is_file() const { return name_ != "-"; }
    [[nodiscard]] const std::string& name() const { return name_; }

    WriteResult write(const std::string& text) {
        WriteResult written = is_file() ? publish_file(name_, text) : write_stdout(text);
        is_ours_ = is_ours_ || written;
        return written;
    }

    /// Does not remove a file that another process left and that was never replaced.
    void remove() const {
        if (is_file() && is_ours_) withdraw_file(name_);
    }

private:
    std::string name_;
    bool is_ours_ = false;
};

class Exporter {
public:
    Exporter(const Host& host, const ExportOptions& options)
        : host_(host), options_(options), waiting_(host, options.counting),
          target_(options.textfile) {}

    std::expected<int, Error> run() {
        return options_.duration ? write_once() : write_until_signal();
    }

private:
    std::expected<int, Error> write_once() {
        while (!is_over()) {
            if (auto polled = poll(); !polled) return std::unexpected(polled.error());
            if (ended_by_signal(poll_interval)) break;
        }
        if (auto stopped = waiting_.stop(); !stopped) return std::unexpected(stopped.error());
        const auto written = target_.write(text());
        if (!written) return std::unexpected(written.error());
        return 0;
    }

    [[nodiscard]] bool is_over() {
        const auto& collector = waiting_.collector();
        return collector && collector->running_time() >= *options_.duration;
    }

    std::expected<int, Error> write_until_signal() {
        const auto interval = options_.interval.value_or(default_interval);
        auto next = Clock::now();
        while (true) {
            const bool was_counting = waiting_.collector().has_value();
            if (auto polled = poll(); !polled) return end(std::unexpected(polled.error()));
            const bool has_begun = !was_counting && waiting_.collector();
            if (has_begun || Clock::now() >= next) {
                if (auto updated = update(); !updated) return end(std::unexpected(updated.error()));
                // Not faster after a suspend.
                next = std::max(next + interval, Clock::now() + interval / 2);
            }
            manager_.alive();
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now());
            if (ended_by_signal(std::clamp<std::chrono::milliseconds>(left, 0ms, poll_interval))) {
                return end(0);
            }
        }
    }

    std::expected<int, Error> end(std::expected<int, Error> result) {
        manager_.stopping();
        target_.remove();
        return result;
    }

    WriteResult poll() {
        const bool was_counting = waiting_.collector().has_value();
        if (auto polled = waiting_.poll(); !polled) return polled;
        auto& collector = waiting_.collector();
        if (was_counting || !collector || !options_.measure) return {};
        return collector->measure_cost(true);
    }

    bool ended_by_signal(std::chrono::milliseconds pause) {
        const auto number = signals_.wait(pause);
        return number && *number != SIGCHLD;
    }

    /// Writes. A failure is reported once and retried at the next interval. Returns an error only
    /// if retrying makes no sense: a closed stdout does not come back.
    WriteResult update() {
        auto written = target_.write(text());
        if (!written && !target_.is_file()) return written;
        if (written) {
            // VMs that ended have now been written for the last time.
            if (waiting_.collector()) waiting_.collector()->forget_ended(0s);
            if (!problem_.empty()) {
                report(fmt::format("writes '{}' again", sanitise(target_.name(), 200)));
            }
            problem_.clear();
        } else {
            ++write_errors_;
            const std::string problem = written.error().text;
            if (problem != problem_) report(problem + "; trying again every interval");
            problem_ = problem;
        }
        manager_.report(status());
        return {};
    }

    [[nodiscard]] std::string status() {
        if (!problem_.empty()) return problem_;
        if (!waiting_.collector()) return "waiting for kvm_intel or kvm_amd";
        return fmt::format("exporting {}", print_number_of(vms_, "VM"));
    }

    std::string text() {
        auto& collector = waiting_.collector();
        if (!collector) {
            Snapshot nothing;
            nothing.detail = options_.counting.detail;
            nothing.host = host_.facts();
            return text_of(std::move(nothing));
        }
        // An overview has neither histograms nor vCPUs nor targets.
        const bool in_full = options_.counting.detail >= CountDetail::histogram ||
                             options_.per_vcpu || options_.counting.targets;
        return in_full ? text_of(collector->snapshot()) : text_of(collector->overview(""));
    }

    /// Of a snapshot or an overview.
    std::string text_of(auto taken) {
        keep_wanted(taken, options_.vms);
        const SeriesOptions wanted = {options_.top_reasons, options_.per_vcpu,
                                      options_.counting.targets ? options_.top_targets : 0};
        const std::vector<VmSeries> vms = make_series(taken, wanted, memory_);
        vms_ = vms.size();
        return prometheus_text(taken, vms,
                               {unix_time_s(), waiting_.collector().has_value(), write_errors_});
    }

    const Host& host_;
    const ExportOptions& options_;
    Signals signals_;
    DeferredCollector waiting_;
    Target target_;
    ServiceManager manager_;
    SeriesMemory memory_;
    std::size_t vms_ = 0;
    std::uint64_t write_errors_ = 0;
    std::string problem_;  ///< Why the last update failed; empty: it did not.
};

}  // namespace

std::expected<int, Error> run_export(const Host& host, const ExportOptions& options) {
    return Exporter(host, options).run();
}

}  // namespace exittop
