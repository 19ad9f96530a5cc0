// SPDX-License-Identifier: GPL-2.0-only
#include "output/csv_input.h"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "base/number.h"
#include "base/text.h"
#include "model/fields.h"
#include "output/csv.h"

namespace exittop {

namespace {

constexpr std::string_view blanks = " \t\v\f";

std::size_t leading_blanks(std::string_view text) {
    return std::min(text.find_first_not_of(blanks), text.size());
}

bool ends_line(std::string_view text) {
    return text.empty() || text.starts_with('\n') || text.starts_with("\r\n") || text == "\r";
}

}  // namespace

std::string_view CsvReader::take(std::size_t size) {
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(taken.size());
    line_ += static_cast<std::size_t>(std::ranges::count(taken, '\n'));
    return taken;
}

void CsvReader::finish_line() {
    const std::size_t end = rest_.find('\n');
    take(end == rest_.npos ? rest_.size() : end + 1);
}

void CsvReader::skip_lines() {
    while (!rest_.empty()) {
        const std::string_view begin = rest_.substr(leading_blanks(rest_));
        if (!ends_line(begin) && !(has_comments_ && begin.starts_with('#'))) return;
        finish_line();
    }
}

/// From after the opening quote to after the closing one; nothing if that is missing.
std::optional<std::string> CsvReader::read_quoted() {
    std::string cell;
    while (true) {
        const std::size_t quote = rest_.find('"');
        if (quote == rest_.npos) return std::nullopt;
        cell += take(quote);
        take(1);
        if (!rest_.starts_with('"')) return cell;
        cell += take(1);
    }
}

std::expected<std::optional<CsvRecord>, std::string> CsvReader::next() {
    skip_lines();
    if (rest_.empty()) return std::nullopt;
    CsvRecord record{line_, {}};
    while (true) {
        if (const std::size_t indent = leading_blanks(rest_);
            rest_.substr(indent).starts_with('"')) {
            const std::size_t line = line_;
            take(indent + 1);
            auto cell = read_quoted();
            if (!cell) return std::unexpected(fmt::format("line {}: a quote is not closed", line));
            record.cells.push_back(std::move(*cell));
            take(leading_blanks(rest_));
            if (!ends_line(rest_) && !rest_.starts_with(',')) {
                return std::unexpected(
                    fmt::format("line {}: there is text behind a closing quote", line_));
            }
        } else {
            std::string_view cell = take(std::min(rest_.find_first_of(",\n"), rest_.size()));
            if (cell.ends_with('\r') && ends_line(rest_)) cell.remove_suffix(1);
            record.cells.emplace_back(cell);
        }
        if (!rest_.starts_with(',')) break;
        take(1);
    }
    finish_line();
    return record;
}

// ---- Snapshots

namespace {

// What is wrong with the text; thrown here, caught in from_csv().
struct BadCsv {
    std::string what;
};

constexpr std::array needed_columns = {"vm", "isa", "level", "reason", "code", "count"};

/// A record by the names of its columns.
class Row {
public:
    Row(const std::map<std::string, std::size_t>& columns, const CsvRecord& record)
        : columns_(columns), record_(record) {}

    /// Empty if there is no such column.
    [[nodiscard]] std::string_view at(std::string_view column) const {
        const auto found = columns_.find(std::string(column));
        return found == columns_.end() ? std::string_view{} : record_.cells[found->second];
    }
    /// 0 if the cell is empty (not counted) or there is no such column.
    template <typename Number>
    [[nodiscard]] Number number(std::string_view column) const {
        const std::string_view text = at(column);
        if (text.empty()) return 0;
        if (const auto value = parse_number<Number>(text)) return *value;
        fail(column,
             fmt::format("a whole number from 0 to {}", std::numeric_limits<Number>::max()));
    }
    /// Untrusted text, without the ' that keeps spreadsheets from taking it for a formula.
    [[nodiscard]] std::string foreign(std::string_view column) const {
        std::string_view text = at(column);
        const bool is_defused =
            text.size() > 1 && text[0] == '\'' && std::string_view("=+-@").contains(text[1]);
        if (is_defused) text.remove_prefix(1);
        return std::string(cut_bytes(text, name_bytes));
    }

