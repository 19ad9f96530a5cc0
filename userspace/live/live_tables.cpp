// SPDX-License-Identifier: GPL-2.0-only
// The live view's lists: columns that give way by importance where the terminal is narrow, and what
// is in their cells.
#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <numeric>
#include <optional>

#include <fmt/format.h>

#include "live/live_draw.h"
#include "output/split_bar.h"

namespace exittop {

namespace {

constexpr std::size_t marker_width = 1;  // ">" before the selected row
// From this width on, names of VMs and reasons are not cut short for the sake of columns.
constexpr std::size_t wide = 100;

// Columns without a single value give way to all others.
int importance_if(bool known, int importance) {
    constexpr int least_important = 100;
    return known ? importance : importance + least_important;
}

LiveColumn bar_column(const State& state, int importance, std::size_t most) {
    constexpr std::string_view heading = "TIME BY PART";
    const bool known = is_known(*find_field("kernel"), state.known_parts);
    return {std::string(heading), heading.size(), most, importance_if(known, importance),
            Align::left,          Role::bar};
}

double as_rate(double count, double seconds) { return seconds > 0.0 ? count / seconds : 0.0; }

double cores_of(std::uint64_t ns, double seconds) {
    return as_rate(static_cast<double>(ns) * 1e-9, seconds);
}

// A number of exits: the sum, or per second.
std::string print_exits(const State& state, std::uint64_t count, double seconds) {
    return state.cumulative ? group_digits(count)
                            : print_rate(as_rate(static_cast<double>(count), seconds));
}

Role role_in_row(Role row, Role column) {
    if (row == Role::normal) return column;
    return row == Role::selected && column == Role::bar ? Role::selected_bar : row;
}

Line draw_row(const LiveTable& table, const std::vector<std::size_t>& widths,
              const std::function<std::string(std::size_t, std::size_t)>& cell, Role role,
              bool marked, std::size_t width) {
    Line line;
    line.push_back({marked ? ">" : " ", role});
    bool first = true;
    for (std::size_t i = 0; i < widths.size(); ++i) {
        if (widths[i] == 0) continue;
        const LiveColumn& column = table.columns[i];
        const std::string text = fit(cell(i, widths[i]), widths[i]);
        line.push_back({(first ? "" : " ") + pad(text, widths[i], column.align),
                        role_in_row(role, column.role)});
        first = false;
    }
    // A heading or the selected row is one bar over the whole line.
    const std::size_t used = line_width(line);
    if (role != Role::normal && role != Role::dim && used < width) {
        line.push_back({std::string(width - used, ' '), role});
    }
    return line;
}

// A field of a reason; a sum per second of what was counted, so that intervals, sums and baselines
// of different lengths can be compared.
std::optional<double> comparable(const Field& field, const ExitStats& stats,
                                 const FieldContext& context) {
    const auto number = number_of(field.value(stats, context));
    if (!number || !field.sums_up()) return number;
    return as_rate(*number, context.duration_s);
}

// What a list of reasons' fields (of one VM, or of its vCPUs) is made from.
struct FieldCells {
    std::vector<const Field*> fields;
    bool per_second = false;  // of the interval, not sums
    TimeParts known_parts = TimeParts::all();
    bool ratio = false;
    std::vector<ExitStats> baseline;
    FieldContext baseline_context;

