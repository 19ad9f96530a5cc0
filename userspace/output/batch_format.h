// SPDX-License-Identifier: GPL-2.0-only
// One interval of the batch as text, in the formats that `exittop dump` has.
#pragma once

#include <string>

#include "model/snapshot.h"
#include "output/table.h"

namespace exittop {

enum class Format { table, json, csv };

/// A table under the time when the interval ended, one line of JSON, or lines of CSV. The first
/// interval begins with what is printed only once: the heading of the CSV. CSV lines begin with the
/// time when the interval ended and its length in seconds.
std::string batch_text(const Snapshot& interval, Format format, const TableOptions& options,
                       bool is_first);

}  // namespace exittop
