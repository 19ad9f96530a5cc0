// SPDX-License-Identifier: GPL-2.0-only
// Fills in the page's template. Everything from outside exittop comes through html_text().
#include "output/html/report_page.h"

#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.h"
#include "output/comparison_text.h"
#include "output/html/report_parts.h"
#include "output/html/report_template.h"

namespace exittop {

namespace {

constexpr std::size_t run_colors = 6;  // As many as page.css has.

// "ept=1 and ept=0", "a, b and c"
std::string title_of(const Comparison& comparison) {
    const std::vector<RunSummary>& runs = comparison.runs;
    std::string out = html_text(runs.front().label);
    for (std::size_t run = 1; run < runs.size(); ++run) {
        out += (run + 1 == runs.size() ? " and " : ", ") + html_text(runs[run].label);
    }
    return out;
}

// "ept=0: 121,342 exits, 251x as many as ept=1."
std::string lead_of(const Comparison& comparison) {
    std::vector<std::string> out;
    const std::size_t number = comparison.runs.size();
    for (std::size_t run = number > 1 ? 1 : 0; run < number; ++run) {
        const Cell& cell = comparison.total.cells[run];
        std::string& line = out.emplace_back(fmt::format(
            "<b>{}</b>: {} {}", html_text(comparison.runs[run].label),
            html_text(print_amount(cell.value, comparison.basis)), basis_name(comparison.basis)));
        if (cell.versus && cell.versus->ratio) {
            line += fmt::format(", <b>{}</b> as many as {}", html_text(print_ratio(*cell.versus)),
                                html_text(comparison.runs.front().label));
        }
        line += ".";
    }
    return fmt::format("{}", fmt::join(out, " "));
}

std::string warnings_html(const Comparison& comparison) {
    if (comparison.warnings.empty()) return {};
    std::string out = "<section class=\"warnings\" role=\"note\">\n"
                      "<h2>\u26a0 Before you compare</h2>\n<ul>\n";
    for (const Warning& warning : comparison.warnings) {
        out += fmt::format("<li><b>{}</b>: {}</li>\n", html_text(warning.name),
                           html_text(warning.text));
    }
    return out + "</ul>\n</section>";
}

std::string joined_known(std::vector<std::string> parts) {
    std::erase(parts, "");
    for (std::string& part : parts) part = html_text(part);
    return fmt::format("{}", fmt::join(parts, " \u00b7 "));
}

std::string run_card(const Comparison& comparison, std::size_t run) {
    const RunSummary& summary = comparison.runs[run];
    const Cell& total = comparison.total.cells[run];
    std::string big = print_amount(total.count, Basis::count) + " <small>exits</small>";
    if (comparison.basis == Basis::count && total.versus) {
        big += fmt::format(" <small>{}</small>", html_text(print_ratio(*total.versus)));
    }
    const std::string measured = joined_known({
        total.rate ? print_rate(*total.rate) + " exits/s" : "",
        summary.duration_s > 0.0 ? print_seconds(summary.duration_s) : "",
        summary.repeats > 1 ? print_number_of(summary.repeats, "repetition") : "",
    });
    const std::string made = joined_known(
        {fact_of(summary, "paging"), fact_of(summary, "kernel"), fact_of(summary, "CPU")});
    return fmt::format(
        "<li class=\"{}\"><h2>{} <span class=\"name\">{}</span></h2><p class=\"big\">{}</p>"
        "<p>{}</p><p>{}</p></li>\n",
        run_class(run), letter_mark(run), html_text(summary.label), big, measured, made);
}

std::string cards_html(const Comparison& comparison) {
    std::string out;
    for (std::size_t run = 0; run < comparison.runs.size(); ++run) out += run_card(comparison, run);
    return out;
}

std::string meanings_html(const Comparison& comparison) {
    std::string out;
    for (const ReasonRow& row : comparison.rows) {
        if (row.explanation.empty()) continue;
        out += fmt::format("<dt id=\"{}\">{} <small>{} {}</small></dt><dd><p>{}</p>",
                           reason_anchor(row), html_text(row.label), isa_name(row.isa), row.code,
                           html_text(row.explanation));
        const ExitReason* reason = find_exit_reason(row.isa, row.code);
        if (reason != nullptr && !reason->advice.empty()) {
            out += fmt::format("<p>{}</p>", html_text(reason->advice));
        }
        out += "</dd>\n";
    }
    return out;
}

std::string page_faults_html(const Comparison& comparison) {
    const std::string note = page_fault_note(comparison);
    return note.empty() ? "" : fmt::format("<p class=\"hint\">{}</p>\n", html_text(note));
}

// The section as a whole: a page without targets is as if there was none.
std::string targets_section(const Comparison& comparison) {
    const std::string targets = targets_html(comparison);
    if (targets.empty()) return {};
    return fmt::format(
        "\n\n<section id=\"targets\">\n<h2>What the exits were about</h2>\n<p class=\"hint\">Of "
        "each "
        "reason, its most frequent targets: registers, ports, addresses, kinds of fault. A bar is "
        "a "
        "target's part of its reason's exits in that run; - where the run did not tell it "
        "apart.</p>\n{}<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Exits by "
        "target\">\n{}\n</div>\n</section>",
        page_faults_html(comparison), targets);
}

// What follows the runs' own times: open, for where there are no charts.
std::string reason_times_part(const Comparison& comparison) {
    const std::string table = reason_times_html(comparison);
    if (table.empty()) return {};
    const char* same_scale =
        comparison.runs.size() > 1 ? ": of one reason, lengths compare the runs" : "";
    return fmt::format(
        "\n<h3>By reason</h3>\n<p class=\"hint\" hidden>The reasons that took longest, each on a "
        "scale of its own{}.</p>\n<div class=\"chart\" id=\"split-chart\" hidden></div>\n"
        "<details id=\"split-figures\" open><summary>Time of all reasons, in figures</summary>\n"
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Time by "
        "reason\">\n{}\n</div>\n</details>",
        same_scale, table);
}

std::string table_hint(const Comparison& comparison) {
    if (comparison.runs.size() < 2) return {};
    return "Differences and ratios are to the first run. " + html_text(noise_line(comparison));
}

}  // namespace

std::string html_text(std::string_view bytes) {
    std::string out;
    for (const char c : sanitise(bytes)) {
        switch (c) {
            case '&': out += "&amp;"; break;
            case '<': out += "&lt;"; break;
            case '>': out += "&gt;"; break;
            case '"': out += "&quot;"; break;
            case '\'': out += "&#39;"; break;
            default: out += c;
        }
    }
    return out;
}

std::string run_letter(std::size_t run) {
    return run < 26 ? std::string(1, static_cast<char>('A' + run)) : fmt::format("{}", run + 1);
}

std::string run_class(std::size_t run) { return fmt::format("run-{}", run % run_colors); }

std::string letter_mark(std::size_t run) {
    return fmt::format("<span class=\"letter {}\">{}</span>", run_class(run), run_letter(run));
}

std::string reason_anchor(const ReasonRow& row) {
    return fmt::format("{}-{}-l{}", isa_name(row.isa), row.code, static_cast<int>(row.level));
}

std::string report_page(const Comparison& comparison) {
    if (comparison.runs.empty()) return {};
    const std::string times = times_html(comparison);
    const std::string meanings = meanings_html(comparison);
    return fmt::format(
        fmt::runtime(report_template), fmt::arg("version", EXITTOP_VERSION),
        fmt::arg("title", title_of(comparison)), fmt::arg("lead", lead_of(comparison)),
        fmt::arg("warnings", warnings_html(comparison)), fmt::arg("runs", cards_html(comparison)),
        fmt::arg("time_legend", time_legend_html(comparison)), fmt::arg("time", times),
        fmt::arg("reason_times", reason_times_part(comparison)),
        fmt::arg("time_hidden", times.empty() ? "hidden" : ""),
        fmt::arg("table_hint", table_hint(comparison)),
        fmt::arg("reasons", reasons_html(comparison)),
        fmt::arg("targets", targets_section(comparison)), fmt::arg("meanings", meanings),
        fmt::arg("meanings_hidden", meanings.empty() ? "hidden" : ""),
        fmt::arg("facts", facts_html(comparison)));
}

}  // namespace exittop