    template <typename Number>
    [[nodiscard]] Number needed(std::string_view column) const {
        if (at(column).empty()) fail(column, "a whole number");
        return number<Number>(column);
    }
    [[noreturn]] void fail(std::string_view column, std::string_view wanted) const {
        throw BadCsv{fmt::format("line {}: '{}' in the column {} is not {}", record_.line,
                                 sanitise(at(column), 40), column, wanted)};
    }

private:
    const std::map<std::string, std::size_t>& columns_;
    const CsvRecord& record_;
};

Isa read_isa(const Row& row) {
    if (const IsaFacts* facts = find_isa(row.at("isa"))) return facts->isa;
    return static_cast<Isa>(row.number<std::uint32_t>("isa"));
}

// Which exits a row is about.
ExitStats key_exits(const Row& row) {
    ExitStats stats;
    stats.code = row.needed<std::uint32_t>("code");
    const auto level = row.needed<std::uint32_t>("level");
    if (level != 1 && level != 2) row.fail("level", "1 or 2");
    stats.level = static_cast<GuestLevel>(level);
    return stats;
}

void read_numbers(ExitStats& stats, const Row& row) {
    for (const Field& field : fields()) {
        if (field.stored == nullptr) continue;
        stats.*field.stored = row.number<std::uint64_t>(field.data_name);
    }
    stats.count = row.needed<std::uint64_t>("count");
}

// A target's line adds to those of its reason, whose own line has all of their exits.
void add_target(Targets& targets, const Row& row) {
    const TargetSum sum = {row.needed<std::uint64_t>("count"),
                           row.number<std::uint64_t>("time_ns")};
    // Bytes that are no text would be one target in JSON, and two here.
    std::string target = sanitise(row.foreign("target"));
    if (target == csv_other_targets) {
        targets.other += sum;
    } else if (target == csv_unknown_targets) {
        targets.unknown += sum;
        if (targets.why.empty()) targets.why = row.foreign("target_name");
    } else {
        targets.known.push_back({sum, std::move(target)});
    }
}

void settle_targets(ExitStats& stats, Isa isa) {
    if (!stats.targets) return;
    stats.targets->order();
    if (!can_be_of(*stats.targets, stats.count)) {
        throw BadCsv{fmt::format("the targets of {} hold {} exits, of {}", reason_label(isa, stats),
                                 sum_of(*stats.targets).count, stats.count)};
    }
}

constexpr std::string_view lost_prefix = "lost:";

void add_lost(Lost& lost, const Row& row) {
    std::uint64_t& sum = lost_by(lost, std::string(row.at("reason").substr(lost_prefix.size())));
    sum = saturating_add(sum, row.needed<std::uint64_t>("count"));
}

/// VMs being read; a VM that occurs again gets more exits.
class VmsOfRows {
public:
    void add(const Row& row) {
        const Isa isa = read_isa(row);
        Key key{row.foreign("vm"), row.number<std::uint32_t>("pid"), row.foreign("vmm"),
                row.foreign("uuid"), isa};
        const auto [place, is_new] = places_.try_emplace(std::move(key), vms_.size());
        if (is_new) vms_.push_back(describe(place->first));
        Vm& vm = vms_[place->second];
        if (vm.paging == Paging::unknown)
            vm.paging = find_paging(row.at("paging")).value_or(Paging::unknown);
        vm.ended = vm.ended || row.at("ended") == "1";
        add_exits(vm, row);
    }

