// SPDX-License-Identifier: GPL-2.0-only
// Selects rows of the table of exit reasons and lays out their texts: beside the name if the
// terminal is wide enough, otherwise below it.
#include "output/reasons_report.h"

#include <algorithm>
#include <numeric>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.h"
#include "output/csv.h"

namespace exittop {
namespace {

constexpr std::size_t narrowest_width = 40;
constexpr std::size_t narrowest_text = 44;  ///< Below it the text goes under the name.
constexpr std::size_t gap = 2;
constexpr std::size_t most_suggestions = 5;
constexpr std::size_t longest_term = 40;  ///< Columns of an unknown name that are shown.
constexpr std::string_view arrow = "-> ";

std::vector<Isa> isas_of(const ReasonQuery& query) {
    if (query.isa) return {*query.isa};
    std::vector<Isa> all;
    for (const IsaFacts& facts : isas) all.push_back(facts.isa);
    return all;
}

ReasonRows all_rows(const std::vector<Isa>& isas) {
    ReasonRows rows;
    for (const Isa isa : isas) {
        for (const ExitReason& reason : exit_reasons(isa)) rows.push_back(&reason);
    }
    return rows;
}

/// Letters and digits in lower case: a name without its style.
std::string normalised_name(std::string_view name) {
    std::string result;
    for (const char c : lower_cased(name)) {
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) result += c;
    }
    return result;
}

/// Levenshtein's distance: how many letters must be added, dropped or changed.
std::size_t edit_distance(std::string_view from, std::string_view to) {
    std::vector<std::size_t> row(to.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < from.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i + 1;
        for (std::size_t j = 0; j < to.size(); ++j) {
            const std::size_t changed = diagonal + (from[i] == to[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({changed, row[j] + 1, row[j + 1] + 1});
        }
    }
    return row.back();
}

/// How much a name differs from the wanted one: first common beginnings, then parts of each other,
/// then misspellings; nothing if they have too little in common.
std::optional<std::size_t> unlikeness(const std::string& wanted, const std::string& name) {
    constexpr std::size_t shortest_wanted = 2;
    constexpr std::size_t shortest_name = 3;  // "io" is a part of too many names
    constexpr std::size_t inside = 50;
    constexpr std::size_t misspelt = 2 * inside;
    if (wanted.size() >= shortest_wanted && name.contains(wanted)) {
        return name.size() - wanted.size() + (name.starts_with(wanted) ? 0 : inside);
    }
    if (name.size() >= shortest_name && wanted.contains(name)) {
        return wanted.size() - name.size() + inside;
    }
    const std::size_t distance = edit_distance(wanted, name);
    if (distance > std::max<std::size_t>(1, wanted.size() / 3)) return std::nullopt;
    return misspelt + distance;
}

std::vector<std::string_view> names_like(std::string_view what, const std::vector<Isa>& isas) {
    const std::string wanted = normalised_name(what.substr(0, longest_term));
    std::vector<std::pair<std::size_t, std::string_view>> found;
    for (const ExitReason* reason : all_rows(isas)) {
        if (const auto rank = unlikeness(wanted, normalised_name(reason->name))) {
            found.emplace_back(*rank, reason->name);
        }
    }
    std::ranges::stable_sort(found, {}, [](const auto& entry) { return entry.first; });
    std::vector<std::string_view> names;
    for (const auto& [rank, name] : found) {
        if (names.size() == most_suggestions) break;
        if (std::ranges::find(names, name) == names.end()) names.push_back(name);
    }
    return names;
}

Error unknown_reason(const ReasonQuery& query) {
    const std::vector<Isa> isas = isas_of(query);
    const bool is_number = exit_code_by_name(Isa::unknown, query.what).has_value();
    std::string text =
        fmt::format("no {}exit reason has the {} '{}'", query.isa ? isa_name(*query.isa) + " " : "",
                    is_number ? "number" : "name", sanitise(query.what, longest_term));
    const auto names = is_number ? std::vector<std::string_view>{} : names_like(query.what, isas);
    if (names.empty()) {
        text += "; 'exittop reasons' lists them all";
    } else {
        text += fmt::format("; like it: {}", fmt::join(names, ", "));
    }
    return {ExitStatus::usage, text};
}

}  // namespace

std::vector<std::string> reason_text(const ExitReason& reason, std::size_t width) {
    std::vector<std::string> lines = wrap(reason.meaning, width);
    if (reason.advice.empty()) return lines;
    std::string_view lead = arrow;
    for (const std::string& line : wrap(reason.advice, width - arrow.size())) {
        lines.push_back(std::string(lead) + line);
        lead = "   ";
    }
    return lines;
}

namespace {

/// Numbers as the manuals write them: VMX decimal, SVM hexadecimal.
std::string code_text(const ExitReason& reason) {
    return reason.isa == Isa::svm ? fmt::format("{:#05x}", reason.code)
                                  : fmt::to_string(reason.code);
}

struct ReasonLayout {
    std::size_t code_width = 4;
    std::size_t name_width = 4;
    std::size_t text_indent = 4;
    std::size_t text_width = 0;
    bool beside = true;  ///< Text starts on the line of the name.
};

ReasonLayout layout_for(const ReasonRows& rows, std::size_t width) {
    ReasonLayout layout;
    for (const ExitReason* reason : rows) {
        layout.code_width = std::max(layout.code_width, code_text(*reason).size());
        layout.name_width = std::max(layout.name_width, reason->name.size());
    }
    const std::size_t left = layout.code_width + gap + layout.name_width + gap;
    layout.beside = width >= left + narrowest_text;
    if (layout.beside) layout.text_indent = left;
    layout.text_width = width - layout.text_indent;
    return layout;
}

std::string draw_reason(const ExitReason& reason, const ReasonLayout& layout, Color color) {
    std::string out = pad(code_text(reason), layout.code_width, Align::right);
    out.append(gap, ' ');
    out += strong(reason.name, color);
    std::size_t blanks = layout.text_indent;
    if (layout.beside) {
        blanks = layout.name_width - reason.name.size() + gap;
    } else {
        out += '\n';
    }
    for (const std::string& line : reason_text(reason, layout.text_width)) {
        out.append(blanks, ' ').append(line) += '\n';
        blanks = layout.text_indent;
    }
    return out;
}

std::string draw_section(const IsaFacts& isa, const ReasonRows& rows, std::size_t width,
                         Color color) {
    const ReasonLayout layout = layout_for(rows, width);
    const auto count = print_number_of(rows.size(), "exit reason");
    std::string out = strong(fmt::format("{}: {}", isa.title, count), color) + '\n';
    for (const ExitReason* reason : rows) out += draw_reason(*reason, layout, color);
    return out;
}

}  // namespace

std::expected<ReasonRows, Error> select_reasons(const ReasonQuery& query) {
    if (query.what.empty()) return all_rows(isas_of(query));
    ReasonRows rows;
    for (const Isa isa : isas_of(query)) {
        const auto code = exit_code_by_name(isa, query.what);
        const ExitReason* reason = code ? find_exit_reason(isa, *code) : nullptr;
        if (reason != nullptr) rows.push_back(reason);
    }
    if (rows.empty()) return std::unexpected(unknown_reason(query));
    return rows;
}

std::string reasons_table(const ReasonRows& rows, std::size_t width, Color color) {
    width = std::max(width, narrowest_width);
    std::string out;
    for (const IsaFacts& facts : isas) {
        ReasonRows section = rows;
        std::erase_if(section, [&](const ExitReason* reason) { return reason->isa != facts.isa; });
        if (section.empty()) continue;
        if (!out.empty()) out += '\n';
        out += draw_section(facts, section, width, color);
    }
    return out;
}

std::string reasons_csv(const ReasonRows& rows) {
    std::string out = "isa,code,name,meaning,advice\n";
    for (const ExitReason* reason : rows) {
        out += fmt::format("{},{},{},{},{}\n", isa_name(reason->isa), reason->code,
                           csv_field(reason->name), csv_field(reason->meaning),
                           csv_field(reason->advice));
    }
    return out;
}

}  // namespace exittop