    [[nodiscard]] std::string print(std::size_t column, const ExitStats& stats,
                                    const FieldContext& context) const {
        const Field& field = *fields[column];
        if (!is_known(field, known_parts)) return "-";
        if (ratio) {
            const ExitStats* base = find_reason(baseline, reason_key(stats));
            const auto now = comparable(field, stats, context);
            const auto then =
                base ? comparable(field, *base, baseline_context) : std::optional(0.0);
            return print_ratio(now.value_or(-1.0), then.value_or(-1.0));
        }
        Value value = field.value(stats, context);
        if (per_second && field.sums_up()) {
            value = static_cast<std::uint64_t>(*comparable(field, stats, context));
        }
        return print_value(value, field.unit);
    }
};

FieldCells field_cells(const State& state, const VmTrack& track) {
    FieldCells cells;
    cells.per_second = !state.cumulative;
    cells.known_parts = state.known_parts;
    if (!state.baseline) return cells;
    cells.ratio = true;
    cells.known_parts &= state.baseline->known_parts;
    if (const Baseline::VmBaseline* base = state.baseline->find(track.vm.name)) {
        cells.baseline = base->exits;
        cells.baseline_context = {track.vm.isa, sum_of(base->exits).count,
                                  state.baseline->duration_s};
    }
    return cells;
}

void add_fields(FieldCells& cells, LiveTable& table, int LiveColumnSpace::* importance) {
    for (const Field& field : fields()) {
        if (field.places.live.*importance == 0) continue;
        // The rate of the exits is a field of its own.
        const bool is_count = field.key == "count";
        cells.fields.push_back(cells.per_second && is_count ? find_field("rate") : &field);
        const Field& shown = *cells.fields.back();
        const char* per = cells.per_second && shown.sums_up() ? "/s" : "";
        table.columns.push_back(
            {fmt::format("{}{}", shown.heading, per), field.places.live.width,
             field.places.live.width,
             importance_if(is_known(field, cells.known_parts), field.places.live.*importance),
             Align::right, Role::normal});
    }
}

/// As many of the texts as fit whole: half a number would be another number.
std::string join_whole(const std::vector<std::string>& texts, std::size_t width) {
    constexpr std::string_view more = " …";
    std::string joined;
    for (const std::string& text : texts) {
        const std::string next = joined + (joined.empty() ? "" : "  ") + text;
        const bool last = &text == &texts.back();
        if (display_width(next) + (last ? 0 : display_width(more)) > width) {
            return joined.empty() ? fit(text, width) : joined + std::string(more);
        }
        joined = next;
    }
    return joined;
}

std::string top_reasons(const VmTrack& track, const State& state, std::size_t width) {
    if (track.vm.silent) return fit("no exit seen", width);
    if (is_uncounted(track.vm)) return fit("not counted: no room (--max-vcpus)", width);
    std::vector<const ReasonTrack*> reasons;
    for (const ReasonTrack& reason : track.reasons) reasons.push_back(&reason);
    const std::size_t shown = std::min<std::size_t>(reasons.size(), 3);
    std::ranges::partial_sort(reasons, reasons.begin() + static_cast<std::ptrdiff_t>(shown),
                              std::ranges::greater{}, &ReasonTrack::smooth_rate);
    const FieldCells cells = field_cells(state, track);
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < shown; ++i) {
        const ReasonTrack& reason = *reasons[i];
        const std::uint64_t count = shown_numbers(state, reason).count;
        if (count == 0 && reason.smooth_rate < 0.005) {
            continue;
        }
        const double rate = as_rate(static_cast<double>(reason.interval.count), state.interval_s);
        std::string value = state.cumulative ? group_digits(count) : print_rate(rate);
        if (cells.ratio) {
            const ExitStats* base = find_reason(cells.baseline, reason_key(reason.now));
            value = print_ratio(rate, base ? as_rate(static_cast<double>(base->count),
                                                     cells.baseline_context.duration_s)
                                           : 0.0);
        }
        texts.push_back(fmt::format("{} {}", reason_label(track.vm.isa, reason.now), value));
    }
    return join_whole(texts, width);
}

// What a VM's row says as a number: of the interval, since zero, or as a ratio.
struct VmNumbers {
    std::string rate;
    std::string cores;
    std::string waits;
    std::string guest;
};

VmNumbers known_vm_numbers(const State& state, const VmTrack& track) {
    if (state.baseline) {
        const Baseline::VmBaseline* base = state.baseline->find(track.vm.name);
        const ExitStats sum = base ? sum_of(base->exits) : ExitStats{};
        const double seconds = state.baseline->duration_s;
        const double guest = base && base->guest > 0.0 ? base->guest : -1.0;
        return {print_ratio(track.rate, as_rate(static_cast<double>(sum.count), seconds)),
                print_ratio(track.cores, cores_of(on_cpu_ns(sum), seconds)),
                print_ratio(track.waits, cores_of(sum.preempted_ns, seconds)),
                print_ratio(track.guest, guest)};
    }
    if (!state.cumulative) {
        return {print_rate(track.rate), print_percent(track.cores), print_percent(track.waits),
                print_percent(track.guest)};
    }
    const ExitStats sum = shown_sum(state, track);
    return {group_digits(sum.count), print_ns(on_cpu_ns(sum)), print_ns(sum.preempted_ns),
            print_percent(track.guest)};
}

VmNumbers vm_numbers(const State& state, const VmTrack& track) {
    if (track.vm.silent || is_uncounted(track.vm)) return {"-", "-", "-", "-"};
    VmNumbers numbers = known_vm_numbers(state, track);
    TimeParts known = state.known_parts;
    if (state.baseline) known &= state.baseline->known_parts;
    if (!knows_on_cpu(known)) numbers.cores = "-";
    if (!known.contains(TimePart::preempted)) numbers.waits = "-";
    return numbers;
}

std::uint32_t vcpu_of(const std::string& key) {
    std::uint32_t id = 0;
    std::from_chars(key.data(), key.data() + key.size(), id);
    return id;
}

std::uint32_t tid_of(const VmTrack& track, const std::string& key) {
    const auto found = std::ranges::find(track.vm.vcpus, vcpu_of(key), &VcpuInfo::id);
    return found == track.vm.vcpus.end() ? 0 : found->tid;
}

FieldContext context_of(const VmTrack& track, const Shown& shown) {
    return {track.vm.isa, sum_of(shown.exits).count, shown.duration_s};
}

}  // namespace

