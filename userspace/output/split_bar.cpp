// SPDX-License-Identifier: GPL-2.0-only
#include "output/split_bar.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace exittop {

namespace {

// Of the fixed colours among the 256 that terminals have; the first 16 are what users make them.
constexpr short black = 16, white = 231;
constexpr std::array paints = {
    BarPaint{guest_letter, white, 235, 0, 2}, BarPaint{'K', white, 25, 7, 4},
    BarPaint{'V', black, 215, 0, 3},          BarPaint{'P', black, 167, 7, 1},
    BarPaint{'W', white, 53, 7, 5},           BarPaint{'H', black, 254, 0, 7},
    BarPaint{'B', black, 73, 0, 6},
};

std::vector<const Field*> known_parts(TimeParts known) {
    std::vector<const Field*> parts;
    if (!is_known(*find_field("kernel"), known)) return parts;
    for (const Field& field : fields()) {
        if (field.is_time_part() && is_known(field, known)) parts.push_back(&field);
    }
    return parts;
}

}  // namespace

std::string share_bar(std::span<const BarPart> parts, std::size_t width) {
    double all = 0.0;
    for (const BarPart& part : parts) all += part.amount;
    if (!(all > 0.0)) return {};

    struct Cells {
        std::size_t number;
        double left;
    };
    std::vector<Cells> cells;
    std::size_t used = 0;
    for (const BarPart& part : parts) {
        const double exact = part.amount / all * static_cast<double>(width);
        const double whole = std::floor(exact);
        cells.push_back({static_cast<std::size_t>(whole), exact - whole});
        used += cells.back().number;
    }
    for (; used < width; ++used) {
        const auto most = std::ranges::max_element(cells, {}, &Cells::left);
        ++most->number;
        most->left = -1.0;
    }
    std::string bar;
    for (std::size_t i = 0; i < cells.size(); ++i) bar.append(cells[i].number, parts[i].letter);
    return bar;
}

std::string split_bar(const ExitStats& stats, TimeParts known, std::size_t width) {
    std::vector<BarPart> parts;
    for (const Field* field : known_parts(known)) {
        parts.push_back({field->places.letter, number_of(field->value(stats, {})).value_or(0.0)});
    }
    return share_bar(parts, width);
}

std::span<const BarPaint> bar_paints() { return paints; }

std::string paint_bar(std::string_view bar, Color color) {
    if (color == Color::off) return std::string(bar);
    std::string painted;
    while (!bar.empty()) {
        const std::size_t end = std::min(bar.find_first_not_of(bar.front()), bar.size());
        const std::string_view run = bar.substr(0, end);
        const auto* paint = std::ranges::find(paints, bar.front(), &BarPaint::letter);
        painted += paint == paints.end() ? std::string(run)
                                         : fmt::format("\x1b[38;5;{};48;5;{}m{}\x1b[0m",
                                                       paint->text, paint->background, run);
        bar.remove_prefix(end);
    }
    return painted;
}

std::string bar_legend(TimeParts known) {
    std::vector<std::string> letters;
    for (const Field* field : known_parts(known)) {
        letters.push_back(fmt::format("{} {}", field->places.letter, field->places.time_part));
    }
    return fmt::format("{}", fmt::join(letters, ", "));
}

}  // namespace exittop
