// SPDX-License-Identifier: GPL-2.0-only
// `exittop export`: keeps a file of metrics up to date for node_exporter, or writes it once.
#pragma once

#include <expected>

#include "base/error.h"
#include "commands/options.h"
#include "system/host.h"

namespace exittop {

/// Once, after options.duration: writes and leaves the file, or fails. Else it writes every
/// options.interval until a signal, counts what cannot be written and tries again, and at last
/// removes the file: what nobody keeps up to date must not be taken for news.
std::expected<int, Error> run_export(const Host& host, const ExportOptions& options);

}  // namespace exittop