std::vector<std::size_t> column_widths(const std::vector<LiveColumn>& columns, std::size_t width) {
    std::vector<std::size_t> order(columns.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, {}, [&](std::size_t i) { return columns[i].importance; });
    std::vector<std::size_t> widths(columns.size(), 0);
    std::size_t left = width > marker_width ? width - marker_width : 0;
    for (const std::size_t i : order) {
        const std::size_t needed = columns[i].least + (i == order.front() ? 0 : 1);
        if (i == order.front()) {
            widths[i] = std::min(columns[i].least, left);
            left -= widths[i];
        } else if (needed <= left) {
            widths[i] = columns[i].least;
            left -= needed;
        } else {
            break;  // What is less important does not push in before it.
        }
    }
    for (const std::size_t i : order) {
        if (widths[i] == 0 || columns[i].most <= widths[i]) continue;
        const std::size_t more = std::min(columns[i].most - widths[i], left);
        widths[i] += more;
        left -= more;
    }
    return widths;
}

std::vector<Line> draw_table(const State& state, const LiveTable& table) {
    const ListState& list = list_of(state);
    const auto widths = column_widths(table.columns, state.width);
    std::vector<Line> lines;
    lines.push_back(draw_row(
        table, widths, [&](std::size_t i, std::size_t) { return table.columns[i].heading; },
        Role::heading, false, state.width));
    if (list.rows.empty() && !list.filter.empty()) {
        lines.push_back(
            {{" Nothing matches the filter; Esc in it restores what was.", Role::notice}});
    }
    const std::size_t end = std::min(list.top + layout_of(state).list_rows, list.rows.size());
    for (std::size_t row = list.top; row < end; ++row) {
        const std::string& key = list.rows[row];
        const bool selected = row == list.place;
        const Role role = selected ? Role::selected : table.role(key);
        lines.push_back(draw_row(
            table, widths,
            [&](std::size_t i, std::size_t width) { return table.cell(i, key, width); }, role,
            selected, state.width));
    }
    return lines;
}

LiveTable vm_list(const State& state, Glyphs glyphs) {
    std::size_t longest = 10;
    for (const auto& [id, track] : state.tracks) {
        longest = std::max(longest, display_width(track.label) + (track.ended_s < 0.0 ? 0 : 8));
    }
    LiveTable table;
    table.columns = {
        {"NAME", state.width < wide ? 10 : std::min<std::size_t>(longest, 14),
         std::min<std::size_t>(longest, 40), 0, Align::left, Role::strong},
        {"PID", 7, 7, 9, Align::right, Role::normal},
        {"VMM", 12, 12, 10, Align::left, Role::normal},
        {"vCPUS", 5, 5, 7, Align::right, Role::normal},
        {"PAGING", 6, 6, 8, Align::left, Role::normal},
        {state.cumulative && !state.baseline ? "EXITS" : "EXITS/s", 8, 11, 1, Align::right,
         Role::normal},
        {state.cumulative && !state.baseline ? "TIME" : "CORE", 6, 7, 2, Align::right,
         Role::normal},
        {"WAIT", 6, 7, 3, Align::right, Role::normal},
        {"GUEST", 6, 6, 6, Align::right, Role::normal},
        bar_column(state, 11, 12),
        {"TOP REASONS", 20, 60, 4, Align::left, Role::normal},
        {"LAST MINUTE", 11, 60, 5, Align::right, Role::trail},
    };
    table.role = [&state](const std::string& key) {
        return state.tracks.at(key).ended_s < 0.0 ? Role::normal : Role::dim;
    };
    table.cell = [&state, glyphs](std::size_t column, const std::string& key, std::size_t width) {
        const VmTrack& track = state.tracks.at(key);
        switch (column) {
            case 0:
                if (track.ended_s < 0.0) return track.label;
                return fit(track.label, width > 8 ? width - 8 : 0) + " (ended)";
            case 1: return fmt::format("{}", track.vm.pid);
            case 2: return sanitise(track.vm.vmm, width);
            case 3: return fmt::format("{}", track.vm.vcpus.size());
            case 4:
                return track.vm.paging == Paging::unknown ? std::string("-")
                                                          : paging_name(track.vm.paging);
            case 5: return vm_numbers(state, track).rate;
            case 6: return vm_numbers(state, track).cores;
            case 7: return vm_numbers(state, track).waits;
            case 8: return vm_numbers(state, track).guest;
            case 9: return split_bar(shown_sum(state, track), state.known_parts, width);
            case 10: return top_reasons(track, state, width);
            default: return draw_trail(track.trail, width, glyphs);
        }
    };
    return table;
}

