// SPDX-License-Identifier: GPL-2.0-only
#include "output/reason_targets.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "model/target_name.h"
#include "output/csv.h"

namespace exittop {
namespace {

constexpr std::size_t narrowest_list = 40;
constexpr std::string_view target_heading = "TARGET";
constexpr std::string_view name_heading = "NAME";

std::string draw_targets(const std::vector<KnownTarget>& targets, Color color) {
    std::size_t width = target_heading.size();
    for (const KnownTarget& known : targets) width = std::max(width, known.target.size());
    const auto line = [width](std::string_view target, std::string_view name) {
        return fmt::format("{}  {}", pad(target, width, Align::left), name);
    };
    std::string out = strong(line(target_heading, name_heading), color) + '\n';
    for (const KnownTarget& known : targets) out += line(known.target, known.name) + '\n';
    return out;
}

std::string draw_list(const ExitReason& reason, std::size_t width, Color color) {
    const TargetKind kind = target_kind(reason.isa, reason.code);
    const std::string_view title = target_kind_title(kind);
    std::string out =
        strong(fmt::format("{}: {}", find_isa(reason.isa)->title, reason.name), color) + '\n';
    const auto targets = known_targets(reason.isa, reason.code);
    const std::string sentence =
        kind == TargetKind::none
            ? fmt::format("It has no targets of its own. Its target is {}.", title)
            : fmt::format("Its targets are {}. Those that have a name:", title);
    for (const std::string& line : wrap(sentence, width)) out += line + '\n';
    if (!targets.empty()) out += draw_targets(targets, color);
    return out;
}

}  // namespace

std::string reason_targets_table(const ReasonRows& rows, std::size_t width, Color color) {
    width = std::max(width, narrowest_list);
    std::string out;
    for (const ExitReason* reason : rows) {
        if (!out.empty()) out += '\n';
        out += draw_list(*reason, width, color);
    }
    return out;
}

std::string reason_targets_csv(const ReasonRows& rows) {
    std::string out = "isa,code,reason,target,name\n";
    for (const ExitReason* reason : rows) {
        for (const KnownTarget& known : known_targets(reason->isa, reason->code)) {
            out += fmt::format("{},{},{},{},{}\n", isa_name(reason->isa), reason->code,
                               csv_field(reason->name), csv_field(known.target),
                               csv_field(known.name));
        }
    }
    return out;
}

}  // namespace exittop
