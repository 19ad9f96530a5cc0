// SPDX-License-Identifier: GPL-2.0-only
// `exittop experiment`: the same command with nested paging and without.
#pragma once

#include <expected>
#include <vector>

#include "base/error.h"
#include "commands/options.h"
#include "model/run.h"
#include "system/host.h"

namespace exittop {

/// Both runs; the first has the paging mode that was found. Afterwards the vendor module is as it
/// was found, unless exittop gets SIGKILL or the host crashes.
std::expected<std::vector<Run>, Error> run_experiment(const Host& host,
                                                      const ExperimentOptions& options);

}  // namespace exittop