LiveTable reason_list(const State& state, const VmTrack& track, Glyphs glyphs) {
    struct Contents {
        FieldCells cells;
        Shown shown;
        FieldContext context;
        TimeParts known_parts;
    };
    const auto contents = std::make_shared<Contents>();
    contents->cells = field_cells(state, track);
    contents->shown = shown_reasons(state, track);
    contents->context = context_of(track, contents->shown);
    contents->known_parts = state.known_parts;
    LiveTable table;
    const std::size_t name = state.width < wide ? 9 : 16;
    table.columns = {{"REASON", name, 22, 0, Align::left, Role::strong}};
    add_fields(contents->cells, table, &LiveColumnSpace::in_reasons);
    const std::size_t bar = table.columns.size();
    table.columns.push_back(bar_column(state, 10, 20));
    table.columns.push_back({"LAST MINUTE", 11, 60, 15, Align::right, Role::trail});
    table.cell = [contents, &track, glyphs, bar](std::size_t column, const std::string& key,
                                                 std::size_t width) {
        if (column > bar) {
            const ReasonTrack* reason = find_reason(track, key);
            return reason ? draw_trail(reason->trail, width, glyphs) : std::string();
        }
        const ExitStats* stats = find_reason(contents->shown.exits, key);
        if (stats == nullptr) return std::string();
        if (column == 0) return reason_label(track.vm.isa, *stats);
        if (column == bar) return split_bar(*stats, contents->known_parts, width);
        return contents->cells.print(column - 1, *stats, contents->context);
    };
    return table;
}

Shown shown_of(const State& state, const VmTrack& track, const std::string& key) {
    return key == "all" ? shown_reasons(state, track) : shown_vcpu(state, track, vcpu_of(key));
}

std::string vcpu_label(const std::string& key) {
    return key == "all" ? "all vCPUs" : "vCPU " + key;
}

LiveTable vcpu_list(const State& state, const VmTrack& track) {
    LiveTable table;
    table.columns = {{"VCPU", 10, 10, 0, Align::left, Role::strong},
                     {"TID", 7, 7, 6, Align::right, Role::normal},
                     {state.cumulative ? "EXITS" : "EXITS/s", 9, 11, 1, Align::right, Role::normal},
                     {"CORE", 6, 7, 2, Align::right, Role::normal},
                     {"WAIT", 6, 7, 3, Align::right, Role::normal},
                     {"HALTED", 6, 7, 5, Align::right, Role::normal},
                     bar_column(state, 7, 12),
                     {"TOP REASONS", 20, 90, 4, Align::left, Role::normal}};
    table.cell = [&state, &track](std::size_t column, const std::string& key, std::size_t width) {
        if (column == 0) return vcpu_label(key);
        if (column == 1) return fmt::format("{}", tid_of(track, key));
        const Shown shown = shown_vcpu(state, track, vcpu_of(key));
        const ExitStats sum = sum_of(shown.exits);
        const TimeParts known = state.known_parts;
        const auto core = [&shown](std::uint64_t ns, bool is_known) {
            if (!is_known) return std::string("-");
            return print_percent(std::min(cores_of(ns, shown.duration_s), 1.0));
        };
        switch (column) {
            case 2: return print_exits(state, sum.count, shown.duration_s);
            case 3: return core(on_cpu_ns(sum), knows_on_cpu(known));
            case 4: return core(sum.preempted_ns, known.contains(TimePart::preempted));
            case 5: return core(sum.halted_ns, known.contains(TimePart::halted));
            case 6: return split_bar(sum, known, width);
            default: break;
        }
        std::vector<ExitStats> exits = shown.exits;
        sort_exits(exits, *find_field("count"), {});
        std::vector<std::string> texts;
        for (const ExitStats& stats : exits) {
            if (stats.count == 0) break;
            texts.push_back(fmt::format("{} {}", reason_label(track.vm.isa, stats),
                                        print_exits(state, stats.count, shown.duration_s)));
        }
        return join_whole(texts, width);
    };
    return table;
}

LiveTable histogram_list(const State& state, const VmTrack& track) {
    const auto cells = std::make_shared<FieldCells>(field_cells(state, track));
    LiveTable table;
    table.columns = {{"VCPU", 10, 12, 0, Align::left, Role::strong}};
    add_fields(*cells, table, &LiveColumnSpace::in_vcpus);
    table.cell = [cells, &state, &track](std::size_t column, const std::string& key, std::size_t) {
        if (column == 0) return vcpu_label(key);
        // The baseline is that of the VM: it says nothing of one vCPU.
        const bool all = key == "all";
        const Shown shown = shown_of(state, track, key);
        const ExitStats* stats = find_reason(shown.exits, state.reason);
        if (stats == nullptr || (cells->ratio && !all)) return std::string("-");
        return cells->print(column - 1, *stats, context_of(track, shown));
    };
    return table;
}

}  // namespace exittop
