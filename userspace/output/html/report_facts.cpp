// SPDX-License-Identifier: GPL-2.0-only
// The report's tables of runs: time, conditions, parameters of KVM's modules.
#include <algorithm>
#include <optional>
#include <set>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.h"
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

std::string time_cell(std::optional<double> ns, std::optional<double> all) {
    if (!ns || !(all > 0.0)) return "<td>-</td>";
    return fmt::format("<td data-value=\"{}\">{} {}</td>", *ns, print_time(ns),
                       html_text(print_percent(*ns / *all)));
}

}  // namespace

std::string times_html(const Comparison& comparison) {
    const auto is_shown = [&comparison](std::size_t part) {
        return std::ranges::any_of(comparison.runs, [part](const RunSummary& run) {
            return run.times[part].ns.value_or(0.0) > 0.0;
        });
    };
    std::vector<std::size_t> parts;
    for (std::size_t part = 0; part < comparison.runs.front().times.size(); ++part) {
        if (is_shown(part)) parts.push_back(part);
    }
    if (parts.empty()) return {};
    std::string out = "<table id=\"time-table\" class=\"wide\">\n<thead>\n"
                      "<tr><th scope=\"col\">RUN</th><th scope=\"col\">all</th>";
    for (const std::size_t part : parts) {
        out += fmt::format("<th scope=\"col\" data-part=\"{0}\">{0}</th>",
                           comparison.runs.front().times[part].name);
    }
    out += "</tr>\n</thead>\n<tbody>\n";
    for (std::size_t run = 0; run < comparison.runs.size(); ++run) {
        const RunSummary& summary = comparison.runs[run];
        const auto all = all_time(summary);
        out += fmt::format("<tr><th scope=\"row\">{} {}</th><td>{}</td>", letter_mark(run),
                           html_text(summary.label), print_time(all));
        for (const std::size_t part : parts) out += time_cell(summary.times[part].ns, all);
        out += "</tr>\n";
    }
    return out + "</tbody>\n</table>";
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
