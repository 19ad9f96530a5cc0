// SPDX-License-Identifier: GPL-2.0-only
// Runs side by side: exits per reason, and how they compare with the first run.
#pragma once

#include <span>
#include <string>

#include "snapshot.h"
#include "table.h"

namespace exittop {

struct NamedRun {
    std::string name;  ///< As the user knows it: a file, "npt=1".
    Snapshot snapshot;
};

/// A line for each run (host, time, exits), then for each reason, all VMs of a run together, the
/// counts and their ratios to the first run's, then losses. A single run is printed as
/// `exittop dump` does.
std::string compare_table(std::span<const NamedRun> runs, const TableOptions& options);

}  // namespace exittop
