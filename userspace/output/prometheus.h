// SPDX-License-Identifier: GPL-2.0-only
// The text that Prometheus reads: every metric's name, type and help, and series in a stable order.
//
// Own code rather than a library: Debian's prometheus-cpp 1.0 holds each series as an object of
// strings and takes counts as floating-point numbers. It took 37 ms for just the two families by
// reason of 1,000 VMs with 20 reasons; a whole update may take 50 ms. This code takes 10 ms for all
// families (tests/bench/export_bench.cpp).
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "analysis/series.h"
#include "model/snapshot.h"

namespace exittop {

/// Facts about the writing itself.
struct ExporterFacts {
    double unix_time_s = 0.0;  ///< Now.
    bool counting = false;     ///< False: it waits for KVM's vendor module.
    std::uint64_t write_errors = 0;
};

/// `vms` are the series of the snapshot or overview, whose detail says which families there are.
/// Ends with a newline, has no timestamps, and is valid UTF-8 whatever the VMs are called.
std::string prometheus_text(const SnapshotInfo& snapshot, std::span<const VmSeries> vms,
                            const ExporterFacts& facts);

}  // namespace exittop
