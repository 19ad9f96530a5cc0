// SPDX-License-Identifier: GPL-2.0-only
#include "analysis/extra_targets.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace exittop {
namespace {

/// What a run has more of than the first. Where the first run may have a target unseen, all of it.
double growth(const Cell& cell, const Cell* first) {
    return std::max(0.0, cell.value - (first != nullptr ? first->value : 0.0));
}

/// By run: the growth of all reasons that grew.
std::vector<double> extra_of(const Comparison& comparison) {
    std::vector<double> extra(comparison.runs.size());
    for (const ReasonRow& reason : comparison.rows) {
        for (std::size_t run = 1; run < extra.size(); ++run) {
            extra[run] += growth(reason.cells[run], &reason.cells.front());
        }
    }
    return extra;
}

bool is_extra(const ReasonRow& reason, const std::vector<double>& extra) {
    for (std::size_t run = 1; run < extra.size(); ++run) {
        const double grown = growth(reason.cells[run], &reason.cells.front());
        if (grown > 0.0 && grown >= extra_reason_share * extra[run]) return true;
    }
    return false;
}

bool is_extra(const TargetRow& target, const std::vector<double>& extra) {
    if (target.kind != TargetRow::Kind::known) return false;
    const auto& first = target.cells.front();
    for (std::size_t run = 1; run < extra.size(); ++run) {
        const auto& cell = target.cells[run];
        const double grown = cell ? growth(*cell, first ? &*first : nullptr) : 0.0;
        if (grown > 0.0 && grown >= extra_target_share * extra[run]) return true;
    }
    return false;
}

/// The extra ones remain; they come first, so all that follow can be folded.
void keep_extra(ReasonRow& reason, const std::vector<double>& extra) {
    const auto ordinary = std::ranges::stable_partition(
        reason.targets, [&extra](const TargetRow& target) { return is_extra(target, extra); });
    const std::size_t number = reason.targets.size() - static_cast<std::size_t>(ordinary.size());
    if (number == 0 || reason.targets.size() == 1) {
        reason.targets.clear();
    } else {
        reason.targets = first_targets(reason, std::min(number, most_extra_targets));
    }
}

}  // namespace

Comparison extra_targets(Comparison comparison) {
    const std::vector<double> extra = extra_of(comparison);
    for (ReasonRow& reason : comparison.rows) {
        if (is_extra(reason, extra)) {
            keep_extra(reason, extra);
        } else {
            reason.targets.clear();
        }
    }
    return comparison;
}

}  // namespace exittop
