// SPDX-License-Identifier: GPL-2.0-only
// Parses the values of options. Throws a UsageError if a value is wrong.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "commands/options.h"
#include "model/target.h"

namespace exittop {

/// An error in the command line; thrown through the library, caught in parse().
struct UsageError {
    std::string what;
};

/// What the user typed, for a message: sanitised, and cut if it is long.
std::string in_quotes(std::string_view typed);

/// A word that an option takes, and what it stands for.
template <typename T>
struct Choice {
    std::string_view word;
    T value;
};

template <typename T, std::size_t size>
std::vector<std::string_view> words_of(const std::array<Choice<T>, size>& choices) {
    std::vector<std::string_view> words;
    for (const Choice<T>& choice : choices) words.push_back(choice.word);
    return words;
}

/// The error for a word that is not allowed.
UsageError not_among(std::string_view option, std::string_view typed,
                     std::span<const std::string_view> words);

template <typename T, std::size_t size>
T choose(const std::array<Choice<T>, size>& choices, std::string_view option,
         std::string_view typed) {
    const auto found = std::ranges::find(choices, typed, &Choice<T>::word);
    if (found != choices.end()) return found->value;
    throw not_among(option, typed, words_of(choices));
}

// What an option makes of the typed value.

std::string text_value(std::string_view option, std::string_view typed);
std::string sort_value(std::string_view option, std::string_view typed);
std::string textfile_value(std::string_view option, std::string_view typed);
std::chrono::nanoseconds duration_value(std::string_view option, std::string_view typed);
/// "all", "rip", or names and numbers of reasons with commas between them.
TargetChoice targets_value(std::string_view option, std::string_view typed);
/// "none", or what targets_value() takes.
TargetWish target_wish_value(std::string_view option, std::string_view typed);
/// In bytes.
std::uint64_t size_value(std::string_view option, std::string_view typed);

template <typename T>
using ValueReader = std::function<T(std::string_view option, std::string_view typed)>;

/// Of text that is not empty; `what` the option needs completes the message.
ValueReader<std::string> not_empty(std::string_view what);
ValueReader<std::uint32_t> number_to(std::uint32_t most, std::uint32_t least = 1);
ValueReader<std::chrono::nanoseconds> at_least(std::chrono::nanoseconds shortest);

}  // namespace exittop
