// SPDX-License-Identifier: GPL-2.0-only
// The live view: the loop that joins collector, state and terminal.
#pragma once

#include <expected>

#include "base/error.h"
#include "base/text.h"
#include "commands/options.h"
#include "system/host.h"

namespace exittop {

/// On a host that can count: shows the live view until the user quits, a signal comes, or the
/// terminal is gone. Returns the exit status.
std::expected<int, Error> run_live(const Host& host, const LiveOptions& options, Color color);

}  // namespace exittop
