// SPDX-License-Identifier: GPL-2.0-only
// The batch: prints each interval, for pipes, logs and cron.
#pragma once

#include <expected>

#include "base/error.h"
#include "commands/options.h"
#include "output/table.h"
#include "system/host.h"

namespace exittop {

/// Prints an interval every options.delay, options.iterations of them or until a signal; an
/// interval that a signal cuts short is not printed. Fails as soon as nobody reads stdout any more.
std::expected<int, Error> run_batch(const Host& host, const LiveOptions& options,
                                    const TableOptions& table);

}  // namespace exittop
