// SPDX-License-Identifier: GPL-2.0-only
// `exittop experiment`: the same command with nested paging and without.
#pragma once

#include <expected>
#include <vector>

#include "error.h"
#include "host.h"
#include "options.h"
#include "run.h"

namespace exittop {

/// Both runs, the one with the paging mode that was found first. The vendor's module is as it was
/// found afterwards, whatever happens but SIGKILL and a crash of the host.
std::expected<std::vector<Run>, Error> run_experiment(const Host& host, const Options& options);

}  // namespace exittop
