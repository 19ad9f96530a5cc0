// SPDX-License-Identifier: GPL-2.0-only
// A text is CSV if its first line that is no comment is a heading: exittop's own, or one of which
// the first cell has the word "reason"; everything else is looked through line by line.
#include "output/import.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/number.h"
#include "base/text.h"
#include "output/csv_input.h"

namespace exittop {

namespace {

// What is wrong with the text; thrown here, caught in import_counts().
struct BadText {
    std::string what;
};

using Counts = std::map<std::uint32_t, std::uint64_t>;  // By exit code.

struct Line {
    std::size_t number;  // From 1 on, for messages.
    std::string_view text;
};

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view blanks = " \t\r\v\f";
    const std::size_t begin = text.find_first_not_of(blanks);
    if (begin == text.npos) return {};
    return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

// Lines that are neither empty nor comments.
std::vector<Line> lines_of(std::string_view text) {
    std::vector<Line> lines;
    for (std::size_t number = 1; !text.empty(); ++number) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        const std::string_view line = trimmed(text.substr(0, end));
        if (!line.empty() && !line.starts_with('#')) lines.push_back({number, line});
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return lines;
}

[[noreturn]] void fail(std::size_t line, std::string_view what) {
    throw BadText{fmt::format("line {}: {}", line, what)};
}

std::uint64_t count_in(std::string_view typed, std::size_t line) {
    if (const auto count = parse_number<std::uint64_t>(typed)) return *count;
    fail(line, fmt::format("'{}' is not a count of exits", sanitise(typed, 40)));
}

std::uint32_t code_in(std::string_view typed, std::size_t line, Isa isa) {
    if (const auto code = exit_code_by_name(isa, typed)) return *code;
    fail(line, fmt::format("'{}' is no exit reason of {}", sanitise(typed, 40), isa_name(isa)));
}

// ---- Tables

/// For each record that is not empty: the line it begins in, and its cells without blanks.
class TrimmedRecords {
public:
    explicit TrimmedRecords(std::string_view text) : reader_(text) { reader_.skip_comments(true); }

