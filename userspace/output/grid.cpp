// SPDX-License-Identifier: GPL-2.0-only
// A column is as wide as its longest cell. Columns are separated by two blanks, or by one if the
// grid then fits.
#include "output/grid.h"

#include <algorithm>
#include <numeric>

namespace exittop {

namespace {

constexpr std::size_t narrowest_first = 12;

struct Layout {
    std::vector<std::size_t> widths;
    std::size_t gap = 2;
};

std::vector<std::size_t> natural_widths(const std::vector<GridColumn>& columns,
                                        const std::vector<GridRow>& rows) {
    std::vector<std::size_t> widths;
    for (std::size_t i = 0; i < columns.size(); ++i) {
        std::size_t width = display_width(columns[i].heading);
        for (const GridRow& row : rows) width = std::max(width, display_width(row.cells[i]));
        widths.push_back(width);
    }
    return widths;
}

Layout make_layout(std::vector<std::size_t> widths, std::size_t available) {
    Layout layout{std::move(widths), 2};
    const std::size_t sum =
        std::accumulate(layout.widths.begin(), layout.widths.end(), std::size_t{0});
    const std::size_t gaps = layout.widths.size() - 1;
    if (sum + 2 * gaps <= available) return layout;
    layout.gap = 1;
    const std::size_t needed = sum + gaps;
    if (needed <= available) return layout;
    std::size_t& first = layout.widths.front();
    const std::size_t excess = needed - available;
    const std::size_t floor = std::min(first, narrowest_first);
    first = first > floor + excess ? first - excess : floor;
    return layout;
}

std::string draw_line(const std::vector<std::string>& cells, const std::vector<GridColumn>& columns,
                      const Layout& layout, const GridStyle& style) {
    std::string line(style.indent, ' ');
    for (std::size_t i = 0; i < cells.size(); ++i) {
        if (i > 0) line.append(layout.gap, ' ');
        const std::string cell = i == 0 ? fit(cells[i], layout.widths[i]) : cells[i];
        const std::string padded = pad(cell, layout.widths[i], columns[i].align);
        line += columns[i].paint != nullptr ? columns[i].paint(padded, style.color) : padded;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    return line;
}

}  // namespace

std::size_t least_width(const std::vector<GridColumn>& columns, const std::vector<GridRow>& rows) {
    const std::vector<std::size_t> widths = natural_widths(columns, rows);
    const std::size_t gaps = widths.empty() ? 0 : widths.size() - 1;
    return std::accumulate(widths.begin(), widths.end(), gaps);
}

std::string draw_grid(const std::vector<GridColumn>& columns, const std::vector<GridRow>& rows,
                      const GridStyle& style) {
    if (columns.empty()) return {};
    const std::size_t available = style.width > style.indent ? style.width - style.indent : 0;
    const Layout layout = make_layout(natural_widths(columns, rows), available);
    GridStyle plain = style;
    plain.color = Color::off;
    std::vector<std::string> headings;
    for (const GridColumn& column : columns) headings.push_back(column.heading);
    const std::string heading = draw_line(headings, columns, layout, plain);
    std::string out = strong(heading, style.color) + "\n";
    for (const GridRow& row : rows) {
        const std::string line = draw_line(row.cells, columns, layout, style);
        out += (row.strong ? strong(line, style.color) : line) + "\n";
    }
    return out;
}

}  // namespace exittop
