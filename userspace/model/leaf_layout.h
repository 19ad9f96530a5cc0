// SPDX-License-Identifier: GPL-2.0-only
// What each of the four CPUID leaves means in which a guest reads its counts: the forms that have
// been in use. The one place that knows them, for the host's side and the guest's.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "exittop_abi.h"

namespace exittop {

/// By leaf from EXITTOP_LEAF_BASE on: a combination of EXITTOP_LEAF_*.
using LeafMeanings = std::array<std::uint32_t, EXITTOP_LEAVES>;

struct LeafLayout {
    std::string_view name;  ///< The year in which the course that set it began.
    LeafMeanings meanings;
};

constexpr std::uint32_t count_leaf = EXITTOP_LEAF_COUNT;
constexpr std::uint32_t time_leaf = EXITTOP_LEAF_TIME;
constexpr std::uint32_t of_reason = EXITTOP_LEAF_REASON;

/// The second has all four and is the default.
inline constexpr std::array leaf_layouts = {
    LeafLayout{"2020", {0, 0, count_leaf | of_reason, count_leaf | time_leaf}},
    LeafLayout{"2021", {time_leaf | of_reason, count_leaf | of_reason, time_leaf, count_leaf}},
    LeafLayout{"2022", {count_leaf, time_leaf, count_leaf | of_reason, time_leaf | of_reason}},
};

/// A reason that neither manual defines: what is answered to it tells that somebody answers.
constexpr std::uint32_t undefined_reason = 0x3ff;
/// What EDX then holds.
constexpr std::uint32_t undefined_answer = 0xffffffff;

}  // namespace exittop
