// SPDX-License-Identifier: GPL-2.0-only
// The VMs that --pid, --uid and --vm ask for.
#pragma once

#include <expected>

#include "base/error.h"
#include "commands/options.h"
#include "model/overview.h"
#include "model/snapshot.h"

namespace exittop {

/// Whether a VM is one of them. One whose uid is unknown is nobody's.
bool matches(const VmInfo& vm, const Selection& wanted);

/// Removes all VMs that are not selected.
void keep_wanted(Snapshot& snapshot, const Selection& wanted);
void keep_wanted(Overview& overview, const Selection& wanted);

/// The same; an error if a selection was given and nothing is left.
std::expected<void, Error> require_wanted(Snapshot& snapshot, const Selection& wanted);

}  // namespace exittop
