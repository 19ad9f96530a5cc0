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

/// Both runs, the one with the paging mode that was found first. The vendor's module is as it was
/// found afterwards, whatever happens but SIGKILL and a crash of the host.
std::expected<std::vector<Run>, Error> run_experiment(const Host& host,
                                                      const ExperimentOptions& options);

}  // namespace exittop
