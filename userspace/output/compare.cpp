// SPDX-License-Identifier: GPL-2.0-only
// Tables are made once, as rows of cells, and drawn as a grid or as Markdown.
#include "output/compare.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "model/target_name.h"
#include "output/comparison_text.h"
#include "output/csv.h"
#include "output/grid.h"
#include "output/split_bar.h"
#include "output/target_text.h"

namespace exittop {

namespace {

constexpr std::size_t label_columns = 16;
constexpr std::size_t narrowest_explanation = 24;

struct Table {
    std::vector<GridColumn> columns;
    std::vector<GridRow> rows;
    std::vector<const ReasonRow*> reasons{};  ///< Of each row; nullptr: it is no reason's own.
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

// "-" where it is not known. Targets are not tested for noise.
GridRow target_row(const std::string& label, const TargetRow& target, Basis basis, bool noise) {
    GridRow row{{label}, false};
    for (std::size_t run = 0; run < target.cells.size(); ++run) {
        const auto& cell = target.cells[run];
        row.cells.push_back(cell ? print_value_of(*cell, basis) : "-");
        if (run == 0) continue;
        const bool is_compared = cell && cell->versus;
        row.cells.push_back(is_compared ? print_delta(cell->versus->delta, basis) : "-");
        row.cells.push_back(is_compared ? print_ratio(*cell->versus) : "-");
        if (noise) row.cells.emplace_back();
    }
    return row;
}

// What a target's name stands behind: blanks would be lost in Markdown.
constexpr std::string_view grid_indent = "  ";
constexpr std::string_view markdown_indent = "↳ ";

Table count_table(const Comparison& comparison, std::string_view indent) {
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
        table.reasons.push_back(&reason);
        for (const TargetRow& target : first_targets(reason, most_targets)) {
            const std::string label = fmt::format("{}{}", indent, target_label(reason, target));
            table.rows.push_back(target_row(label, target, comparison.basis, noise));
            table.reasons.push_back(nullptr);
        }
    }
    table.rows.push_back(count_row(comparison.total, comparison.basis, noise));
    table.rows.back().strong = true;
    table.reasons.push_back(nullptr);
    return table;
}

std::vector<std::string> unknown_targets(const Comparison& comparison) {
    std::vector<UnknownTargets> unknown;
    for (const ReasonRow& reason : comparison.rows) {
        if (reason.targets.empty()) continue;
        const TargetRow& last = reason.targets.back();
        if (last.kind == TargetRow::Kind::unknown) unknown.push_back({reason.label, last.why});
    }
    return unknown_lines(unknown);
}

// The mean time on a CPU is left out where no run knows it.
std::vector<CellField> shown_costs(const Comparison& comparison, const Cell& cell) {
    const auto knows = [](const Cell& total) { return total.mean_cpu_ns.has_value(); };
    const bool all = std::ranges::any_of(comparison.total.cells, knows);
    std::vector<CellField> shown;
    for (const CellField& cost : costs_of(cell)) {
        if (all || cost.field->key != "mean_cpu") shown.push_back(cost);
    }
    return shown;
}

void add_cost_rows(Table& table, const Comparison& comparison, const ReasonRow& reason) {
    std::string label = reason.label;
    for (std::size_t i = 0; i < reason.cells.size(); ++i) {
        if (reason.cells[i].count == 0.0) continue;
        GridRow& row = table.rows.emplace_back();
        row.cells = {std::exchange(label, ""), short_label(comparison.runs[i])};
        for (const auto& [field, value] : shown_costs(comparison, reason.cells[i])) {
            row.cells.push_back(print_value(value, field->unit));
        }
    }
}

// What the exits cost, a line per reason and run; empty where nothing was timed.
Table cost_table(const Comparison& comparison) {
    const auto timed = [](const Cell& cell) { return cell.rate || cell.time_ns; };
    if (std::ranges::none_of(comparison.total.cells, timed)) return {};
    Table table{{{"REASON", Align::left}, {"RUN", Align::left}}, {}};
    for (const CellField& cost : shown_costs(comparison, {})) {
        table.columns.push_back({std::string(cost.field->heading)});
    }
    for (const ReasonRow& reason : comparison.rows) add_cost_rows(table, comparison, reason);
    add_cost_rows(table, comparison, comparison.total);
    return table;
}

// Appends explanations, wrapped into the columns that the table leaves of `width`.
void add_explanations(Table& table, std::size_t width) {
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
        if (table.reasons[i] == nullptr) {
            row.cells.emplace_back();
            continue;
        }
        const auto lines =
            wrap(table.reasons[i]->explanation, std::max(left, narrowest_explanation));
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

// "guest 2.11s 70.1%", "kernel 880ms 29.2% (1.52x)", ... of all vCPUs; of what is nothing, only the
// guest, the kernel and the VMM. Nothing where no time is known.
std::vector<std::string> split_items(const RunSummary& run) {
    const double all = all_time(run).value_or(0.0);
    if (!(all > 0.0)) return {};
    std::vector<std::string> items;
    for (const MeanTime& time : run.times) {
        const bool is_main = std::string_view("GKV").contains(time.letter);
        if (!time.ns || (!is_main && *time.ns == 0.0)) continue;
        std::string& item = items.emplace_back(
            fmt::format("{} {} {}", time.name, print_time(time.ns), print_percent(*time.ns / all)));
        if (time.ratio) item += fmt::format(" ({})", print_ratio(*time.ratio));
    }
    return items;
}

// Of all time, as the percentages are; empty as above.
std::string time_bar(const RunSummary& run, std::size_t width) {
    if (!all_time(run)) return {};
    std::vector<BarPart> parts;
    for (const MeanTime& time : run.times) parts.push_back({time.letter, time.ns.value_or(0.0)});
    return share_bar(parts, width);
}

std::string split_lines(const RunSummary& run, const TableOptions& options) {
    constexpr std::size_t indent = 2, widest_bar = 50;
    const std::vector<std::string> items = split_items(run);
    if (items.empty()) return {};
    const std::string bar = time_bar(run, std::min(options.width, widest_bar + indent) - indent);
    return list_in_lines(fmt::format("{:{}}time:", "", indent), items, options.width, 2 * indent) +
           fmt::format("{:{}}{}\n", "", indent, paint_bar(bar, options.color));
}

// What the letters in the bars are; nothing where there are no bars.
std::string legend_line(const Comparison& comparison, std::size_t width) {
    std::map<char, std::string_view> known;
    for (const RunSummary& run : comparison.runs) {
        if (time_bar(run, 1).empty()) continue;
        for (const MeanTime& time : run.times) {
            if (time.ns) known.emplace(time.letter, time.name);
        }
    }
    std::vector<std::string> letters;
    for (const MeanTime& time : comparison.runs.front().times) {
        if (!known.contains(time.letter)) continue;
        letters.push_back(fmt::format("{} {}", time.letter, time.name));
    }
    if (letters.empty()) return {};
    return fit(fmt::format("bars: {}", fmt::join(letters, ", ")), width) + "\n";
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

// It came later, and stands behind all other columns, so that their places stay.
constexpr std::string_view last_cost = "mean_cpu";

std::vector<std::string> csv_heading(bool explain, bool targets) {
    std::vector<std::string> names = {"reason",  "isa",   "level", "code",  "run",
                                      "repeats", "count", "value", "spread"};
    for (const CellField& cost : costs_of({})) {
        if (cost.field->key != last_cost) names.emplace_back(cost.field->data_name);
    }
    names.insert(names.end(), {"delta", "ratio", "change", "p_value"});
    if (explain) names.emplace_back("explanation");
    if (targets) names.insert(names.end(), {"target", "target_name"});
    names.emplace_back(find_field(last_cost)->data_name);
    return names;
}

std::vector<std::string> csv_cells(const RunSummary& run, const ReasonRow& reason, const Cell& cell,
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
    for (const CellField& cost : costs_of(cell)) {
        if (cost.field->key != last_cost) cells.push_back(plain_value(cost.value));
    }
    const Versus versus = cell.versus.value_or(Versus{});
    cells.insert(cells.end(), {cell.versus ? fmt::format("{}", versus.delta) : "",
                               plain_value(value_of(versus.ratio)), change_name(versus.change),
                               plain_value(value_of(versus.p_value))});
    if (explain) cells.push_back(reason.explanation);
    return cells;
}

// The same words as in the CSV of a run; see csv.h.
std::array<std::string, 2> csv_target(const ReasonRow& reason, const TargetRow& target) {
    switch (target.kind) {
        case TargetRow::Kind::known: break;
        case TargetRow::Kind::other: return {std::string(csv_other_targets), ""};
        case TargetRow::Kind::unknown:
            return {std::string(csv_unknown_targets), csv_foreign(target.why)};
    }
    return {csv_foreign(target.target),
            csv_foreign(target_name(reason.isa, reason.code, target.target))};
}

// Of the runs that know it.
std::string csv_target_lines(const Comparison& comparison, const ReasonRow& reason,
                             const TargetRow& target, bool explain) {
    std::string out;
    for (std::size_t i = 0; i < target.cells.size(); ++i) {
        if (!target.cells[i]) continue;
        auto cells = csv_cells(comparison.runs[i], reason, *target.cells[i], explain);
        for (std::string& cell : csv_target(reason, target)) cells.push_back(std::move(cell));
        cells.emplace_back();  // Of targets, it is not known.
        out += csv_line(cells);
    }
    return out;
}

}  // namespace

std::string compare_table(const Comparison& comparison, bool explain, const TableOptions& options) {
    std::string out;
    for (std::size_t i = 0; i < comparison.runs.size(); ++i) {
        const std::string label = short_label(comparison.runs[i]);
        out += fit(label + ": " + run_line(comparison, i), options.width) + "\n";
        out += split_lines(comparison.runs[i], options);
    }
    out += legend_line(comparison, options.width);
    for (const Warning& warning : comparison.warnings) {
        out += alarming("WARNING " + warning.name, options.color) + ": " + sanitise(warning.text) +
               "\n";
    }
    Table counts = count_table(comparison, grid_indent);
    if (explain) add_explanations(counts, options.width);
    out += "\n";
    if (comparison.basis != Basis::count) out += basis_name(comparison.basis) + ":\n";
    out += draw_grid(counts.columns, counts.rows, {options.width, 0, options.color});
    for (const std::string& line : unknown_targets(comparison)) {
        out += fit(line, options.width) + "\n";
    }
    if (const std::string note = page_fault_note(comparison); !note.empty()) {
        for (const std::string& line : wrap(note, options.width)) out += line + "\n";
    }
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
        const std::vector<std::string> split = split_items(run);
        out += split.empty() ? "\n" : fmt::format("; time: {}\n", fmt::join(split, ", "));
    }
    for (const Warning& warning : comparison.warnings) {
        out += fmt::format("- **Warning, {}**: {}\n", warning.name, markdown_text(warning.text));
    }
    Table counts = count_table(comparison, markdown_indent);
    if (explain) {
        counts.columns.push_back({"WHAT CAUSES IT", Align::left});
        for (std::size_t i = 0; i < counts.rows.size(); ++i) {
            counts.rows[i].cells.push_back(
                counts.reasons[i] != nullptr ? counts.reasons[i]->explanation : "");
        }
    }
    out +=
        fmt::format("\nPer reason, {}:\n\n{}", basis_name(comparison.basis), draw_markdown(counts));
    for (const std::string& line : unknown_targets(comparison)) {
        out += "\n" + markdown_text(line) + "\n";
    }
    if (const std::string note = page_fault_note(comparison); !note.empty()) {
        out += "\n" + markdown_text(note) + "\n";
    }
    if (const std::string noise = noise_line(comparison); !noise.empty()) {
        out += "\n" + noise + "\n";
    }
    if (const Table costs = cost_table(comparison); !costs.rows.empty()) {
        out += "\nWhat they cost:\n\n" + draw_markdown(costs);
    }
    return out + "\n```\n" + losses(comparison, Color::off) + "```\n";
}

std::string compare_csv(const Comparison& comparison, bool explain) {
    const bool targets = has_targets(comparison);
    std::string out = csv_line(csv_heading(explain, targets));
    const auto add = [&](const ReasonRow& reason) {
        for (std::size_t i = 0; i < reason.cells.size(); ++i) {
            auto cells = csv_cells(comparison.runs[i], reason, reason.cells[i], explain);
            if (targets) cells.insert(cells.end(), 2, "");
            cells.push_back(plain_value(value_of(reason.cells[i].mean_cpu_ns)));
            out += csv_line(cells);
        }
        for (const TargetRow& target : reason.targets) {
            out += csv_target_lines(comparison, reason, target, explain);
        }
    };
    for (const ReasonRow& reason : comparison.rows) add(reason);
    add(comparison.total);
    return out;
}

}  // namespace exittop
