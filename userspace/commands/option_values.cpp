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

// Of any ISA: the command line is read before it is known which the host has.
bool is_reason(std::string_view word) {
    return std::ranges::any_of(isas, [word](const IsaFacts& facts) {
        return exit_code_by_name(facts.isa, word).has_value();
    });
}

}  // namespace

std::string in_quotes(std::string_view typed) {
    constexpr std::size_t shown_columns = 60;
    return fmt::format("'{}'", sanitise(typed, shown_columns));
}

UsageError not_among(std::string_view option, std::string_view typed,
                     std::span<const std::string_view> words) {
    return {fmt::format("{} {} is none of {}", option, in_quotes(typed), fmt::join(words, ", "))};
}

std::string text_value(std::string_view, std::string_view typed) { return std::string(typed); }

std::string sort_value(std::string_view option, std::string_view typed) {
    if (find_field(typed) != nullptr) return std::string(typed);
    std::vector<std::string_view> keys;
    for (const Field& field : fields()) keys.push_back(field.key);
    throw not_among(option, typed, keys);
}

std::string textfile_value(std::string_view option, std::string_view typed) {
    if (typed == "-" || typed.ends_with(".prom")) return std::string(typed);
    throw UsageError{fmt::format("{} {} does not end in .prom: node_exporter would not read it",
                                 option, in_quotes(typed))};
}

std::chrono::nanoseconds duration_value(std::string_view option, std::string_view typed) {
    const auto duration = parse_duration(typed);
    if (duration) return *duration;
    throw UsageError{fmt::format("{} {} {}", option, in_quotes(typed), duration.error())};
}

TargetChoice targets_value(std::string_view option, std::string_view typed) {
    if (typed == "all") return {};
    if (typed == "rip") return {.rip = true};
    TargetChoice choice;
    for (std::size_t begin = 0; begin <= typed.size();) {
        const std::size_t end = std::min(typed.find(',', begin), typed.size());
        const std::string_view word = typed.substr(begin, end - begin);
        if (!is_reason(word)) {
            throw UsageError{fmt::format("{} {} is no exit reason: all, rip, or reasons "
                                         "that 'exittop reasons' lists",
                                         option, in_quotes(word))};
        }
        choice.reasons.emplace_back(word);
        begin = end + 1;
    }
    return choice;
}

TargetWish target_wish_value(std::string_view option, std::string_view typed) {
    if (typed == "none") return {.is_told = true, .choice = std::nullopt};
    return {.is_told = true, .choice = targets_value(option, typed)};
}

std::uint64_t size_value(std::string_view option, std::string_view typed) {
    const auto size = parse_size(typed);
    if (size) return *size;
    throw UsageError{fmt::format("{} {} {}", option, in_quotes(typed), size.error())};
}

ValueReader<std::string> not_empty(std::string_view what) {
    return [what](std::string_view option, std::string_view typed) {
        if (!typed.empty()) return std::string(typed);
        throw UsageError{fmt::format("{} {}", option, what)};
    };
}

ValueReader<std::uint32_t> number_to(std::uint32_t most, std::uint32_t least) {
    return [most, least](std::string_view option, std::string_view typed) {
        const auto number = parse_number<std::uint32_t>(typed);
        if (number && *number >= least && *number <= most) return *number;
        throw UsageError{fmt::format("{} {} is not a whole number from {} to {}", option,
                                     in_quotes(typed), least, most)};
    };
}

ValueReader<std::chrono::nanoseconds> at_least(std::chrono::nanoseconds shortest) {
    return [shortest](std::string_view option, std::string_view typed) {
        const auto duration = duration_value(option, typed);
        if (duration >= shortest) return duration;
        throw UsageError{fmt::format("{} {} is too short: {} at least", option, in_quotes(typed),
                                     duration_text(shortest))};
    };
}

}  // namespace exittop
