// SPDX-License-Identifier: GPL-2.0-only
// What a slot holds, as values: reads the memory that the BPF program writes. Knows no libbpf, so
// all of it is tested on made-up slots.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "capture/target_reader.h"
#include "exittop_abi.h"
#include "model/snapshot.h"

namespace exittop {

/// What a slot holds: one vCPU's exits, and what was lost of them.
struct SlotContents {
    Vcpu vcpu;
    Lost lost;
};

using BucketCounts = std::array<std::uint64_t, histogram_buckets>;

/// Full counts of buckets at the last look, by cell number. A slot holds their low 32 bits; these
/// supply the rest. Only of cells whose buckets may wrap before the next look.
using SeenBuckets = std::map<unsigned, BucketCounts>;
/// Looks at a slot's buckets. To be called before 2^31 exits of one reason can have come since the
/// last time: at ten million a second that takes more than three minutes.
void track_wraps(const vcpu_slot& slot, SeenBuckets& seen);

/// Reads a slot in use or ended. May run beside the BPF program: then single words are right and up
/// to one exit old, and sums of them may be one exit apart.
/// With the present clock (CLOCK_MONOTONIC) also the time in the guest is known.
SlotContents read_slot(const vcpu_slot& slot, std::uint64_t now_ns = 0,
                       const SeenBuckets& seen = {}, const TargetSource& targets = {});

/// The same without histograms.
struct SlotNumbers {
    VcpuInfo vcpu;
    Lost lost;  ///< Without what only the reasons tell: add_unknown().
};
/// `exits` becomes the numbers of its reasons, in the order in which they came; its memory is used
/// again, as all slots in use are read for each overview.
SlotNumbers read_slot_numbers(const vcpu_slot& slot, std::uint64_t now_ns,
                              std::vector<ExitStats>& exits);

/// Adds the exits whose code has no name, or could not be read.
void add_unknown(Lost& lost, const std::vector<ExitStats>& exits, Isa isa);

/// A vCPU without a slot.
Vcpu read_waiting(const waiting_vcpu& waiting);

Isa isa_of(const vcpu_header& header);
Paging paging_of(const vcpu_header& header);
std::string command_of(const vcpu_identity& who);

}  // namespace exittop
