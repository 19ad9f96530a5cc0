// SPDX-License-Identifier: GPL-2.0-only
// The two halves of the table of exit reasons, for exit_reason.cpp alone: everyone else asks
// through exit_reason.h.
#pragma once

#include <algorithm>
#include <span>

#include "model/exit_reason.h"

namespace exittop {

std::span<const ExitReason> vmx_reasons();
std::span<const ExitReason> svm_reasons();

/// Whether a table may be searched by bisection: every code once, in ascending order.
constexpr bool is_strictly_ascending(std::span<const ExitReason> reasons) {
    const auto out_of_order = [](const ExitReason& left, const ExitReason& right) {
        return left.code >= right.code;
    };
    return std::ranges::adjacent_find(reasons, out_of_order) == reasons.end();
}

}  // namespace exittop
