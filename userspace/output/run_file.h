// SPDX-License-Identifier: GPL-2.0-only
// Run files: what `exittop record`, `dump --format json` or the live view wrote.
#pragma once

#include <expected>
#include <filesystem>

#include "base/error.h"
#include "model/run.h"

namespace exittop {

/// A run without a label gets its file's name for one.
std::expected<Run, Error> read_run(const std::filesystem::path& path);

}  // namespace exittop
