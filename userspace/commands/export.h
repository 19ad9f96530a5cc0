// SPDX-License-Identifier: GPL-2.0-only
// `exittop export`: keeps a file of metrics up to date for node_exporter, or writes it once.
#pragma once

#include <expected>

#include "base/error.h"
#include "commands/options.h"
#include "system/host.h"

namespace exittop {

/// With options.duration, writes once after that time and leaves the file, or fails. Otherwise
/// writes every options.interval until a signal; counts and retries failed writes; removes the file
/// at the end, so that stale values are not taken for current ones.
std::expected<int, Error> run_export(const Host& host, const ExportOptions& options);

}  // namespace exittop
