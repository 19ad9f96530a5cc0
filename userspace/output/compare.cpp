// SPDX-License-Identifier: GPL-2.0-only
// Tables are made once, as rows of cells, and drawn as a grid or as Markdown.
#include "output/compare.h"

#include <algorithm>
#include <cctype>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "output/comparison_text.h"
#include "output/csv.h"
#include "output/grid.h"

namespace exittop {

namespace {

constexpr std::size_t label_columns = 16;
constexpr std::size_t narrowest_explanation = 24;

struct Table {
    std::vector<GridColumn> columns;
    std::vector<GridRow> rows;
};

// ---- Tables

std::string print_value_of(const Cell& cell, Basis basis) {
    const std::string value = print_amount(cell.value, basis);
    return cell.spread ? fmt::format("{} ±{}", value, print_amount(*cell.spread, basis)) : value;
}

std::string short_label(const RunSummary& run) { return sanitise(run.label, label_columns); }

GridRow count_row(const ReasonRow& reason, Basis basis, bool noise) {
    GridRow row{{reason.label}, false};
    for (const Cell& cell : reason.cells) {
        row.cells.push_back(print_value_of(cell, basis));
        if (!cell.versus) continue;
        row.cells.push_back(print_delta(cell.versus->delta, basis));
        row.cells.push_back(print_ratio(*cell.versus));
        if (noise) row.cells.push_back(print_noise(*cell.versus));
    }
    return row;
}

Table count_table(const Comparison& comparison) {
    const bool noise = has_repeats(comparison);
    Table table{{{"REASON", Align::left}}, {}};
    for (const RunSummary& run : comparison.runs) {
        table.columns.push_back({short_label(run), Align::right});
        if (&run == &comparison.runs.front()) continue;
        table.columns.push_back({"DELTA", Align::right});
        table.columns.push_back({"RATIO", Align::right});
        if (noise) table.columns.push_back({"NOISE", Align::left});
    }
    for (const ReasonRow& reason : comparison.rows) {
        table.rows.push_back(count_row(reason, comparison.basis, noise));
    }
    table.rows.push_back(count_row(comparison.total, comparison.basis, noise));
    table.rows.back().strong = true;
    return table;
}

void add_cost_rows(Table& table, const Comparison& comparison, const ReasonRow& reason) {
    std::string label = reason.label;
    for (std::size_t i = 0; i < reason.cells.size(); ++i) {
        if (reason.cells[i].count == 0.0) continue;
        GridRow& row = table.rows.emplace_back();
        row.cells = {std::exchange(label, ""), short_label(comparison.runs[i])};
        for (const auto& [field, value] : costs_of(reason.cells[i])) {
            row.cells.push_back(print_value(value, field->unit));
        }
    }
}

// What the exits cost, a line per reason and run; empty where nothing was timed.
Table cost_table(const Comparison& comparison) {
    const auto timed = [](const Cell& cell) { return cell.rate || cell.time_ns; };
    if (std::ranges::none_of(comparison.total.cells, timed)) return {};
    Table table{{{"REASON", Align::left}, {"RUN", Align::left}}, {}};
    for (const CellField& cost : costs_of({})) {
        table.columns.push_back({std::string(cost.field->heading)});
    }
    for (const ReasonRow& reason : comparison.rows) add_cost_rows(table, comparison, reason);
    add_cost_rows(table, comparison, comparison.total);
    return table;
}

// Appends explanations, wrapped into the columns that the table leaves of `width`.
void add_explanations(Table& table, const Comparison& comparison, std::size_t width) {
    std::size_t used = 0;
    const std::string drawn = draw_grid(table.columns, table.rows, {width, 0, Color::off});
    for (std::size_t begin = 0; begin < drawn.size();) {
        const std::size_t end = drawn.find('\n', begin);
        used = std::max(used, display_width(std::string_view(drawn).substr(begin, end - begin)));
        begin = end + 1;
    }
    const std::size_t left = width > used + 2 ? width - used - 2 : 0;
    std::vector<GridRow> rows;
    for (std::size_t i = 0; i < table.rows.size(); ++i) {
        GridRow& row = rows.emplace_back(std::move(table.rows[i]));
        if (i >= comparison.rows.size()) {
            row.cells.emplace_back();
            continue;
        }
        const auto lines =
            wrap(comparison.rows[i].explanation, std::max(left, narrowest_explanation));
        row.cells.push_back(lines.front());
        for (std::size_t line = 1; line < lines.size(); ++line) {
            GridRow more{std::vector<std::string>(table.columns.size()), false};
            more.cells.push_back(lines[line]);
            rows.push_back(std::move(more));
        }
    }
    table.columns.push_back({"WHAT CAUSES IT", Align::left});
    table.rows = std::move(rows);
}

// ---- What is said beside the tables

std::string fact(const RunSummary& run, std::string_view name) {
    return sanitise(fact_of(run, name), name_columns);
}

// "5,643 exits in 8.1 s, npt, 1 vCPU, qemu 7.2.22, Linux 6.1.0-50-cloud-amd64": what matters most
// comes first, as narrow terminals cut the end.
std::string run_line(const Comparison& comparison, std::size_t index) {
    const RunSummary& run = comparison.runs[index];
    std::string line = print_amount(comparison.total.cells[index].count, Basis::count) + " exits";
    if (run.duration_s > 0.0) line += " in " + print_seconds(run.duration_s);
    if (run.repeats > 1) line += fmt::format(", mean of {} repetitions", run.repeats);
    const std::string paging = fact(run, "paging");
    line += ", " + (paging.empty() ? "paging unknown" : paging);
    if (const std::string vcpus = fact(run, "vCPUs"); !vcpus.empty()) {
        line += fmt::format(", {} {}", vcpus, vcpus == "1" ? "vCPU" : "vCPUs");
    }
    if (const std::string vmm = fact(run, "VMM"); !vmm.empty()) line += ", " + vmm;
    if (const std::string kernel = fact(run, "kernel"); !kernel.empty()) {
        line += ", Linux " + kernel;
    }
    return line;
}

// "time: guest 2.11s 70.1%, kernel 880ms 29.2%, ..." of all vCPUs; nothing where no time is known.
std::string split_line(const RunSummary& run) {
    const double all = all_time(run).value_or(0.0);
    if (!(all > 0.0)) return {};
    std::vector<std::string> parts;
    for (const TimePart& part : run.times) {
        parts.push_back(fmt::format("{} {} {}", part.name, print_time(part.ns),
                                    print_percent(part.ns.value_or(0.0) / all)));
    }
    return fmt::format("time: {}", fmt::join(parts, ", "));
}

std::string losses(const Comparison& comparison, Color color) {
    std::string out;
    for (const RunSummary& run : comparison.runs) {
        if (lost_total(run.lost) == 0) {
            if (fact(run, "imported from").empty()) continue;
            out += short_label(run) + ": imported; what was lost is not known\n";
            continue;
        }
        out += short_label(run) + ": " + lost_lines(run.lost, color);
    }
    return out.empty() ? lost_lines({}, color) : out;
}

// ---- Markdown

// Text in which nothing is markup: labels and facts come from files.
std::string markdown_text(std::string_view raw) {
    std::string out;
    const std::string text = sanitise(raw);
    const auto is_word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
    for (std::size_t i = 0; i < text.size(); ++i) {
        // An underscore within a word is none of Markdown's business: EPT_VIOLATION.
        const bool within = text[i] == '_' && i > 0 && i + 1 < text.size() &&
                            is_word(text[i - 1]) && is_word(text[i + 1]);
        if (!within && std::string_view("\\`*_[]<>&|#~").contains(text[i])) out += '\\';
        out += text[i];
    }
    return out;
}

std::string markdown_line(const std::vector<std::string>& cells) {
    std::string line = "|";
    for (const std::string& cell : cells) line += " " + markdown_text(cell) + " |";
    return line + "\n";
}

std::string draw_markdown(const Table& table) {
    std::vector<std::string> headings;
    std::string rule = "|";
    for (const GridColumn& column : table.columns) {
        headings.push_back(column.heading);
        rule += column.align == Align::left ? " :--- |" : " ---: |";
    }
    std::string out = markdown_line(headings) + rule + "\n";
    for (const GridRow& row : table.rows) out += markdown_line(row.cells);
    return out;
}

// ---- CSV

std::vector<std::string> csv_heading() {
    std::vector<std::string> names = {"reason",  "isa",   "level", "code",  "run",
                                      "repeats", "count", "value", "spread"};
    for (const CellField& cost : costs_of({})) names.emplace_back(cost.field->data_name);
    names.insert(names.end(), {"delta", "ratio", "change", "p_value"});
    return names;
}

std::string csv_row(const RunSummary& run, const ReasonRow& reason, const Cell& cell,
                    bool explain) {
    const bool total = reason.cells.empty() || reason.isa == Isa::unknown;
    std::vector<std::string> cells = {reason.label,
                                      total ? "" : isa_name(reason.isa),
                                      total ? ""
                                            : fmt::format("{}", static_cast<int>(reason.level)),
                                      total ? "" : fmt::format("{}", reason.code),
                                      csv_foreign(run.label),
                                      fmt::format("{}", cell.values.size()),
                                      fmt::format("{}", cell.count),
                                      fmt::format("{}", cell.value),
                                      plain_value(value_of(cell.spread))};
    for (const CellField& cost : costs_of(cell)) cells.push_back(plain_value(cost.value));
    const Versus versus = cell.versus.value_or(Versus{});
    cells.insert(cells.end(), {cell.versus ? fmt::format("{}", versus.delta) : "",
                               plain_value(value_of(versus.ratio)), change_name(versus.change),
                               plain_value(value_of(versus.p_value))});
    if (explain) cells.push_back(reason.explanation);
    return csv_line(cells);
}

}  // namespace

std::string compare_table(const Comparison& comparison, bool explain, const TableOptions& options) {
    std::string out;
    for (std::size_t i = 0; i < comparison.runs.size(); ++i) {
        const std::string label = short_label(comparison.runs[i]);
        out += fit(label + ": " + run_line(comparison, i), options.width) + "\n";
        const std::string split = split_line(comparison.runs[i]);
        if (!split.empty()) out += fit("  " + split, options.width) + "\n";
    }
    for (const Warning& warning : comparison.warnings) {
        out += alarming("WARNING " + warning.name, options.color) + ": " + sanitise(warning.text) +
               "\n";
    }
    Table counts = count_table(comparison);
    if (explain) add_explanations(counts, comparison, options.width);
    out += "\n";
    if (comparison.basis != Basis::count) out += basis_name(comparison.basis) + ":\n";
    out += draw_grid(counts.columns, counts.rows, {options.width, 0, options.color});
    if (const std::string noise = noise_line(comparison); !noise.empty()) out += noise + "\n";
    if (const Table costs = cost_table(comparison); !costs.rows.empty()) {
        out += "\n" + draw_grid(costs.columns, costs.rows, {options.width, 0, options.color});
    }
    return out + "\n" + losses(comparison, options.color);
}

std::string compare_markdown(const Comparison& comparison, bool explain) {
    std::string out;
    for (std::size_t i = 0; i < comparison.runs.size(); ++i) {
        const RunSummary& run = comparison.runs[i];
        out += fmt::format("- **{}**: {}", markdown_text(run.label),
                           markdown_text(run_line(comparison, i)));
        const std::string split = split_line(run);
        out += split.empty() ? "\n" : fmt::format("; {}\n", split);
    }
    for (const Warning& warning : comparison.warnings) {
        out += fmt::format("- **Warning, {}**: {}\n", warning.name, markdown_text(warning.text));
    }
    Table counts = count_table(comparison);
    if (explain) {
        counts.columns.push_back({"WHAT CAUSES IT", Align::left});
        for (std::size_t i = 0; i < counts.rows.size(); ++i) {
            counts.rows[i].cells.push_back(
                i < comparison.rows.size() ? comparison.rows[i].explanation : "");
        }
    }
    out +=
        fmt::format("\nPer reason, {}:\n\n{}", basis_name(comparison.basis), draw_markdown(counts));
    if (const std::string noise = noise_line(comparison); !noise.empty()) {
        out += "\n" + noise + "\n";
    }
    if (const Table costs = cost_table(comparison); !costs.rows.empty()) {
        out += "\nWhat they cost:\n\n" + draw_markdown(costs);
    }
    return out + "\n```\n" + losses(comparison, Color::off) + "```\n";
}

std::string compare_csv(const Comparison& comparison, bool explain) {
    std::vector<std::string> heading = csv_heading();
    if (explain) heading.emplace_back("explanation");
    std::string out = csv_line(heading);
    const auto add = [&](const ReasonRow& reason) {
        for (std::size_t i = 0; i < reason.cells.size(); ++i) {
            out += csv_row(comparison.runs[i], reason, reason.cells[i], explain);
        }
    };
    for (const ReasonRow& reason : comparison.rows) add(reason);
    add(comparison.total);
    return out;
}

}  // namespace exittop
