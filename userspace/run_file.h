// SPDX-License-Identifier: GPL-2.0-only
// Run files: snapshots that `exittop dump --format json` or the live view wrote.
#pragma once

#include <expected>
#include <filesystem>

#include "error.h"
#include "snapshot.h"

namespace exittop {

std::expected<Snapshot, Error> read_run(const std::filesystem::path& path);

}  // namespace exittop
