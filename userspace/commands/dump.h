// SPDX-License-Identifier: GPL-2.0-only
// Counts for a time, while a command runs, or until a signal: what `exittop dump` and `record` do.
#pragma once

#include <expected>
#include <optional>
#include <vector>

#include "base/error.h"
#include "capture/collector.h"
#include "commands/check.h"
#include "commands/options.h"
#include "model/snapshot.h"
#include "system/host.h"

namespace exittop {

struct Counted {
    Snapshot snapshot;
    int workload_status = 0;   ///< Of the command that was run, 0 without one.
    bool interrupted = false;  ///< A signal came before the time was over or the command had ended.
};

/// Waits for the vendor module unless told not to, counts, and detaches.
std::expected<Counted, Error> count_exits(const Host& host, const CountingOptions& options,
                                          const Work& work, std::optional<LeafService> leaves = {});

/// Attaches once to see what works: variant, memory, and the VMs that exit within a moment.
std::vector<CheckLine> check_counting(const Host& host, const CheckOptions& options);

}  // namespace exittop
