// SPDX-License-Identifier: GPL-2.0-only
#include "model/target_label.h"

#include <algorithm>

#include "base/text.h"
#include "model/target_name.h"

namespace exittop {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Where the first word that is a number ends; the end of the text where none is one.
std::size_t end_of_number(std::string_view text) {
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find(' ', begin), text.size());
        if (is_digit(text[begin])) return end;
        begin = end + 1;
    }
    return text.size();
}

}  // namespace

std::string labelled_target(std::string_view target, std::string_view name) {
    std::string label(target);
    if (!name.empty()) label.insert(end_of_number(target), " " + std::string(name));
    return label;
}

std::string labelled_target(Isa isa, std::uint32_t exit_code, std::string_view target) {
    return sanitise(labelled_target(target, target_name(isa, exit_code, target)));
}

}  // namespace exittop
