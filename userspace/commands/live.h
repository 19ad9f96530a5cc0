// SPDX-License-Identifier: GPL-2.0-only
// The live view: the loop that joins collector, state and terminal.
#pragma once

#include <expected>

#include "base/error.h"
#include "commands/options.h"
#include "system/host.h"

namespace exittop {

/// Shows the live view until the user quits, a signal comes, or the terminal is gone. Returns the
/// exit status.
std::expected<int, Error> run_live(const Host& host, const LiveOptions& options, ColorMode mode);

}  // namespace exittop
