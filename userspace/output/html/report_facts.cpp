// SPDX-License-Identifier: GPL-2.0-only
// The report's tables of runs: time, conditions, parameters of KVM's modules.
#include <algorithm>
#include <array>
#include <functional>
#include <optional>
#include <set>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.h"
#include "model/fields.h"
#include "output/comparison_text.h"
#include "output/html/report_parts.h"

namespace exittop {

namespace {

// A line of facts: what it is, and each run's value.
struct FactRow {
    std::string name;
    std::vector<std::string> values;
};

bool is_known(const FactRow& row) {
    return std::ranges::any_of(row.values, [](const std::string& value) { return !value.empty(); });
}

// When it was is never the same.
bool differs(const FactRow& row) {
    if (row.name == "started" || row.name == "ended") return false;
    const std::string& first = row.values.front();
    return std::ranges::any_of(row.values, [&](const auto& value) { return value != first; });
}

std::string fact_row_html(const FactRow& row) {
    std::string out = fmt::format("<tr><th scope=\"row\">{}{}</th>", html_text(row.name),
                                  differs(row) ? " <span class=\"differs\">differs</span>" : "");
    for (const std::string& value : row.values) {
        out += fmt::format("<td>{}</td>", value.empty() ? "-" : html_text(value));
    }
    return out + "</tr>\n";
}

std::string fact_table(const Comparison& comparison, const char* heading,
                       const std::vector<FactRow>& rows) {
    std::string out =
        fmt::format("<table class=\"fact\">\n<thead>\n<tr><th scope=\"col\">{}</th>", heading);
    for (std::size_t run = 0; run < comparison.runs.size(); ++run) {
        out += fmt::format("<th scope=\"col\">{} {}</th>", letter_mark(run),
                           html_text(comparison.runs[run].label));
    }
    out += "</tr>\n</thead>\n<tbody>\n";
    for (const FactRow& row : rows) out += fact_row_html(row);
    return out + "</tbody>\n</table>";
}

// What was lost by a run, by cause: "table_full 5".
std::string print_losses(const Lost& lost) {
    std::vector<std::string> parts;
    for (const Loss& loss : losses(lost)) {
        parts.push_back(fmt::format("{} {}", loss.cause, group_digits(loss.count)));
    }
    return parts.empty() ? "nothing" : fmt::format("{}", fmt::join(parts, ", "));
}

std::vector<FactRow> known_facts(const Comparison& comparison) {
    std::vector<FactRow> rows;
    for (std::size_t i = 0; i < comparison.runs.front().facts.size(); ++i) {
        FactRow row{comparison.runs.front().facts[i].name, {}};
        for (const RunSummary& run : comparison.runs) row.values.push_back(run.facts[i].value);
        if (is_known(row)) rows.push_back(std::move(row));
    }
    FactRow lost{"lost", {}};
    for (const RunSummary& run : comparison.runs) lost.values.push_back(print_losses(run.lost));
    rows.push_back(std::move(lost));
    return rows;
}

std::vector<FactRow> parameters(const Comparison& comparison) {
    std::set<std::string> names;
    for (const RunSummary& run : comparison.runs) {
        for (const auto& [name, value] : run.parameters) names.insert(name);
    }
    std::vector<FactRow> rows;
    for (const std::string& name : names) {
        FactRow row{name, {}};
        for (const RunSummary& run : comparison.runs) {
            const auto found = run.parameters.find(name);
            row.values.push_back(found == run.parameters.end() ? "" : found->second);
        }
        rows.push_back(std::move(row));
    }
    return rows;
}

// ---- Where the time went

// For people who know none of these words.
struct PartMeaning {
    char letter;
    const char* text;
};
constexpr std::array part_meanings = {
    PartMeaning{guest_letter, "the guest ran"},
    PartMeaning{'K', "on a CPU, in the host's kernel"},
    PartMeaning{'V', "on a CPU, in the VMM, such as QEMU"},
    PartMeaning{'P', "on a CPU, in KVM's halt polling"},
    PartMeaning{'W', "ready to run, but waited for a CPU"},
    PartMeaning{'H', "asleep, as the guest had nothing to do"},
    PartMeaning{'B', "asleep elsewhere, such as for a disk"},
};

bool knows_all(const RunSummary& run) {
    return std::ranges::all_of(run.times, [](const MeanTime& time) { return time.ns.has_value(); });
}

// Where any run has some of it; names and letters are those of the first run.
std::vector<MeanTime> shown_parts(const Comparison& comparison) {
    std::vector<MeanTime> parts;
    for (std::size_t i = 0; i < comparison.runs.front().times.size(); ++i) {
        const bool any = std::ranges::any_of(comparison.runs, [i](const RunSummary& run) {
            return run.times[i].ns.value_or(0.0) > 0.0;
        });
        if (any) parts.push_back(comparison.runs.front().times[i]);
    }
    return parts;
}

// The part's colour, as page.css has it, for what is within.
std::string part_style(const MeanTime& part) {
    return fmt::format("style=\"--part: var(--{0}); --on-part: var(--on-{0})\"", part.name);
}

std::string legend_item(const MeanTime& part, bool is_rest) {
    const auto* meaning = std::ranges::find(part_meanings, part.letter, &PartMeaning::letter);
    return fmt::format("<li><span class=\"part\" {} aria-hidden=\"true\">{}</span> <span><b>{}</b> "
                       "{}{}</span></li>\n",
                       part_style(part), part.letter, part.name,
                       meaning == part_meanings.end() ? "" : html_text(meaning->text),
                       is_rest ? "; also parts that are not known" : "");
}

std::string legend_html(const Comparison& comparison, const std::vector<MeanTime>& parts) {
    const bool all = std::ranges::all_of(comparison.runs, knows_all);
    std::string out = "<ul class=\"parts\">\n";
    for (const MeanTime& part : parts) out += legend_item(part, part.letter == 'K' && !all);
    return out + "</ul>\n";
}

std::string time_cell(std::optional<double> ns, std::optional<double> all) {
    if (!ns || !(all > 0.0)) return "<td>-</td>";
    if (*ns == 0.0) return "<td data-value=\"0\">0ns</td>";
    return fmt::format("<td data-value=\"{}\">{} {}</td>", *ns, print_time(ns),
                       html_text(print_percent(*ns / *all)));
}

std::string time_head(const char* heading, const std::vector<MeanTime>& parts) {
    std::string out =
        fmt::format("<thead>\n<tr><th scope=\"col\">{}</th><th scope=\"col\">all</th>", heading);
    for (const MeanTime& part : parts) {
        out += fmt::format("<th scope=\"col\" data-part=\"{0}\" data-letter=\"{1}\">{0}</th>",
                           part.name, part.letter);
    }
    return out + "</tr>\n</thead>\n";
}

// A run's times, or those of one of its reasons, as far as they are shown.
std::string time_row(std::size_t run, const std::string& name, std::optional<double> all,
                     const std::vector<MeanTime>& times, const std::vector<MeanTime>& parts) {
    std::string out =
        fmt::format("<tr data-run=\"{}\"><th scope=\"row\">{} <span class=\"name\">{}</span></th>"
                    "<td>{}</td>",
                    run, letter_mark(run), html_text(name), print_time(all));
    for (const MeanTime& part : parts) {
        const auto found = std::ranges::find(times, part.letter, &MeanTime::letter);
        out += time_cell(found == times.end() ? std::nullopt : found->ns, all);
    }
    return out + "</tr>\n";
}

std::string runs_times(const Comparison& comparison, const std::vector<MeanTime>& parts) {
    std::string out =
        "<table id=\"time-table\" class=\"wide\">\n" + time_head("RUN", parts) + "<tbody>\n";
    for (std::size_t run = 0; run < comparison.runs.size(); ++run) {
        const RunSummary& summary = comparison.runs[run];
        out += time_row(run, summary.label, all_time(summary), summary.times, parts);
    }
    return out + "</tbody>\n</table>";
}

bool knows_kernel(const Cell& cell) {
    const auto kernel = std::ranges::find(cell.parts, 'K', &MeanTime::letter);
    return kernel != cell.parts.end() && kernel->ns;
}

double longest_time(const ReasonRow& row) {
    double longest = 0.0;
    for (const Cell& cell : row.cells) longest = std::max(longest, cell.time_ns.value_or(0.0));
    return longest;
}

// Those whose time is told apart in some run, the one that took longest in any run first.
std::vector<const ReasonRow*> split_reasons(const Comparison& comparison) {
    std::vector<const ReasonRow*> rows;
    for (const ReasonRow& row : comparison.rows) {
        if (std::ranges::any_of(row.cells, knows_kernel)) rows.push_back(&row);
    }
    std::ranges::stable_sort(rows, std::ranges::greater{},
                             [](const ReasonRow* row) { return longest_time(*row); });
    return rows;
}

}  // namespace

std::string times_html(const Comparison& comparison) {
    const std::vector<MeanTime> parts = shown_parts(comparison);
    if (parts.empty()) return {};
    return runs_times(comparison, parts);
}

std::string time_legend_html(const Comparison& comparison) {
    return legend_html(comparison, shown_parts(comparison));
}

std::string reason_times_html(const Comparison& comparison) {
    std::vector<MeanTime> parts = shown_parts(comparison);
    std::erase_if(parts, [](const MeanTime& part) { return part.letter == guest_letter; });
    std::string bodies;
    for (const ReasonRow* row : split_reasons(comparison)) {
        bodies += "<tbody>\n";
        for (std::size_t run = 0; run < row->cells.size(); ++run) {
            const Cell& cell = row->cells[run];
            bodies += time_row(run, row->label, cell.time_ns, cell.parts, parts);
        }
        bodies += "</tbody>\n";
    }
    if (parts.empty() || bodies.empty()) return {};
    return "<table id=\"split-table\" class=\"wide\">\n" + time_head("REASON", parts) + bodies +
           "</table>";
}

std::string facts_html(const Comparison& comparison) {
    std::vector<FactRow> facts = known_facts(comparison);
    std::vector<FactRow> same;
    for (FactRow& row : parameters(comparison)) {
        (differs(row) ? facts : same).push_back(std::move(row));
    }
    std::string out = fact_table(comparison, "FACT", facts);
    if (same.empty()) return out;
    return out + fmt::format("\n<details><summary>{} of KVM{}</summary>\n{}\n</details>",
                             print_number_of(same.size(), "parameter"),
                             comparison.runs.size() > 1 ? ", the same in all runs" : "",
                             fact_table(comparison, "PARAMETER", same));
}

}  // namespace exittop
