// SPDX-License-Identifier: GPL-2.0-only
#include "output/target_text.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.h"
#include "model/fields.h"

namespace exittop {

namespace {

constexpr std::size_t why_columns = 120;

}  // namespace

std::string others_label(std::size_t number, bool has_more) {
    if (number == 0) return "others";
    return fmt::format("others ({}{})", number + (has_more ? 1 : 0), has_more ? " or more" : "");
}

std::vector<TargetLine> target_lines(const Targets& targets, Isa isa, std::uint32_t code) {
    std::vector<TargetLine> lines;
    TargetSum others = targets.other;
    std::size_t left = 0;
    const bool has_more = targets.other.count > 0;
    const std::vector<TargetStats> known = dearest_first(targets);
    // A line for others is not spent on a single one.
    const std::size_t most =
        known.size() == most_targets + 1 && !has_more ? known.size() : most_targets;
    for (const TargetStats& target : known) {
        if (lines.size() < most) {
            lines.push_back(
                {fit(labelled_target(isa, code, target.target), target_columns), target});
        } else {
            others += target;
            ++left;
        }
    }
    if (others.count > 0) lines.push_back({others_label(left, has_more), others});
    if (!lines.empty() && targets.unknown.count > 0) {
        lines.push_back({"unknown", targets.unknown});
    }
    return lines;
}

std::vector<std::string> unknown_lines(const std::vector<UnknownTargets>& unknown) {
    std::map<std::string, std::vector<std::string>> reasons_by_cause;
    for (const auto& [reason, why] : unknown) {
        reasons_by_cause[sanitise(why, why_columns)].push_back(reason);
    }
    std::vector<std::string> lines;
    for (const auto& [why, reasons] : reasons_by_cause) {
        lines.push_back(fmt::format("unknown targets: {} ({})",
                                    why.empty() ? "why is not known" : why,
                                    fmt::join(reasons, ", ")));
    }
    return lines;
}

std::vector<std::string> unknown_lines(const std::vector<ExitStats>& exits, Isa isa) {
    std::vector<UnknownTargets> unknown;
    for (const ExitStats& stats : exits) {
        if (!stats.targets || stats.targets->unknown.count == 0) continue;
        unknown.push_back({reason_label(isa, stats), stats.targets->why});
    }
    return unknown_lines(unknown);
}

bool counts_targets(const Snapshot& snapshot) {
    const auto has_targets = [](const ExitStats& stats) { return stats.targets.has_value(); };
    const auto any_of_vcpu = [&](const Vcpu& vcpu) {
        return std::ranges::any_of(vcpu.exits, has_targets);
    };
    return snapshot.cost.target_bytes > 0 || std::ranges::any_of(snapshot.vms, [&](const Vm& vm) {
               return std::ranges::any_of(vm.vcpus, any_of_vcpu);
           });
}

}  // namespace exittop
