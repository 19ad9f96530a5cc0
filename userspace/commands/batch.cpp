// SPDX-License-Identifier: GPL-2.0-only
#include "commands/batch.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <optional>
#include <utility>

#include "commands/selection.h"
#include "commands/waiting.h"
#include "model/delta.h"
#include "output/batch_format.h"
#include "system/files.h"
#include "system/workload.h"

namespace exittop {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

class Batch {
public:
    Batch(const Host& host, const LiveOptions& options, const TableOptions& table)
        : options_(options), table_(table), waiting_(host, options.counting) {}

    std::expected<int, Error> run() {
        while (!is_done()) {
            if (auto polled = waiting_.poll(); !polled) return std::unexpected(polled.error());
            if (waiting_.collector() && !next_) next_ = Clock::now() + options_.delay;
            if (next_ && Clock::now() >= *next_) {
                const auto printed = print(*waiting_.collector());
                if (!printed) return std::unexpected(printed.error());
                continue;
            }
            if (auto open = check_stdout(); !open) return std::unexpected(open.error());
            const auto number = signals_.wait(pause());
            if (number && *number != SIGCHLD) break;
        }
        return 0;
    }

private:
    bool is_done() const { return options_.iterations && printed_ >= *options_.iterations; }

    /// Waits until the next interval ends, but at most for the time in which VMs may go unnoticed.
    std::chrono::milliseconds pause() const {
        if (!next_) return poll_interval;
        return std::clamp(std::chrono::ceil<std::chrono::milliseconds>(*next_ - Clock::now()), 0ms,
                          poll_interval);
    }

    std::expected<void, Error> print(Collector& collector) {
        Snapshot now = collector.snapshot();
        Snapshot interval = snapshot_since(now, before_);
        before_ = std::move(now);
        keep_wanted(interval, options_.vms);
        const bool is_first = printed_++ == 0;
        *next_ += options_.delay;
        // After a suspend, one long interval rather than many empty ones.
        if (*next_ <= Clock::now()) next_ = Clock::now() + options_.delay;
        return write_stdout(batch_text(interval, options_.format, table_, is_first));
    }

    const LiveOptions& options_;
    const TableOptions& table_;
    Signals signals_;
    DeferredCollector waiting_;
    Snapshot before_;  // Empty at first: the first interval begins when counting begins.
    std::optional<Clock::time_point> next_;  // When the interval ends; none while it waits.
    std::uint64_t printed_ = 0;
};

}  // namespace

std::expected<int, Error> run_batch(const Host& host, const LiveOptions& options,
                                    const TableOptions& table) {
    return Batch(host, options, table).run();
}

}  // namespace exittop
