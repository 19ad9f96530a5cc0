// SPDX-License-Identifier: GPL-2.0-only
// A run: what was counted once, or several times under the same conditions, and all that tells
// whether it can be held against another one. The content of a run file.
#pragma once

#include <string>
#include <vector>

#include "model/snapshot.h"

namespace exittop {

/// Texts are raw bytes, perhaps other people's: sanitise or escape them where they are printed.
struct Run {
    std::string label;  ///< What the user calls it: "ept=0", a file's name.
    std::string note;
    std::vector<std::string> command;  ///< Was run while exittop counted; empty: none.
    std::string version;               ///< Of the exittop that recorded it; empty: not known.
    std::string started_at;            ///< ISO 8601, UTC; empty: not known.
    /// Where the counts came from if exittop did not count them itself ("printk"): such a run has
    /// counts alone, no times (but those of exittop's CSV) and no length. Empty: exittop.
    std::string imported_from;
    std::vector<Snapshot> repeats;  ///< At least one.
    bool operator==(const Run&) const = default;
};

}  // namespace exittop
