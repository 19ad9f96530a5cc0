// SPDX-License-Identifier: GPL-2.0-only
// From the area of a slot to targets. Works on any memory that has the layout of exittop_abi.h.
#pragma once

#include <cstdint>
#include <string>

#include "capture/target_kinds.h"
#include "exittop_abi.h"
#include "model/isa.h"
#include "model/target.h"

namespace exittop {

/// The targets of a vCPU as they are in memory; without an area they are not counted.
struct TargetSource {
    const target_area* area = nullptr;
    const TargetKinds* kinds = nullptr;
    std::uint32_t entries = 0;  ///< Of the area.

    /// Whether exits of that code are counted by target.
    [[nodiscard]] bool has(std::uint32_t code) const {
        return area != nullptr && kinds->of(code) != EXITTOP_TARGET_NONE;
    }
};

/// The targets of the reason in a cell, of which it is known that it has a kind of target.
Targets read_targets(const TargetSource& source, Isa isa, unsigned cell, std::uint32_t code);

/// A target as scripts match it; `value` is what the program keeps of that kind.
std::string target_text(Isa isa, std::uint32_t code, std::uint8_t kind, std::uint64_t value);

}  // namespace exittop
