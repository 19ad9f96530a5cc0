// SPDX-License-Identifier: GPL-2.0-only
// What `exittop dump` prints for people: the exit reasons of each VM and their cost.
#pragma once

#include <string>

#include "base/text.h"
#include "model/fields.h"
#include "model/snapshot.h"

namespace exittop {

struct TableOptions {
    const Field* sort = nullptr;  ///< Nothing: by count.
    bool histogram = false;       ///< Also the distribution of times of each reason.
    bool per_vcpu = false;        ///< A table per vCPU instead of one per VM.
    bool targets = true;          ///< Also what exits were about, where that was counted.
    /// From 100 on, parts of the time get columns of their own; bars of them, where there is room.
    std::size_t width = 80;
    Color color = Color::off;
};

std::string dump_table(const Snapshot& snapshot, const TableOptions& options);

/// "kvm03, Linux 6.1.0-18-amd64, vmx, ept, Intel(R) Xeon(R) ...", sanitised; unknown facts are left
/// out.
std::string host_line(const HostFacts& host);

/// Lines that say what was lost, by cause; one short line if it was nothing.
std::string lost_lines(const Lost& lost, Color color);

/// What KVM's own count of the same exits says: "KVM counted 1,234 exits itself: the same"; empty
/// where there is no vCPU.
std::string kvm_count_line(const std::vector<Vm>& vms);

/// Distribution of exit times: a line per power of two, with a bar; of more of them where there
/// would be more than `most_lines`.
std::string histogram_lines(const Histogram& histogram, std::size_t width,
                            std::size_t most_lines = 22);

}  // namespace exittop
