// SPDX-License-Identifier: GPL-2.0-only
// What happened between two snapshots of one host: again a snapshot, so every output can show it.
#pragma once

#include <vector>

#include "model/snapshot.h"

namespace exittop {

/// What the later snapshot has and the earlier has not: its duration is the time in between, and so
/// are its counts. VMs that had ended before are left out, and so are reasons without an exit in
/// between. All vCPUs of a VM are there. The largest time of a reason is exact where it is a new
/// record, else the end of the highest bucket that was hit, within 25%.
///
/// A value that seems to have gone back counts as unchanged; what belongs to another process or
/// thread than before under the same id counts as new. So nothing gets negative or huge.
Snapshot snapshot_since(const Snapshot& later, const Snapshot& earlier);

/// What came to the exits of one reason since an earlier state of them.
ExitStats exits_since(const ExitStats& later, const ExitStats& earlier);
/// The same of lists ascending by key_of(): an entry for each of the later one, all of it where it
/// is not in the earlier one.
std::vector<ExitStats> exits_since(const std::vector<ExitStats>& later,
                                   const std::vector<ExitStats>& earlier);

}  // namespace exittop
