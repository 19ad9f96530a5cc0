// SPDX-License-Identifier: GPL-2.0-only
// Where time went, as a bar of letters: "KKVVVVWHHHHH". Letters say it where there is no colour.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "base/text.h"
#include "model/fields.h"
#include "model/snapshot.h"

namespace exittop {

struct BarPart {
    char letter = ' ';
    double amount = 0.0;
};

/// `width` letters in the order of the parts and in proportion to them (largest remainders), so
/// that a small part may have none; empty where all of them are nothing.
std::string share_bar(std::span<const BarPart> parts, std::size_t width);

/// The parts of the exits' time. Empty where there is no time, or the kernel's is not known.
std::string split_bar(const ExitStats& stats, TimeParts known, std::size_t width);

/// A letter's colours, as numbers of a terminal with 256 or with 8 colours.
struct BarPaint {
    char letter;
    short text, background;
    short text_8, background_8;
};
/// Of all letters. Backgrounds of 256 colours differ in lightness, too.
std::span<const BarPaint> bar_paints();

/// A bar with its letters' colours, of 256.
std::string paint_bar(std::string_view bar, Color color);

/// "K kernel, V VMM, H halted": the letters of known parts; empty where the kernel's is not known.
std::string bar_legend(TimeParts known);

}  // namespace exittop
