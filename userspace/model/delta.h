// SPDX-License-Identifier: GPL-2.0-only
// What happened between two snapshots of one host: again a snapshot, so every output can show it,
// and its rates.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/snapshot.h"

namespace exittop {

struct Delta {
    /// What the later snapshot has and the earlier has not: its duration is the time in between,
    /// and so are its counts. VMs that had ended before are left out, and so are reasons without an
    /// exit in between. All vCPUs of a VM are there. The largest time of a reason is exact where it
    /// is a new record, else the end of the highest bucket that was hit, within 25%.
    Snapshot interval;
    std::vector<std::string> started;  ///< Ids, ascending, of VMs that were not there before.
    std::vector<std::string> ended;    ///< Ids, ascending, of VMs that ended or are not there now.

    /// Joins what came after; (b - a) + (c - b) is c - a.
    Delta& operator+=(const Delta& next);
    bool operator==(const Delta&) const = default;

    /// Per second; 0 where no time passed.
    [[nodiscard]] double per_second(std::uint64_t count) const;
    /// Time in nanoseconds as a number of cores that it kept busy; 0 where no time passed.
    [[nodiscard]] double cores(std::uint64_t ns) const;
};

/// A value that seems to have gone back counts as unchanged; what belongs to another process or
/// thread than before under the same id counts as new. So nothing gets negative or huge.
Delta operator-(const Snapshot& later, const Snapshot& earlier);
Delta operator+(Delta first, const Delta& next);

/// What came to the exits of one reason since an earlier state of them.
ExitStats exits_since(const ExitStats& later, const ExitStats& earlier);
/// The same of lists ascending by key_of(): an entry for each of the later one, all of it where it
/// is not in the earlier one.
std::vector<ExitStats> exits_since(const std::vector<ExitStats>& later,
                                   const std::vector<ExitStats>& earlier);

}  // namespace exittop
