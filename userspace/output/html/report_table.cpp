// SPDX-License-Identifier: GPL-2.0-only
// The report's tables of reasons and of targets: groups of columns, one column in each for every
// run.
#include <algorithm>
#include <array>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "model/fields.h"
#include "output/comparison_text.h"
#include "output/html/report_parts.h"
#include "output/target_text.h"

namespace exittop {

namespace {

// What is shown of every run. The key is that of a field, "value" for what is compared.
struct Measure {
    std::string_view key;
    std::string heading;
    std::function<std::optional<double>(const Cell&)> value;
    std::function<std::string(double)> print;
};

// One column below a measure: a run's values, or how they stand to the first run's.
struct Column {
    enum class Kind { compared, own, delta, ratio, noise } kind;
    const Measure* measure;
    std::size_t run;
};

// An amount of exits, on a basis.
Measure amount_of(std::string_view key, std::string heading, double Cell::* member, Basis basis) {
    return {key, std::move(heading), [member](const Cell& cell) { return cell.*member; },
            [basis](double value) { return print_amount(value, basis); }};
}

// The mean time on a CPU is left out where no run knows it.
std::vector<Measure> measures_of(const Comparison& comparison) {
    const Basis basis = comparison.basis;
    const auto knows = [](const Cell& total) { return total.mean_cpu_ns.has_value(); };
    const bool knows_on_cpu = std::ranges::any_of(comparison.total.cells, knows);
    std::vector<Measure> measures;
    if (basis != Basis::count) {
        measures.push_back(amount_of("value", basis_name(basis), &Cell::value, basis));
    }
    const Field& count = *find_field("count");
    measures.push_back(
        amount_of(count.key, std::string(count.heading), &Cell::count, Basis::count));
    const auto costs = costs_of({});
    for (std::size_t i = 0; i < costs.size(); ++i) {
        const Field& field = *costs[i].field;
        if (field.key == "mean_cpu" && !knows_on_cpu) continue;
        measures.push_back(
            {field.key, std::string(field.heading),
             [i](const Cell& cell) { return number_of(costs_of(cell)[i].value); },
             [unit = field.unit](double value) { return print_value(value, unit); }});
    }
    return measures;
}

// The first measure is what is compared.
std::vector<Column> columns_of(const std::vector<Measure>& measures, const Comparison& comparison,
                               bool noise) {
    std::vector<Column> columns;
    for (const Measure& measure : measures) {
        for (std::size_t run = 0; run < comparison.runs.size(); ++run) {
            const bool compared = &measure == &measures.front();
            columns.push_back(
                {compared ? Column::Kind::compared : Column::Kind::own, &measure, run});
            if (!compared || run == 0) continue;
            columns.push_back({Column::Kind::delta, &measure, run});
            columns.push_back({Column::Kind::ratio, &measure, run});
            if (noise) columns.push_back({Column::Kind::noise, &measure, run});
        }
    }
    return columns;
}

std::string plain_cell() { return "<td>-</td>"; }

std::string value_cell(double value, const std::string& text) {
    return fmt::format("<td data-value=\"{}\">{}</td>", value, html_text(text));
}

// What is compared comes with its spread.
std::string own_cell(const Cell& cell, const Column& column) {
    const Measure& measure = *column.measure;
    const auto value = measure.value(cell);
    if (!value) return plain_cell();
    std::string text = measure.print(*value);
    if (column.kind == Column::Kind::compared && cell.spread) {
        text += " \u00b1" + measure.print(*cell.spread);
    }
    return value_cell(*value, text);
}

std::string delta_cell(const Versus& versus, Basis basis) {
    return value_cell(versus.delta, print_delta(versus.delta, basis));
}

// New is more than any ratio, and JavaScript reads "Infinity".
std::string ratio_cell(const Versus& versus) {
    if (versus.change == Change::appeared) {
        return "<td class=\"change\" data-value=\"Infinity\">new</td>";
    }
    if (versus.change == Change::gone) return "<td class=\"change\" data-value=\"0\">gone</td>";
    return versus.ratio ? value_cell(*versus.ratio, print_ratio(versus)) : plain_cell();
}

// In words, so that it does not take knowing what a p-value is.
std::string noise_cell(const Versus& versus) {
    if (!versus.p_value) return plain_cell();
    return fmt::format("<td data-value=\"{0}\" title=\"p = {0:.3g}\">{1}</td>", *versus.p_value,
                       print_noise(versus));
}

// Nothing is known without a cell, nor how it stands to the first run without a first one.
std::string cell_html(const Column& column, const Cell* known, Basis basis) {
    if (known == nullptr) return plain_cell();
    const Cell& cell = *known;
    const bool is_own = column.kind == Column::Kind::compared || column.kind == Column::Kind::own;
    if (!is_own && !cell.versus) return plain_cell();
    switch (column.kind) {
        case Column::Kind::compared:
        case Column::Kind::own: return own_cell(cell, column);
        case Column::Kind::delta: return delta_cell(*cell.versus, basis);
        case Column::Kind::ratio: return ratio_cell(*cell.versus);
        case Column::Kind::noise: return noise_cell(*cell.versus);
    }
    return plain_cell();
}

std::string column_label(const Column& column) {
    const std::string letter = run_letter(column.run);
    switch (column.kind) {
        case Column::Kind::compared:
        case Column::Kind::own: return letter_mark(column.run);
        case Column::Kind::delta: return letter + "\u2212" + run_letter(0);
        case Column::Kind::ratio: return letter + "/" + run_letter(0);
        case Column::Kind::noise: break;
    }
    return "NOISE";
}

// Where a column belongs to a run, charts find there what it holds.
std::string heading_html(const Column& column, std::size_t place) {
    std::string data = fmt::format(" data-column=\"{}\"", place);
    if (column.kind == Column::Kind::compared || column.kind == Column::Kind::own) {
        data += fmt::format(" data-run=\"{}\" data-field=\"{}\" data-title=\"{}\"", column.run,
                            column.measure->key, html_text(column.measure->heading));
    }
    // The first run's column is the first of its measure.
    return fmt::format("<th scope=\"col\"{}{}>{}</th>", column.run == 0 ? " class=\"group\"" : "",
                       data, column_label(column));
}

std::string head_html(const std::vector<Measure>& measures, const std::vector<Column>& columns) {
    std::string out =
        fmt::format("<thead>\n<tr><th rowspan=\"2\" scope=\"col\" data-column=\"0\">{}</th>",
                    find_field("name")->heading);
    for (const Measure& measure : measures) {
        const auto number = std::ranges::count(columns, &measure, &Column::measure);
        out += fmt::format("<th colspan=\"{}\" scope=\"colgroup\" class=\"group\">{}</th>", number,
                           html_text(measure.heading));
    }
    out += "</tr>\n<tr>";
    for (std::size_t i = 0; i < columns.size(); ++i) out += heading_html(columns[i], i + 1);
    return out + "</tr>\n</thead>\n";
}

// "[[[lower,upper,count],...],...]", a list for each run; empty if there is no histogram.
std::string histograms_json(const ReasonRow& row) {
    std::vector<std::string> runs;
    bool any = false;
    for (const Cell& cell : row.cells) {
        const Histogram& histogram = cell.histogram;
        std::vector<std::string> buckets;
        for (std::size_t i = histogram.first_bucket(); i < histogram.end_bucket(); ++i) {
            if (histogram.at(i) == 0) continue;
            buckets.push_back(
                fmt::format("[{},{},{}]", bucket_lower(i), bucket_upper(i), histogram.at(i)));
        }
        any = any || !buckets.empty();
        runs.push_back(fmt::format("[{}]", fmt::join(buckets, ",")));
    }
    return any ? fmt::format("[{}]", fmt::join(runs, ",")) : "";
}

std::string row_html(const std::vector<Column>& columns, const ReasonRow& row, Basis basis,
                     const std::string& heading, const std::string& data) {
    std::string out = fmt::format("<tr{}><th scope=\"row\">{}</th>", data, heading);
    for (const Column& column : columns) out += cell_html(column, &row.cells[column.run], basis);
    return out + "</tr>\n";
}

// The reason's name, which leads to what it means.
std::string reason_link(const ReasonRow& row) {
    std::string label = html_text(row.label);
    if (row.explanation.empty()) return label;
    return fmt::format("<a href=\"#{}\">{}</a>", reason_anchor(row), label);
}

std::string reason_row_html(const std::vector<Column>& columns, const ReasonRow& row, Basis basis) {
    const std::string histograms = histograms_json(row);
    return row_html(columns, row, basis, reason_link(row),
                    histograms.empty() ? "" : " data-histograms=\"" + histograms + "\"");
}

// ---- Targets

// How many there were, how long they took in all, and each.
std::vector<Measure> target_measures(const Comparison& comparison) {
    constexpr std::array left_out = {"rate", "mean_cpu", "p50", "p99"};
    std::vector<Measure> measures = measures_of(comparison);
    std::erase_if(measures, [&left_out](const Measure& measure) {
        return std::ranges::find(left_out, measure.key) != left_out.end();
    });
    return measures;
}

// The part that a target is of its reason in that run, as a bar behind the number.
std::string with_bar(std::string cell_html, std::size_t run, const Cell& cell, const Cell& reason) {
    if (!(reason.count > 0.0) || !(cell.count > 0.0)) return cell_html;
    const double percent = 100.0 * std::min(1.0, cell.count / reason.count);
    constexpr std::string_view begin = "<td";
    return cell_html.insert(begin.size(), fmt::format(" class=\"bar {}\" style=\"--part: {:.1f}%\"",
                                                      run_class(run), percent));
}

std::string target_row_html(const std::vector<Column>& columns, const ReasonRow& reason,
                            const TargetRow& target, Basis basis) {
    std::string label = html_text(target_label(reason, target));
    if (!target.why.empty()) label += fmt::format(" <small>{}</small>", html_text(target.why));
    std::string out = fmt::format("<tr><th scope=\"row\">{}</th>", label);
    for (const Column& column : columns) {
        const auto& cell = target.cells[column.run];
        std::string html = cell_html(column, cell ? &*cell : nullptr, basis);
        const bool has_bar = cell && column.kind == Column::Kind::compared;
        if (has_bar) html = with_bar(std::move(html), column.run, *cell, reason.cells[column.run]);
        out += html;
    }
    return out + "</tr>\n";
}

}  // namespace

std::string reasons_html(const Comparison& comparison) {
    const std::vector<Measure> measures = measures_of(comparison);
    const std::vector<Column> columns = columns_of(measures, comparison, has_repeats(comparison));
    // On paper the style makes room for all columns.
    std::string out =
        fmt::format("<table id=\"reason-table\" class=\"wide{}\" style=\"--columns: {}\">\n",
                    comparison.runs.size() > 2 ? " landscape" : "", columns.size());
    out += head_html(measures, columns) + "<tbody>\n";
    for (const ReasonRow& row : comparison.rows) {
        out += reason_row_html(columns, row, comparison.basis);
    }
    out += "</tbody>\n<tfoot>\n";
    out += row_html(columns, comparison.total, comparison.basis, html_text(comparison.total.label),
                    "");
    return out + "</tfoot>\n</table>";
}

std::string targets_html(const Comparison& comparison) {
    const std::vector<Measure> measures = target_measures(comparison);
    const std::vector<Column> columns = columns_of(measures, comparison, false);
    std::string bodies;
    for (const ReasonRow& row : comparison.rows) {
        if (row.targets.empty()) continue;
        bodies += "<tbody>\n" +
                  row_html(columns, row, comparison.basis, reason_link(row), " class=\"reason\"");
        const std::vector<TargetRow> first = first_targets(row, most_targets);
        for (const TargetRow& target : first.empty() ? row.targets : first) {
            bodies += target_row_html(columns, row, target, comparison.basis);
        }
        bodies += "</tbody>\n";
    }
    if (bodies.empty()) return {};
    return fmt::format("<table id=\"target-table\" class=\"wide{}\" style=\"--columns: {}\">\n",
                       comparison.runs.size() > 2 ? " landscape" : "", columns.size()) +
           head_html(measures, columns) + bodies + "</table>";
}

}  // namespace exittop
