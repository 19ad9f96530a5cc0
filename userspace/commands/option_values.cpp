// SPDX-License-Identifier: GPL-2.0-only
#include "commands/option_values.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/duration.h"
#include "base/number.h"
#include "base/size.h"
#include "base/text.h"
#include "model/exit_reason.h"
#include "model/fields.h"

namespace exittop {

namespace {

constexpr std::size_t shown_columns = 60;
constexpr std::chrono::milliseconds shortest_delay{100};
constexpr std::chrono::seconds shortest_interval{1};

// A duration that is at least this long.
std::chrono::nanoseconds at_least(std::chrono::nanoseconds shortest, std::string_view option,
                                  std::string_view typed) {
    const auto duration = duration_value(option, typed);
    if (duration >= shortest) return duration;
    throw UsageError{fmt::format("{} {} is too short: {} at least", option, in_quotes(typed),
                                 duration_text(shortest))};
}

// Of any ISA: the command line is read before it is known which the host has.
bool is_reason(std::string_view word) {
    return std::ranges::any_of(isas, [word](const IsaFacts& facts) {
        return exit_code_by_name(facts.isa, word).has_value();
    });
}

}  // namespace

std::string in_quotes(std::string_view typed) {
    return fmt::format("'{}'", sanitise(typed, shown_columns));
}

UsageError not_among(std::string_view option, std::string_view typed,
                     std::span<const std::string_view> words) {
    return {fmt::format("{} {} is none of {}", option, in_quotes(typed), fmt::join(words, ", "))};
}

std::string choose_sort(std::string_view typed) {
    if (find_field(typed) != nullptr) return std::string(typed);
    std::vector<std::string_view> keys;
    for (const Field& field : fields()) keys.push_back(field.key);
    throw not_among("--sort", typed, keys);
}

LeafMeanings choose_layout(std::string_view typed) {
    const auto found = std::ranges::find(leaf_layouts, typed, &LeafLayout::name);
    if (found != leaf_layouts.end()) return found->meanings;
    std::vector<std::string_view> names;
    for (const LeafLayout& layout : leaf_layouts) names.push_back(layout.name);
    throw not_among("--layout", typed, names);
}

std::uint32_t whole_number(std::string_view option, std::string_view typed, std::uint32_t most,
                           std::uint32_t least) {
    const auto number = parse_number<std::uint32_t>(typed);
    if (number && *number >= least && *number <= most) return *number;
    throw UsageError{fmt::format("{} {} is not a whole number from {} to {}", option,
                                 in_quotes(typed), least, most)};
}

std::uint32_t uid_value(std::string_view typed) {
    constexpr std::uint32_t largest_uid = UINT32_MAX - 1;  // The kernel's "no user" is above.
    return whole_number("--uid", typed, largest_uid, 0);
}

std::chrono::nanoseconds duration_value(std::string_view option, std::string_view typed) {
    const auto duration = parse_duration(typed);
    if (duration) return *duration;
    throw UsageError{fmt::format("{} {} {}", option, in_quotes(typed), duration.error())};
}

std::chrono::nanoseconds delay_value(std::string_view typed) {
    return at_least(shortest_delay, "--delay", typed);
}

std::chrono::nanoseconds interval_value(std::string_view typed) {
    return at_least(shortest_interval, "--interval", typed);
}

TargetChoice targets_value(std::string_view typed) {
    if (typed == "all") return {};
    if (typed == "rip") return {.rip = true};
    TargetChoice choice;
    for (std::size_t begin = 0; begin <= typed.size();) {
        const std::size_t end = std::min(typed.find(',', begin), typed.size());
        const std::string_view word = typed.substr(begin, end - begin);
        if (!is_reason(word)) {
            throw UsageError{fmt::format("--targets {} is no exit reason: all, rip, or reasons "
                                         "that 'exittop reasons' lists",
                                         in_quotes(word))};
        }
        choice.reasons.emplace_back(word);
        begin = end + 1;
    }
    return choice;
}

std::uint64_t size_value(std::string_view option, std::string_view typed) {
    const auto size = parse_size(typed);
    if (size) return *size;
    throw UsageError{fmt::format("{} {} {}", option, in_quotes(typed), size.error())};
}

std::string textfile_value(std::string_view typed) {
    if (typed == "-" || typed.ends_with(".prom")) return std::string(typed);
    throw UsageError{fmt::format("--textfile {} does not end in .prom: node_exporter would not "
                                 "read it",
                                 in_quotes(typed))};
}

}  // namespace exittop
