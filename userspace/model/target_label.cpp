// SPDX-License-Identifier: GPL-2.0-only
#include "model/target_label.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"
#include "model/target_name.h"

namespace exittop {
namespace {

// Where the name goes: the end of the first word with a digit ("cr3", "0x6e0"), else of the first
// word.
std::size_t end_of_number(std::string_view target) {
    const std::size_t digit = target.find_first_of("0123456789");
    return std::min(target.find(' ', digit == target.npos ? 0 : digit), target.size());
}

}  // namespace

std::string labelled_target(std::string_view target, std::string_view name) {
    // A page fault's words say more than its name, and need the room.
    if (name.empty() || target.starts_with("#PF ")) return std::string(target);
    const std::size_t end = end_of_number(target);
    return fmt::format("{} {}{}", target.substr(0, end), name, target.substr(end));
}

std::string labelled_target(Isa isa, std::uint32_t exit_code, std::string_view target) {
    return sanitise(labelled_target(target, target_name(isa, exit_code, target)));
}

}  // namespace exittop
