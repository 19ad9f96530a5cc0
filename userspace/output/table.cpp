// SPDX-License-Identifier: GPL-2.0-only
// The table: a header for the host, a block per VM (or vCPU), what was lost at the very end, where
// it is read last.
#include "output/table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "output/grid.h"
#include "output/split_bar.h"
#include "output/target_text.h"

namespace exittop {

namespace {

constexpr std::size_t indent = 2;
constexpr std::size_t widest_bar = 50;  // A VM's: a letter is 2%.
constexpr std::size_t narrowest_bar = 12, widest_row_bar = 20;
constexpr std::string_view bar_heading = "TIME BY PART";

// Parts of the time that are known.
TimeParts timed_parts(const Snapshot& snapshot) {
    return snapshot.detail >= CountDetail::time ? snapshot.known_parts : TimeParts{};
}

bool is_nothing(const Field& field, const ExitStats& sum) {
    return number_of(field.value(sum, {})).value_or(0.0) == 0.0;
}

// What a table shows of each reason.
struct Columns {
    std::vector<const Field*> fields;
    std::size_t bar = 0;  ///< Width of the bars behind them; 0: there are none.
};

// Of what was counted, what is of use in a terminal of this width; it need not all fit.
Columns columns_for(std::size_t width, const Snapshot& snapshot, const ExitStats& sum) {
    Columns columns;
    for (const Field& field : fields()) {
        if (width < field.places.table || !is_known(field, snapshot)) continue;
        const bool is_main = field.key == "kernel" || field.key == "vmm";
        if (field.is_time_part() && !is_main && is_nothing(field, sum)) continue;
        columns.fields.push_back(&field);
    }
    if (!split_bar(sum, timed_parts(snapshot), 1).empty()) columns.bar = narrowest_bar;
    return columns;
}

std::string join(const std::vector<std::string>& parts) {
    return fmt::format("{}", fmt::join(parts, ", "));
}

// "1,234 exits, 123/s"
std::string print_exits(const ExitStats& sum, double duration_s) {
    std::string exits = print_number_of(sum.count, "exit");
    if (!(duration_s > 0.0)) return exits;
    const double rate = static_cast<double>(sum.count) / duration_s;
    return fmt::format("{}, {}/s", exits, print_rate(rate));
}

// Where the time of the exits went: "time in exits 12.3s: 40.1% kernel, 12.0% VMM, 47.9% halted".
// Of what is nothing, only the kernel and the VMM.
std::string print_split(const ExitStats& sum, TimeParts known, std::size_t width) {
    if (sum.time_ns == 0) return {};
    std::vector<std::string> parts;
    for (const Field& field : fields()) {
        if (!field.is_time_part() || !is_known(field, known)) continue;
        const double ns = number_of(field.value(sum, {})).value_or(0.0);
        if (ns == 0.0 && field.key != "kernel" && field.key != "vmm") continue;
        const double share = ns / static_cast<double>(sum.time_ns);
        parts.push_back(fmt::format("{} {}", print_percent(share), field.places.time_part));
    }
    const std::string line =
        fmt::format("{:{}}time in exits {}", "", indent, print_ns(sum.time_ns));
    return parts.empty() ? line + "\n" : list_in_lines(line + ":", parts, width, 2 * indent);
}

std::string draw_split_bar(const ExitStats& sum, TimeParts known, const TableOptions& options) {
    const std::size_t width = std::min(options.width, widest_bar + indent) - indent;
    const std::string bar = split_bar(sum, known, width);
    if (bar.empty()) return {};
    return fmt::format("{:{}}{}\n", "", indent, paint_bar(bar, options.color));
}

GridRow make_row(const std::vector<const Field*>& columns, const ExitStats& stats,
                 const FieldContext& context) {
    GridRow row;
    for (const Field* field : columns) {
        row.cells.push_back(print_value(field->value(stats, context), field->unit));
    }
    return row;
}

std::string draw_histograms(const std::vector<ExitStats>& exits, Isa isa, std::size_t width) {
    std::string out;
    for (const ExitStats& stats : exits) {
        if (stats.histogram.empty()) continue;
        out += fmt::format("\n{:{}}{}: time per exit\n", "", indent, reason_label(isa, stats));
        out += histogram_lines(stats.histogram, width);
    }
    return out;
}

// A target's own cells, indented below those of its reason, of which its share is.
GridRow make_target_row(const std::vector<const Field*>& columns, const TargetLine& line,
                        const FieldContext& context) {
    constexpr std::array shown = {"count", "share", "rate", "time", "mean"};
    ExitStats stats;
    stats.count = line.sum.count;
    stats.time_ns = line.sum.time_ns;
    GridRow row;
    for (const Field* field : columns) {
        const bool is_shown = std::ranges::find(shown, field->key) != shown.end();
        row.cells.push_back(is_shown ? print_value(field->value(stats, context), field->unit) : "");
    }
    row.cells.front() = std::string(indent, ' ') + line.label;
    return row;
}

struct Grid {
    std::vector<GridColumn> columns;
    std::vector<GridRow> rows;
};

// What of a table's rows is made from.
struct RowSource {
    Columns columns;
    FieldContext context;
    TimeParts known;
    bool targets = false;
};

// A row for each reason with those of its targets, and the total.
Grid make_grid(const RowSource& source, const std::vector<ExitStats>& exits) {
    const std::vector<const Field*>& columns = source.columns.fields;
    const auto add_bar = [&source](GridRow& row, const ExitStats& stats) {
        if (source.columns.bar == 0) return;
        row.cells.push_back(split_bar(stats, source.known, source.columns.bar));
    };
    Grid grid;
    for (const Field* field : columns) {
        grid.columns.push_back({std::string(field->heading), alignment(field->unit)});
    }
    if (source.columns.bar > 0) {
        grid.columns.push_back({std::string(bar_heading), Align::left, paint_bar});
    }
    for (const ExitStats& stats : exits) {
        add_bar(grid.rows.emplace_back(make_row(columns, stats, source.context)), stats);
        if (!source.targets || !stats.targets) continue;
        FieldContext of_reason = source.context;
        of_reason.total_count = sum_of(*stats.targets).count;
        for (const TargetLine& line : target_lines(*stats.targets, of_reason.isa, stats.code)) {
            add_bar(grid.rows.emplace_back(make_target_row(columns, line, of_reason)), {});
        }
    }
    const ExitStats sum = sum_of(exits);
    add_bar(grid.rows.emplace_back(make_row(columns, sum, source.context)), sum);
    grid.rows.back().cells.front() = "total";
    grid.rows.back().strong = true;
    return grid;
}

// Leaves out what says least: of the parts of the time, which the bars show too, the least. Where
// targets need the room, also what else there is. False: nothing is left to leave out.
bool drop_columns(Columns& columns, const ExitStats& sum, bool for_targets) {
    const auto ns_of = [&sum](const Field* field) {
        return field->is_time_part() ? number_of(field->value(sum, {})).value_or(0.0) : HUGE_VAL;
    };
    const auto least = std::ranges::min_element(columns.fields, {}, ns_of);
    if (least != columns.fields.end() && (*least)->is_time_part()) {
        columns.fields.erase(least);
        return true;
    }
    const auto drop = [&columns](const char* key) {
        return std::erase(columns.fields, find_field(key)) > 0;
    };
    if (drop("mean_cpu") || std::exchange(columns.bar, 0) > 0) return true;
    return for_targets && std::ranges::any_of(std::array{"p50", "max", "p99"}, drop);
}

// The grid that fits, with bars as wide as there is room.
Grid fit_grid(RowSource source, const std::vector<ExitStats>& exits, std::size_t width) {
    const ExitStats sum = sum_of(exits);
    Grid grid = make_grid(source, exits);
    const bool has_targets = grid.rows.size() > exits.size() + 1;
    const auto needed = [&grid] { return indent + least_width(grid.columns, grid.rows); };
    while (needed() > width && drop_columns(source.columns, sum, has_targets)) {
        grid = make_grid(source, exits);
    }
    if (source.columns.bar == 0 || needed() >= width) return grid;
    source.columns.bar = std::min(source.columns.bar + width - needed(), widest_row_bar);
    return make_grid(source, exits);
}

// The reasons of one VM or vCPU, sorted, with their total.
std::string draw_reasons(std::vector<ExitStats> exits, Isa isa, const Snapshot& snapshot,
                         const TableOptions& options) {
    if (exits.empty()) return fmt::format("{:{}}no exits\n", "", indent);
    const ExitStats sum = sum_of(exits);
    const FieldContext context{isa, sum.count, snapshot.duration_s};
    const Field* sort = options.sort != nullptr ? options.sort : find_field("count");
    sort_exits(exits, *sort, context);

    const Grid grid = fit_grid({columns_for(options.width, snapshot, sum), context,
                                timed_parts(snapshot), options.targets},
                               exits, options.width);
    std::string out = draw_grid(grid.columns, grid.rows, {options.width, indent, options.color});
    if (options.targets) {
        for (const std::string& line : unknown_lines(exits, isa)) {
            out += fmt::format("{:{}}{}\n", "", indent,
                               fit(line, std::max(options.width, 2 * indent) - indent));
        }
    }
    if (options.histogram) out += draw_histograms(exits, isa, options.width);
    return out;
}

std::string vm_facts(const Vm& vm, const HostFacts& host) {
    std::vector<std::string> facts = {sanitise(vm.vmm.empty() ? "VMM unknown" : vm.vmm, 20),
                                      fmt::format("pid {}", vm.pid),
                                      print_number_of(vm.vcpus.size(), "vCPU")};
    if (vm.isa != host.isa) facts.push_back(isa_name(vm.isa));
    facts.push_back(vm.paging == Paging::unknown ? "paging unknown" : paging_name(vm.paging));
    if (vm.ended) facts.emplace_back("ended");
    return join(facts);
}

// "vCPU 3", "vCPUs 0, 1", "3 of its vCPUs".
std::string uncounted_vcpus(const Vm& vm) {
    std::vector<std::string> ids;
    for (const Vcpu& vcpu : vm.vcpus) {
        if (vcpu.uncounted > 0) ids.push_back(fmt::format("{}", vcpu.id));
    }
    if (ids.size() > 4) return fmt::format("{} of its vCPUs", ids.size());
    return (ids.size() == 1 ? "vCPU " : "vCPUs ") + join(ids);
}

std::string vm_heading(const Vm& vm, const ExitStats& sum, const Snapshot& snapshot,
                       const TableOptions& options) {
    const std::string name = sanitise(vm.name.empty() ? "(no name)" : vm.name, name_columns);
    const std::string facts = fmt::format("({})", vm_facts(vm, snapshot.host));
    const std::string exits =
        is_uncounted(vm) ? "exits unknown" : print_exits(sum, snapshot.duration_s);
    const std::size_t needed =
        display_width(name) + display_width(facts) + display_width(exits) + 7;
    const std::string gap = needed > options.width ? fmt::format("\n{:{}}", "", indent) : "  ";
    std::string out = strong("VM " + name, options.color) + gap + facts + "  " + exits + "\n";
    out += print_split(sum, timed_parts(snapshot), options.width);
    out += draw_split_bar(sum, timed_parts(snapshot), options);
    if (const std::uint64_t uncounted = uncounted_exits(vm); uncounted > 0) {
        const std::string what =
            fmt::format("{} not counted: no room for {} (--max-vcpus)",
                        print_number_of(uncounted, "exit"), uncounted_vcpus(vm));
        out += fmt::format("{:{}}{}\n", "", indent, alarming(what, options.color));
    }
    return out;
}

std::string draw_vm(const Vm& vm, const Snapshot& snapshot, const TableOptions& options) {
    std::vector<ExitStats> exits = exits_by_reason(vm);
    std::string out = vm_heading(vm, sum_of(exits), snapshot, options);
    if (vm.silent) {
        return out + fmt::format("{:{}}{}\n", "", indent,
                                 "no exit was seen: its vCPUs do not run, stay in the guest, or "
                                 "KVM emulates them");
    }
    if (is_uncounted(vm)) return out;
    if (!options.per_vcpu) {
        return out + draw_reasons(std::move(exits), vm.isa, snapshot, options);
    }
    for (const Vcpu& vcpu : vm.vcpus) {
        if (vcpu.exits.empty() && vcpu.uncounted > 0) continue;
        out += fmt::format("\n{:{}}{}  (tid {})  {}\n", "", indent,
                           strong(fmt::format("vCPU {}", vcpu.id), options.color), vcpu.tid,
                           print_exits(sum_of(vcpu.exits), snapshot.duration_s));
        out += draw_reasons(vcpu.exits, vm.isa, snapshot, options);
    }
    return out;
}

std::string header_lines(const Snapshot& snapshot, std::size_t width) {
    ExitStats sum;
    std::size_t vcpus = 0;
    for (const Vm& vm : snapshot.vms) {
        sum += sum_of(exits_by_reason(vm));
        vcpus += vm.vcpus.size();
    }
    const std::string counted =
        fmt::format("{}, {} counted for {}: {}", print_number_of(snapshot.vms.size(), "VM"),
                    print_number_of(vcpus, "vCPU"), print_seconds(snapshot.duration_s),
                    print_exits(sum, snapshot.duration_s));
    return fit(host_line(snapshot.host), width) + "\n" + counted + "\n";
}

// Rows of a histogram: powers of two, whose first buckets these are. Below 128 ns there are fewer
// than four buckets to a power of two.
std::size_t first_bucket_of_row(std::size_t row) { return row < 3 ? row : 4 * (row - 2); }

std::size_t row_of_bucket(std::size_t bucket) {
    if (bucket < 3) return bucket;
    return bucket == 3 ? 2 : bucket / 4 + 2;
}

struct HistogramRow {
    std::string label;
    std::uint64_t count = 0;
};

HistogramRow make_histogram_row(const Histogram& histogram, std::size_t row, std::size_t merged) {
    const std::size_t first = first_bucket_of_row(row);
    const std::size_t end = std::min(first_bucket_of_row(row + merged), histogram_buckets);
    HistogramRow made;
    for (std::size_t bucket = first; bucket < end; ++bucket) {
        made.count = saturating_add(made.count, histogram.at(bucket));
    }
    made.label = fmt::format("[{}, {})", print_ns(bucket_lower(first)),
                             end == histogram_buckets ? "..." : print_ns(bucket_lower(end)));
    return made;
}

std::string draw_bar(std::uint64_t count, std::uint64_t most, std::size_t width) {
    const double share = static_cast<double>(count) / static_cast<double>(most);
    auto length = static_cast<std::size_t>(std::lround(share * static_cast<double>(width)));
    if (count > 0) length = std::max<std::size_t>(length, 1);  // Few is not none.
    return std::string(length, '@') + std::string(width - length, ' ');
}

}  // namespace

std::string histogram_lines(const Histogram& histogram, std::size_t width, std::size_t most_lines) {
    if (histogram.empty()) return {};
    const std::size_t first = row_of_bucket(histogram.first_bucket());
    const std::size_t last = row_of_bucket(histogram.end_bucket() - 1);
    const std::size_t merged = (last - first) / std::max<std::size_t>(most_lines, 1) + 1;

    std::vector<HistogramRow> rows;
    for (std::size_t row = first; row <= last; row += merged) {
        rows.push_back(make_histogram_row(histogram, row, merged));
    }
    std::size_t label_width = 0;
    std::size_t count_width = 0;
    for (const HistogramRow& row : rows) {
        label_width = std::max(label_width, row.label.size());
        count_width = std::max(count_width, group_digits(row.count).size());
    }
    const std::size_t used = 2 * indent + label_width + 2 + count_width + 3;
    const std::size_t bar_width = width > used + 10 ? std::min<std::size_t>(width - used, 64) : 10;
    const std::uint64_t most = std::ranges::max(rows, {}, &HistogramRow::count).count;
    std::string out;
    for (const HistogramRow& row : rows) {
        out +=
            fmt::format("{:{}}{:<{}}  {:>{}} |{}|\n", "", 2 * indent, row.label, label_width,
                        group_digits(row.count), count_width, draw_bar(row.count, most, bar_width));
    }
    return out;
}

std::string lost_lines(const Lost& lost, Color color) {
    if (lost_total(lost) == 0) return "lost: nothing\n";
    std::vector<GridRow> rows;
    for (const Loss& loss : losses(lost)) {
        rows.push_back({{loss.cause, group_digits(loss.count), loss.meaning}, false});
    }
    const std::vector<GridColumn> columns = {
        {"CAUSE", Align::left}, {"EVENTS", Align::right}, {"MEANING", Align::left}};
    return alarming("LOST: not all of the above is complete", color) + "\n" +
           draw_grid(columns, rows, {80, indent, color});
}

namespace {

/// What KVM counts without tracing it.
const char* untraced_kinds(const std::vector<Vm>& vms) {
    for (const Vm& vm : vms) {
        if (const IsaFacts* facts = find_isa(vm.isa)) return facts->untraced;
    }
    return "which ones is not known";
}

}  // namespace

std::string kvm_count_line(const std::vector<Vm>& vms) {
    const KvmCount count = kvm_count(vms);
    if (count.known == 0) {
        return count.unknown == 0 ? "" : "KVM's own count of these exits is not known.\n";
    }
    std::string line = fmt::format("KVM counted {} itself: ", print_number_of(count.exits, "exit"));
    line += count.untraced == 0 ? "the same"
                                : fmt::format("{} more, which it did not trace: {}",
                                              group_digits(count.untraced), untraced_kinds(vms));
    if (count.unknown > 0) {
        line += fmt::format(" (not known for {} of {})", count.unknown,
                            print_number_of(count.known + count.unknown, "vCPU"));
    }
    return line + "\n";
}

std::string host_line(const HostFacts& host) {
    std::vector<std::string> facts;
    if (!host.name.empty()) facts.push_back(sanitise(host.name, name_columns));
    facts.push_back("Linux " + sanitise(host.kernel, name_columns));
    if (host.isa != Isa::unknown) facts.push_back(isa_name(host.isa));
    if (host.paging != Paging::unknown) facts.push_back(paging_name(host.paging));
    if (!host.cpu.empty()) facts.push_back(sanitise(host.cpu, name_columns));
    return join(facts);
}

namespace {

// What the letters of the bars are; nothing where there are no bars.
std::string legend_line(const Snapshot& snapshot, std::size_t width) {
    const auto has_bar = [&snapshot](const Vm& vm) {
        return !split_bar(sum_of(exits_by_reason(vm)), timed_parts(snapshot), 1).empty();
    };
    if (std::ranges::none_of(snapshot.vms, has_bar)) return {};
    return fit("bars: " + bar_legend(timed_parts(snapshot)), width) + "\n";
}

}  // namespace

std::string dump_table(const Snapshot& snapshot, const TableOptions& options) {
    std::string out = header_lines(snapshot, options.width);
    if (snapshot.vms.empty()) {
        out += "\nNo exit of a VM was seen. `exittop lab` shows this table without a VM.\n";
    }
    for (const Vm& vm : snapshot.vms) out += "\n" + draw_vm(vm, snapshot, options);
    out += "\n" + legend_line(snapshot, options.width);
    return out + lost_lines(snapshot.lost, options.color) + kvm_count_line(snapshot.vms);
}

}  // namespace exittop
