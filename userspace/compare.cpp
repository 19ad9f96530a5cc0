// SPDX-License-Identifier: GPL-2.0-only
// The comparison of runs by exit reason.
#include "compare.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <vector>

#include <fmt/format.h>

#include "fields.h"
#include "grid.h"

namespace exittop {

namespace {

constexpr std::size_t run_name_columns = 16;

struct ReasonKey {
    Isa isa;
    GuestLevel level;
    std::uint32_t code;
    auto operator<=>(const ReasonKey&) const = default;
};

// Counts of one reason, run by run.
using Counts = std::vector<std::uint64_t>;
using CountsByReason = std::map<ReasonKey, Counts>;

CountsByReason count_reasons(std::span<const NamedRun> runs) {
    CountsByReason counts;
    for (std::size_t run = 0; run < runs.size(); ++run) {
        for (const Vm& vm : runs[run].snapshot.vms) {
            for (const ExitStats& stats : exits_by_reason(vm)) {
                Counts& row = counts[{vm.isa, stats.level, stats.code}];
                row.resize(runs.size());
                row[run] = saturating_add(row[run], stats.count);
            }
        }
    }
    return counts;
}

std::string print_ratio(std::uint64_t first, std::uint64_t other) {
    if (first == 0 && other == 0) return "-";
    if (first == 0) return "new";
    if (other == 0) return "gone";
    const double ratio = static_cast<double>(other) / static_cast<double>(first);
    if (ratio < 0.01) return "<0.01x";
    return ratio < 10.0 ? fmt::format("{:.2f}x", ratio) : print_rate(ratio) + "x";
}

GridRow make_row(std::string reason, const Counts& counts) {
    GridRow row{{std::move(reason)}, false};
    for (std::size_t run = 0; run < counts.size(); ++run) {
        row.cells.push_back(group_digits(counts[run]));
        if (run > 0) row.cells.push_back(print_ratio(counts.front(), counts[run]));
    }
    return row;
}

std::string run_facts(const NamedRun& run, std::size_t width) {
    const Snapshot& snapshot = run.snapshot;
    std::uint64_t exits = 0;
    for (const Vm& vm : snapshot.vms) {
        exits = saturating_add(exits, sum_of(exits_by_reason(vm)).count);
    }
    const HostFacts& host = snapshot.host;
    const std::string facts = fmt::format(
        "{}: {} in {}, {}, Linux {}, {} {}", sanitise(run.name, run_name_columns),
        print_number_of(exits, "exit"), print_seconds(snapshot.duration_s),
        print_number_of(snapshot.vms.size(), "VM"), sanitise(host.kernel, name_columns),
        isa_name(host.isa), paging_name(host.paging));
    return fit(facts, width) + "\n";
}

std::string losses(std::span<const NamedRun> runs, Color color) {
    std::string out;
    for (const NamedRun& run : runs) {
        if (lost_total(run.snapshot.lost) == 0) continue;
        out += sanitise(run.name, run_name_columns) + ": " + lost_lines(run.snapshot.lost, color);
    }
    return out.empty() ? lost_lines({}, color) : out;
}

}  // namespace

std::string compare_table(std::span<const NamedRun> runs, const TableOptions& options) {
    if (runs.empty()) return {};
    if (runs.size() == 1) return dump_table(runs.front().snapshot, options);

    const CountsByReason by_reason = count_reasons(runs);
    std::vector<std::pair<ReasonKey, Counts>> reasons(by_reason.begin(), by_reason.end());
    std::ranges::stable_sort(reasons, std::ranges::greater{}, [](const auto& reason) {
        return std::ranges::max(reason.second);
    });

    std::vector<GridColumn> columns = {{"REASON", Align::left}};
    std::string out;
    for (const NamedRun& run : runs) {
        columns.push_back({sanitise(run.name, run_name_columns), Align::right});
        if (&run != &runs.front()) columns.push_back({"RATIO", Align::right});
        out += run_facts(run, options.width);
    }
    std::vector<GridRow> rows;
    Counts total(runs.size());
    for (const auto& [key, counts] : reasons) {
        ExitStats named;
        named.code = key.code;
        named.level = key.level;
        rows.push_back(make_row(reason_label(key.isa, named), counts));
        for (std::size_t run = 0; run < counts.size(); ++run) {
            total[run] = saturating_add(total[run], counts[run]);
        }
    }
    rows.push_back(make_row("total", total));
    rows.back().strong = true;
    out += "\n" + draw_grid(columns, rows, {options.width, 0, options.color});
    return out + "\n" + losses(runs, options.color);
}

}  // namespace exittop
