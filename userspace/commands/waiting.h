// SPDX-License-Identifier: GPL-2.0-only
// A collector that starts counting by itself once the host is ready for it.
#pragma once

#include <chrono>
#include <expected>
#include <functional>
#include <optional>

#include "base/error.h"
#include "capture/collector.h"
#include "commands/options.h"
#include "system/host.h"

namespace exittop {

/// How often VMs, signals and the vendor module are checked. A VM that lives shorter than this may
/// get its command's name, because it is gone before its command line is read. A check takes a few
/// microseconds.
inline constexpr std::chrono::milliseconds poll_interval{20};

/// Notified of progress, once each.
struct DeferredListener {
    std::function<void()> waits;
    std::function<void(const Collector&)> counts;
};

/// Reports on stderr.
DeferredListener stderr_listener();

/// The host must outlive it.
class DeferredCollector {
public:
    DeferredCollector(const Host& host, const CountingOptions& options,
                      std::optional<LeafService> leaves = {},
                      DeferredListener listener = stderr_listener());

    /// Attaches if the vendor module is loaded; otherwise waits, or fails if it must not wait. Once
    /// attached, handles new VMs. To be called every poll_interval.
    std::expected<void, Error> poll();

    /// Ends the counting; an error if there was none.
    std::expected<void, Error> stop();

    /// Empty while it waits.
    [[nodiscard]] std::optional<Collector>& collector() { return collector_; }

private:
    std::expected<void, Error> attach();

    const Host& host_;
    CountingOptions options_;
    std::optional<LeafService> leaves_;
    DeferredListener listener_;
    std::optional<Collector> collector_;
    bool said_waiting_ = false;
    bool was_ready_ = false;  ///< At the last look, while it waited.
};

}  // namespace exittop