    [[nodiscard]] std::vector<Vm> take() && {
        for (Vm& vm : vms_) {
            for (Vcpu& vcpu : vm.vcpus) {
                for (ExitStats& stats : vcpu.exits) settle_targets(stats, vm.isa);
            }
        }
        return std::move(vms_);
    }

private:
    using Key = std::tuple<std::string, std::uint32_t, std::string, std::string, Isa>;

    [[nodiscard]] Vm describe(const Key& key) const {
        Vm vm;
        vm.id = fmt::format("{}", vms_.size() + 1);
        std::tie(vm.name, vm.pid, vm.vmm, vm.uuid, vm.isa) = key;
        return vm;
    }

    /// The place of the row's exits among those of their vCPU.
    static void add_exits(Vm& vm, const Row& row) {
        const bool is_all = row.at("vcpu") == "all";
        const std::uint32_t id = is_all ? 0 : row.number<std::uint32_t>("vcpu");
        auto vcpu = std::ranges::lower_bound(vm.vcpus, id, {}, &Vcpu::id);
        if (vcpu == vm.vcpus.end() || vcpu->id != id) {
            vcpu = vm.vcpus.insert(vcpu, Vcpu{});
            vcpu->id = id;
        }
        ExitStats stats = key_exits(row);
        ExitStats& sum = entry_of(vcpu->exits, key_of(stats));
        if (row.at("target").empty()) {
            read_numbers(stats, row);
            sum += stats;
        } else {
            if (!sum.targets) sum.targets.emplace();
            add_target(*sum.targets, row);
        }
    }

    std::vector<Vm> vms_;
    std::map<Key, std::size_t> places_;
};

std::optional<CsvRecord> next_record(CsvReader& reader) {
    auto record = reader.next();
    if (!record) throw BadCsv{record.error()};
    return std::move(*record);
}

/// Those that the row does not tell.
TimeParts missing_parts(const Row& row) {
    TimeParts missing = TimeParts::all();
    for (const Field& field : fields()) {
        if (field.stored == nullptr || row.at(field.data_name).empty()) continue;
        missing = missing - field.parts;
    }
    return missing;
}

Snapshot read_snapshot(std::string_view text) {
    CsvReader reader(text);
    reader.skip_comments(true);
    const auto heading = next_record(reader);
    reader.skip_comments(false);  // A VM may be called "#1".
    if (!heading || !is_snapshot_heading(heading->cells)) throw BadCsv{"it is not CSV of exittop"};
    std::map<std::string, std::size_t> columns;
    for (std::size_t i = 0; i < heading->cells.size(); ++i) columns.emplace(heading->cells[i], i);

    Snapshot snapshot;
    snapshot.detail = CountDetail::count;
    VmsOfRows vms;
    while (const auto record = next_record(reader)) {
        if (record->cells.size() != heading->cells.size()) {
            throw BadCsv{fmt::format("line {}: has {} columns, the heading {}", record->line,
                                     record->cells.size(), heading->cells.size())};
        }
        const Row row(columns, *record);
        if (row.at("reason").starts_with(lost_prefix)) {
            add_lost(snapshot.lost, row);
            continue;
        }
        if (!row.at("time_ns").empty()) {
            snapshot.detail = CountDetail::time;
            if (row.at("target").empty()) {
                snapshot.known_parts = snapshot.known_parts - missing_parts(row);
            }
        }
        vms.add(row);
    }
    snapshot.vms = std::move(vms).take();
    clear_unknown_parts(snapshot);
    if (!snapshot.vms.empty()) snapshot.host.isa = snapshot.vms.front().isa;
    return snapshot;
}

}  // namespace

bool is_snapshot_heading(const std::vector<std::string>& heading) {
    return std::ranges::all_of(needed_columns, [&heading](const char* column) {
        return std::ranges::find(heading, column) != heading.end();
    });
}

std::expected<Snapshot, std::string> from_csv(std::string_view text) {
    try {
        return read_snapshot(text);
    } catch (const BadCsv& bad) {
        return std::unexpected(bad.what);
    }
}

}  // namespace exittop
