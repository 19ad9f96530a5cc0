// SPDX-License-Identifier: GPL-2.0-only
// Aligned columns of text. If the terminal is narrow, the first column is cut.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"

namespace exittop {

struct GridColumn {
    std::string heading;
    Align align = Align::right;
    /// Adds colour to a cell, without changing what it says; nullptr: it has none.
    std::string (*paint)(std::string_view cell, Color color) = nullptr;
};

struct GridRow {
    std::vector<std::string> cells;  ///< Sanitised, one for each column.
    bool strong = false;             ///< A total: stands out where there is colour.
};

struct GridStyle {
    std::size_t width = 80;  ///< Columns of the terminal; numbers are never cut to fit into it.
    std::size_t indent = 0;
    Color color = Color::off;
};

/// Columns of the terminal that a grid takes where nothing is cut.
std::size_t least_width(const std::vector<GridColumn>& columns, const std::vector<GridRow>& rows);

/// Heading and rows, each ended by a newline, without blanks at the end of lines.
std::string draw_grid(const std::vector<GridColumn>& columns, const std::vector<GridRow>& rows,
                      const GridStyle& style);

}  // namespace exittop
