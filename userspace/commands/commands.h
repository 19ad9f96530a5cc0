// SPDX-License-Identifier: GPL-2.0-only
// Runs the commands: connects host, collector and outputs.
#pragma once

#include "commands/options.h"

namespace exittop {

/// Runs the command that the options name. The status for exit(2).
int run(const Options& options);

}  // namespace exittop
