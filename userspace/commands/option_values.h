// SPDX-License-Identifier: GPL-2.0-only
// Parses the values of options. Throws a UsageError if a value is wrong.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/leaf_layout.h"
#include "model/target.h"

namespace exittop {

/// An error in the command line; thrown through the library, caught in parse().
struct UsageError {
    std::string what;
};

/// What the user typed, for a message: sanitised, and cut if it is long.
std::string in_quotes(std::string_view typed);

/// The error for a word that is not allowed.
UsageError not_among(std::string_view option, std::string_view typed,
                     std::span<const std::string_view> words);

/// A word that an option takes, and what it stands for.
template <typename T>
struct Choice {
    std::string_view word;
    T value;
};

template <typename T, std::size_t size>
T choose(const std::array<Choice<T>, size>& choices, std::string_view option,
         std::string_view typed) {
    const auto found = std::ranges::find(choices, typed, &Choice<T>::word);
    if (found != choices.end()) return found->value;
    std::vector<std::string_view> words;
    for (const Choice<T>& choice : choices) words.push_back(choice.word);
    throw not_among(option, typed, words);
}

std::string choose_sort(std::string_view typed);
LeafMeanings choose_layout(std::string_view typed);
std::uint32_t whole_number(std::string_view option, std::string_view typed, std::uint32_t most,
                           std::uint32_t least = 1);
/// Of a user: 0 is root.
std::uint32_t uid_value(std::string_view typed);
std::chrono::nanoseconds duration_value(std::string_view option, std::string_view typed);
std::chrono::nanoseconds delay_value(std::string_view typed);
std::chrono::nanoseconds interval_value(std::string_view typed);
/// "all", "rip", or names and numbers of reasons with commas between them.
TargetChoice targets_value(std::string_view typed);
/// In bytes.
std::uint64_t size_value(std::string_view option, std::string_view typed);
std::string textfile_value(std::string_view typed);

}  // namespace exittop
