// SPDX-License-Identifier: GPL-2.0-only
// Which exits have which kind of target, and how much room their counts take.
#pragma once

#include <array>
#include <cstdint>
#include <expected>

#include "base/error.h"
#include "exittop_abi.h"
#include "model/isa.h"
#include "model/target.h"

namespace exittop {

/// What is asked for when targets are counted.
struct TargetRequest {
    TargetChoice choice;
    Isa isa = Isa::unknown;                        ///< Of this host.
    std::uint64_t memory = default_target_memory;  ///< Most kernel memory, in bytes.
    bool from_start = true;  ///< For all vCPUs; false: not before they are switched on.
};

/// Kinds (enum exittop_target_kind) of the reasons of one ISA.
struct TargetKinds {
    std::array<std::uint8_t, EXITTOP_INDEX_CODES> by_index{};  ///< By place in cell_by_code.
    std::uint8_t other = EXITTOP_TARGET_NONE;                  ///< Of codes without such a place.

    [[nodiscard]] std::uint8_t of(std::uint32_t code) const;
};

/// Without `vendor_btf`, which says where KVM's vendor module keeps things, only what is in the
/// guest's registers is known. An error if a reason is not one of the host's ISA.
std::expected<TargetKinds, Error> target_kinds(const TargetRequest& request, bool vendor_btf);

/// Room for the targets of all vCPUs.
struct TargetRoom {
    std::uint32_t entries = 0;         ///< Of a vCPU, the one that is none included,
    std::uint32_t reason_entries = 0;  ///< and how many of them one reason may take.
    std::uint64_t bytes = 0;           ///< Kernel memory while targets are counted.
};
/// An error if `memory` is too little for that many vCPUs.
std::expected<TargetRoom, Error> target_room(std::uint32_t max_vcpus, std::uint64_t memory);

}  // namespace exittop
