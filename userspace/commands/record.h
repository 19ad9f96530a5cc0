// SPDX-License-Identifier: GPL-2.0-only
// Counts once or several times, and makes a run.
#pragma once

#include <expected>

#include "base/error.h"
#include "commands/options.h"
#include "model/run.h"
#include "system/host.h"

namespace exittop {

struct Recorded {
    Run run;
    int workload_status = 0;  ///< Of the command that was run, 0 without one.
    bool interrupted = false;
};

/// All repetitions that the options ask for. Repetitions must do the same work: if one is
/// interrupted or its command fails, that is an error, unless it is the only one.
std::expected<Recorded, Error> record_run(const Host& host, const RecordOptions& options);

}  // namespace exittop
