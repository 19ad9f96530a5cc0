// SPDX-License-Identifier: GPL-2.0-only
// Snapshots as JSON, schema "exittop/1": written for other programs, read back for comparisons.
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "snapshot.h"

namespace exittop {

/// One object, ended by a newline. ASCII only, whatever names hold; invalid UTF-8 is replaced.
std::string to_json(const Snapshot& snapshot);

/// The snapshot in a text, or one line that says where in it something is wrong. Files may come
/// from anywhere: types and ranges are checked, a key that comes twice is refused, size and depth
/// are bounded. Keys that are not known are left to later versions.
std::expected<Snapshot, std::string> from_json(std::string_view text);

}  // namespace exittop