    std::optional<CsvRecord> next() {
        auto record = reader_.next();
        if (!record) throw BadText{record.error()};
        if (!*record) return std::nullopt;
        for (std::string& cell : (*record)->cells) cell = trimmed(cell);
        return std::move(*record);
    }

private:
    CsvReader reader_;
};

std::size_t find_column(std::vector<std::string> names, const ImportSettings& options) {
    if (options.column.empty() && names.size() == 2) return 1;
    const auto found = std::find(names.begin() + 1, names.end(), options.column);
    if (!options.column.empty() && found != names.end()) {
        return static_cast<std::size_t>(found - names.begin());
    }
    names.erase(names.begin());
    std::erase(names, "");  // A comma at the end of each line adds a column without a name.
    const std::string known = fmt::format("{}", fmt::join(names, ", "));
    throw BadText{fmt::format("{}: choose one of {} with --column",
                              options.column.empty()
                                  ? "it has several columns of counts"
                                  : fmt::format("it has no column '{}'", options.column),
                              sanitise(known, 100))};
}

Counts read_table(std::string_view text, const ImportSettings& options, std::string& label) {
    TrimmedRecords table(text);
    const CsvRecord heading = table.next().value();
    const std::size_t column = find_column(heading.cells, options);
    label = heading.cells[column];
    Counts counts;
    while (const auto record = table.next()) {
        const auto& cells = record->cells;
        if (cells.size() != heading.cells.size()) {
            fail(record->line,
                 fmt::format("has {} columns, the heading {}", cells.size(), heading.cells.size()));
        }
        const std::uint32_t code = code_in(cells[0], record->line, options.isa);
        if (!counts.emplace(code, count_in(cells[column], record->line)).second) {
            fail(record->line, fmt::format("the exit reason {} comes twice", code));
        }
    }
    return counts;
}

// ---- Lines of logs

// The whole number that follows a word, but for blanks and : = ( between them; as AMD's codes are
// often printed, also in hexadecimal.
std::optional<std::uint64_t> number_after(std::string_view text, std::string_view word) {
    const std::size_t found = text.find(word);
    if (found == text.npos) return std::nullopt;
    text.remove_prefix(found + word.size());
    const std::size_t begin = text.find_first_not_of(" \t:=(");
    if (begin == text.npos) return std::nullopt;
    text.remove_prefix(begin);
    const bool is_hex = text.starts_with("0x");
    if (is_hex) text.remove_prefix(2);
    return take_number<std::uint64_t>(text, is_hex ? 16 : 10);
}

// "48: 35708 exits": the number before the word.
std::optional<std::uint64_t> number_before(std::string_view text, std::string_view word) {
    const std::size_t found = text.find(word);
    if (found == text.npos) return std::nullopt;
    text = trimmed(text.substr(0, found));
    const std::size_t digits = text.find_last_not_of("0123456789");
    if (digits != text.npos) text.remove_prefix(digits + 1);
    return parse_number<std::uint64_t>(text);
}

template <typename Find>
std::optional<std::uint64_t> first_of(Find find, std::initializer_list<std::string_view> words) {
    for (const std::string_view word : words) {
        if (const auto number = find(word)) return number;
    }
    return std::nullopt;
}

// A reason's number and its exits, where a line names both.
std::optional<std::pair<std::uint32_t, std::uint64_t>> read_log_line(const Line& line) {
    const std::string text = lower_cased(line.text);
    const auto after = [&text](std::string_view word) { return number_after(text, word); };
    const auto reason = first_of(after, {"exit number", "exit reason number", "exit_reason",
                                         "exit reason", "exit type", "exit no"});
    if (!reason) return std::nullopt;
    auto count = first_of(after, {"exits", "count", "total"});
    if (!count) count = number_before(text, " exits");
    if (!count) return std::nullopt;
    if (*reason > UINT32_MAX) fail(line.number, "its exit reason is too large a number");
    return std::pair(static_cast<std::uint32_t>(*reason), *count);
}

Counts read_log(const std::vector<Line>& lines) {
    Counts counts;
    for (const Line& line : lines) {
        const auto found = read_log_line(line);
        if (found) counts[found->first] = found->second;
    }
    if (counts.empty()) {
        throw BadText{"no line has the form 'exit number 48 exits = 35708', and it is no CSV with "
                      "a heading like 'reason,exits'"};
    }
    return counts;
}

enum class Form { log, table, own };

/// By the first line that is not a comment: if it is not a CSV heading, the text is a log.
Form form_of(std::string_view text, const std::vector<Line>& lines) {
    if (!lines.front().text.contains(',') || read_log_line(lines.front())) return Form::log;
    CsvReader reader(text);
    reader.skip_comments(true);
    const auto heading = reader.next();
    if (!heading || !*heading) return Form::log;
    const auto& cells = (*heading)->cells;
    if (is_snapshot_heading(cells)) return Form::own;
    return cells.size() > 1 && lower_cased(cells[0]).contains("reason") ? Form::table : Form::log;
}

// ---- The run

Run make_run(const Counts& counts, Isa isa, std::string label, std::string form) {
    Vcpu vcpu;
    for (const auto& [code, count] : counts) {
        if (count > 0) entry_of(vcpu.exits, {GuestLevel::l1, code}).count = count;
    }
    Vm vm;
    vm.id = "1";
    vm.name = label.empty() ? "imported" : label;
    vm.isa = isa;
    vm.vcpus.push_back(std::move(vcpu));
    Run run;
    Snapshot& snapshot = run.repeats.emplace_back();
    snapshot.host.isa = isa;
    snapshot.vms.push_back(std::move(vm));
    run.label = std::move(label);
    run.imported_from = std::move(form);
    return run;
}

/// exittop's own CSV has more than counts: VMs and vCPUs, levels, times, losses.
Run make_own_run(std::string_view text, const ImportSettings& options) {
    if (!options.column.empty()) {
        throw BadText{"it is exittop's own CSV, of which --column is not asked"};
    }
    auto snapshot = from_csv(text);
    if (!snapshot) throw BadText{snapshot.error()};
    Run run;
    run.repeats.push_back(std::move(*snapshot));
    run.label = options.label;
    run.imported_from = "CSV of exittop";
    return run;
}

Run make_run_of(std::string_view text, const ImportSettings& options) {
    const std::vector<Line> lines = lines_of(text);
    if (lines.empty()) throw BadText{"it is empty"};
    switch (form_of(text, lines)) {
        case Form::own: return make_own_run(text, options);
        case Form::log: return make_run(read_log(lines), options.isa, options.label, "a log");
        case Form::table: break;
    }
    std::string heading;
    const Counts counts = read_table(text, options, heading);
    return make_run(counts, options.isa, options.label.empty() ? heading : options.label,
                    "a table");
}

}  // namespace

std::expected<Run, std::string> import_counts(std::string_view text,
                                              const ImportSettings& options) {
    if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // As spreadsheets write it.
    try {
        return make_run_of(text, options);
    } catch (const BadText& bad) {
        return std::unexpected(bad.what);
    }
}

}  // namespace exittop
