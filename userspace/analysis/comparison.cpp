// SPDX-License-Identifier: GPL-2.0-only
// Reduces every repetition to sums by reason. Cells, totals and tests follow from these.
#include "analysis/comparison.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "analysis/comparability.h"
#include "analysis/statistics.h"
#include "model/fields.h"

namespace exittop {

namespace {

struct IsaReasonKey {
    Isa isa;
    GuestLevel level;
    std::uint32_t code;
    auto operator<=>(const IsaReasonKey&) const = default;
};

// Targets of different reasons have nothing to do with each other.
void add_without_targets(ExitStats& sum, const ExitStats& stats) {
    sum.add_numbers(stats);
    sum.histogram += stats.histogram;
}

// One repetition with all its VMs together.
struct Sums {
    std::map<IsaReasonKey, ExitStats> by_reason;
    ExitStats total;
    double duration_s = 0.0;
    double guest_s = 0.0;
    TimeParts known{};  ///< Parts of the exits' time.
};

Sums sums_of(const Snapshot& snapshot) {
    Sums sums;
    sums.duration_s = snapshot.duration_s;
    if (snapshot.detail >= CountDetail::time) sums.known = snapshot.known_parts;
    std::uint64_t guest_ns = 0;
    for (const Vm& vm : snapshot.vms) {
        guest_ns = saturating_add(guest_ns, sum_of_vcpus(vm).guest_ns);
        for (const ExitStats& stats : exits_by_reason(vm)) {
            const auto [place, is_new] =
                sums.by_reason.try_emplace({vm.isa, stats.level, stats.code}, stats);
            if (!is_new) place->second += stats;
            add_without_targets(sums.total, stats);
        }
    }
    sums.guest_s = static_cast<double>(guest_ns) * 1e-9;
    return sums;
}

using RunSums = std::vector<Sums>;  // By repetition.

// What the counts of a repetition are divided by; 0 where it is not known.
double divisor(const Sums& sums, Basis basis) {
    switch (basis) {
        case Basis::count: break;
        case Basis::time: return sums.duration_s;
        case Basis::share: return static_cast<double>(sums.total.count);
        case Basis::guest_time: return sums.guest_s;
    }
    return 1.0;
}

// Selects from a repetition what a cell is about: a reason, or the total.
const ExitStats* find_stats(const Sums& sums, const IsaReasonKey* key) {
    if (key == nullptr) return &sums.total;
    const auto found = sums.by_reason.find(*key);
    return found == sums.by_reason.end() ? nullptr : &found->second;
}

// What each repetition has of a cell; nullptr: no exits.
using Found = std::vector<const ExitStats*>;

bool is_known(const Field& field, const RunSums& repeats) {
    return std::ranges::all_of(repeats,
                               [&field](const Sums& sums) { return is_known(field, sums.known); });
}

// The parts of the exits' time.
std::vector<MeanTime> mean_parts(const RunSums& repeats, const Found& found) {
    std::vector<MeanTime> parts;
    for (const Field& field : fields()) {
        if (!field.is_time_part()) continue;
        MeanTime& part = parts.emplace_back(
            MeanTime{field.data_name, field.places.time_part, field.places.letter, {}});
        if (!is_known(field, repeats)) continue;
        std::vector<double> times;
        for (const ExitStats* stats : found) {
            times.push_back(stats == nullptr ? 0.0
                                             : number_of(field.value(*stats, {})).value_or(0.0));
        }
        part.ns = mean_of(times);
    }
    return parts;
}

Cell make_cell(const RunSums& repeats, const Found& found, Basis basis) {
    const ExitStats nothing;
    Cell cell;
    ExitStats all;
    std::vector<double> counts;
    std::vector<double> times;
    double seconds = 0.0;
    for (std::size_t i = 0; i < repeats.size(); ++i) {
        const Sums& sums = repeats[i];
        const ExitStats& stats = found[i] != nullptr ? *found[i] : nothing;
        add_without_targets(all, stats);
        seconds += sums.duration_s;
        counts.push_back(static_cast<double>(stats.count));
        times.push_back(static_cast<double>(stats.time_ns));
        const double by = divisor(sums, basis);
        cell.values.push_back(by > 0.0 ? counts.back() / by : 0.0);
    }
    const auto number = static_cast<double>(repeats.size());
    cell.count = mean_of(counts);
    cell.value = mean_of(cell.values);
    if (repeats.size() > 1) cell.spread = standard_deviation(cell.values);
    if (seconds > 0.0) cell.rate = cell.count * number / seconds;
    if (all.time_ns > 0) {
        cell.time_ns = mean_of(times);
        const double exits = std::max(1.0, cell.count * number);
        cell.mean_ns = static_cast<double>(all.time_ns) / exits;
        cell.parts = mean_parts(repeats, found);
        if (is_known(*find_field("mean_cpu"), repeats)) {
            cell.mean_cpu_ns = static_cast<double>(on_cpu_ns(all)) / exits;
        }
    }
    if (!all.histogram.empty()) {
        cell.p50_ns = all.histogram.percentile(0.50, all.max_ns);
        cell.p99_ns = all.histogram.percentile(0.99, all.max_ns);
    }
    cell.histogram = std::move(all.histogram);
    return cell;
}

Versus against(const Cell& first, const Cell& other) {
    Versus versus;
    versus.delta = other.value - first.value;
    if (first.value > 0.0) versus.ratio = other.value / first.value;
    if (first.count == 0.0 && other.count > 0.0) versus.change = Change::appeared;
    if (first.count > 0.0 && other.count == 0.0) versus.change = Change::gone;
    if (first.values.size() > 1 && other.values.size() > 1) {
        versus.p_value = mann_whitney(first.values, other.values);
    }
    return versus;
}

void add_cells(ReasonRow& row, const std::vector<RunSums>& runs, const IsaReasonKey* key,
               Basis basis) {
    for (const RunSums& repeats : runs) {
        Found found;
        for (const Sums& sums : repeats) found.push_back(find_stats(sums, key));
        row.cells.push_back(make_cell(repeats, found, basis));
    }
    for (std::size_t i = 1; i < row.cells.size(); ++i) {
        row.cells[i].versus = against(row.cells.front(), row.cells[i]);
    }
}

// ---- Targets

using RowKind = TargetRow::Kind;

// Of a repetition's exits of a reason, those of a row. Nothing where they may be there unseen.
std::optional<TargetSum> find_target(const ExitStats* stats, const TargetRow& row) {
    if (stats == nullptr) return TargetSum{};
    if (!stats->targets) return stats->count == 0 ? std::optional(TargetSum{}) : std::nullopt;
    const Targets& targets = *stats->targets;
    if (row.kind == RowKind::other) return targets.other;
    if (row.kind == RowKind::unknown) return targets.unknown;
    const auto place =
        std::ranges::lower_bound(targets.known, row.target, {}, &TargetStats::target);
    if (place != targets.known.end() && place->target == row.target) return *place;
    if (targets.other.count > 0 || targets.unknown.count > 0) return std::nullopt;
    return TargetSum{};
}

std::optional<Cell> make_target_cell(const RunSums& repeats, const IsaReasonKey& key,
                                     const TargetRow& row, Basis basis) {
    std::vector<ExitStats> all(repeats.size());
    Found found;
    for (std::size_t i = 0; i < repeats.size(); ++i) {
        const auto sum = find_target(find_stats(repeats[i], &key), row);
        if (!sum) return std::nullopt;
        all[i].count = sum->count;
        all[i].time_ns = sum->time_ns;
        found.push_back(&all[i]);
    }
    Cell cell = make_cell(repeats, found, basis);
    cell.mean_cpu_ns.reset();  // Of targets, only the whole time is known.
    cell.parts.clear();
    return cell;
}

// Others are not the same ones in each run where there are more than are known.
void compare_with_first(TargetRow& row) {
    if (row.has_more) return;
    const auto& first = row.cells.front();
    for (std::size_t i = 1; first && i < row.cells.size(); ++i) {
        if (!row.cells[i]) continue;
        row.cells[i]->versus = against(*first, *row.cells[i]);
        row.cells[i]->versus->p_value.reset();
    }
}

// All that any repetition has, without cells: by text, then other and unknown ones.
std::vector<TargetRow> target_rows_without_cells(const std::vector<RunSums>& runs,
                                                 const IsaReasonKey& key) {
    std::set<std::string> texts;
    bool has_other = false, has_unknown = false;
    std::string why;
    for (const RunSums& repeats : runs) {
        for (const Sums& sums : repeats) {
            const ExitStats* stats = find_stats(sums, &key);
            if (stats == nullptr || !stats->targets) continue;
            for (const TargetStats& known : stats->targets->known) texts.insert(known.target);
            has_other = has_other || stats->targets->other.count > 0;
            has_unknown = has_unknown || stats->targets->unknown.count > 0;
            if (why.empty()) why = stats->targets->why;
        }
    }
    std::vector<TargetRow> rows;
    for (const std::string& text : texts) rows.push_back({.target = text});
    if (has_other) rows.push_back({.kind = RowKind::other, .has_more = true});
    if (has_unknown) rows.push_back({.kind = RowKind::unknown, .why = why});
    return rows;
}

double largest_value(const TargetRow& row) {
    double largest = 0.0;
    for (const auto& cell : row.cells) largest = std::max(largest, cell ? cell->value : 0.0);
    return largest;
}

std::vector<TargetRow> make_target_rows(const std::vector<RunSums>& runs, const IsaReasonKey& key,
                                        Basis basis) {
    std::vector<TargetRow> rows = target_rows_without_cells(runs, key);
    for (TargetRow& row : rows) {
        for (const RunSums& repeats : runs) {
            row.cells.push_back(make_target_cell(repeats, key, row, basis));
        }
        compare_with_first(row);
    }
    std::ranges::stable_sort(rows, {}, [](const TargetRow& row) {
        return std::tuple(row.kind, row.kind == RowKind::known ? -largest_value(row) : 0.0);
    });
    return rows;
}

template <typename Number>
void add_known(std::optional<Number>& sum, const std::optional<Number>& more) {
    if (more) sum = sum.value_or(0) + *more;
}

// Of the same run, so with as many repetitions.
void add_cell(std::optional<Cell>& sum, const std::optional<Cell>& more) {
    if (!more) return;
    if (!sum) {
        sum = more;
        sum->versus.reset();  // That of a sum is another one.
        return;
    }
    sum->count += more->count;
    sum->value += more->value;
    for (std::size_t i = 0; i < sum->values.size(); ++i) sum->values[i] += more->values[i];
    if (sum->spread) sum->spread = standard_deviation(sum->values);
    add_known(sum->rate, more->rate);
    add_known(sum->time_ns, more->time_ns);
    sum->mean_ns.reset();
    if (sum->time_ns && sum->count > 0.0) sum->mean_ns = *sum->time_ns / sum->count;
}

ReasonRow make_row(const std::vector<RunSums>& runs, const IsaReasonKey& key, Basis basis) {
    ReasonRow row{key.isa, key.level, key.code, "", "", {}};
    ExitStats named;
    named.code = key.code;
    named.level = key.level;
    row.label = reason_label(key.isa, named);
    if (const ExitReason* reason = find_exit_reason(key.isa, key.code)) {
        row.explanation = reason->meaning;
    }
    add_cells(row, runs, &key, basis);
    row.targets = make_target_rows(runs, key, basis);
    return row;
}

double largest_value(const ReasonRow& row) {
    return std::ranges::max(row.cells, {}, &Cell::value).value;
}

// The more reasons are tested, the more of them differ by chance.
void adjust_p_values(Comparison& comparison, std::size_t run) {
    std::vector<Versus*> tested;
    std::vector<double> p_values;
    for (ReasonRow& row : comparison.rows) {
        auto& versus = row.cells[run].versus;
        if (!versus || !versus->p_value) continue;
        tested.push_back(&*versus);
        p_values.push_back(*versus->p_value);
    }
    const std::vector<double> adjusted = adjust_for_number(p_values);
    for (std::size_t i = 0; i < tested.size(); ++i) {
        tested[i]->p_value = adjusted[i];
        tested[i]->beyond_noise = adjusted[i] < significance_level;
    }
    // The total is a single test.
    if (auto& total = comparison.total.cells[run].versus; total && total->p_value) {
        total->beyond_noise = *total->p_value < significance_level;
    }
}

// The guest's time and the parts of the exits'.
std::vector<MeanTime> mean_times(const RunSums& repeats) {
    Found totals;
    double guest_ns = 0.0;
    for (const Sums& sums : repeats) {
        totals.push_back(&sums.total);
        guest_ns += sums.guest_s * 1e9 / static_cast<double>(repeats.size());
    }
    std::vector<MeanTime> times = mean_parts(repeats, totals);
    // Without the kernel's time, there is nothing that the guest's could be a part of.
    const bool is_part = is_known(*find_field("kernel"), repeats);
    times.insert(times.begin(), {"guest_ns", "guest", guest_letter,
                                 is_part ? std::optional(guest_ns) : std::nullopt});
    return times;
}

// Of a run against the first.
void add_ratios(std::vector<MeanTime>& times, const std::vector<MeanTime>& first) {
    const auto is_same = [](const MeanTime& a, const MeanTime& b) {
        return a.ns.has_value() == b.ns.has_value();
    };
    const bool same_parts = std::ranges::equal(times, first, is_same);
    for (std::size_t i = 0; i < times.size(); ++i) {
        if (!times[i].ns || first[i].ns.value_or(0.0) == 0.0) continue;
        if (times[i].data_name == "kernel_ns" && !same_parts) continue;
        times[i].ratio = *times[i].ns / *first[i].ns;
    }
}

RunSummary summarise(const Run& run, const RunSums& repeats) {
    RunSummary summary;
    summary.label = run.label;
    summary.repeats = repeats.size();
    summary.times = mean_times(repeats);
    summary.facts = run_facts(run);
    summary.parameters = run.repeats.front().host.parameters;
    for (const Sums& sums : repeats) {
        summary.duration_s += sums.duration_s / static_cast<double>(repeats.size());
    }
    for (const Snapshot& snapshot : run.repeats) summary.lost += snapshot.lost;
    return summary;
}

std::vector<IsaReasonKey> all_reasons(const std::vector<RunSums>& runs) {
    std::set<IsaReasonKey> keys;
    for (const RunSums& repeats : runs) {
        for (const Sums& sums : repeats) {
            for (const auto& [key, stats] : sums.by_reason) {
                if (stats.count > 0 || stats.time_ns > 0) keys.insert(key);
            }
        }
    }
    return {keys.begin(), keys.end()};
}

}  // namespace

Comparison compare_runs(std::span<const Run> runs, Basis basis) {
    Comparison comparison;
    comparison.basis = basis;
    std::vector<RunSums> all;
    for (const Run& run : runs) {
        RunSums& repeats = all.emplace_back();
        for (const Snapshot& snapshot : run.repeats) repeats.push_back(sums_of(snapshot));
        comparison.runs.push_back(summarise(run, repeats));
    }
    for (RunSummary& run : std::span(comparison.runs).subspan(1)) {
        add_ratios(run.times, comparison.runs.front().times);
    }
    for (const IsaReasonKey& key : all_reasons(all)) {
        comparison.rows.push_back(make_row(all, key, basis));
    }
    std::ranges::sort(comparison.rows, {}, [](const ReasonRow& row) {
        return std::tuple(-largest_value(row), row.isa, row.level, row.code);
    });
    comparison.total.label = "total";
    add_cells(comparison.total, all, nullptr, basis);
    for (std::size_t run = 1; run < runs.size(); ++run) adjust_p_values(comparison, run);
    comparison.warnings = comparability_warnings(runs, basis);
    return comparison;
}

bool has_targets(const Comparison& comparison) {
    return std::ranges::any_of(comparison.rows,
                               [](const ReasonRow& row) { return !row.targets.empty(); });
}

Comparison without_targets(Comparison comparison) {
    for (ReasonRow& row : comparison.rows) row.targets.clear();
    return comparison;
}

std::vector<TargetRow> first_targets(const ReasonRow& reason, std::size_t most) {
    const auto is_known = [](const TargetRow& row) { return row.kind == RowKind::known; };
    const auto is_other = [](const TargetRow& row) { return row.kind == RowKind::other; };
    const auto known = static_cast<std::size_t>(std::ranges::count_if(reason.targets, is_known));
    const auto other = std::ranges::find_if(reason.targets, is_other);
    const bool has_other = other != reason.targets.end();
    if (known == 0 && !has_other) return {};
    if (known <= (has_other ? most : most + 1)) return reason.targets;

    std::vector<TargetRow> rows(reason.targets.begin(),
                                reason.targets.begin() + static_cast<std::ptrdiff_t>(most));
    TargetRow rest{.kind = RowKind::other};
    if (has_other) rest = *other;  // Which are not compared.
    rest.cells.resize(reason.cells.size());
    bool all_known = true;
    for (std::size_t i = most; i < known; ++i) {
        for (std::size_t run = 0; run < rest.cells.size(); ++run) {
            const auto& cell = reason.targets[i].cells[run];
            add_cell(rest.cells[run], cell);
            all_known = all_known && cell;
        }
    }
    rest.folded += known - most;
    if (all_known) compare_with_first(rest);
    rows.push_back(std::move(rest));
    if (reason.targets.back().kind == RowKind::unknown) rows.push_back(reason.targets.back());
    return rows;
}

std::array<CellField, 6> costs_of(const Cell& cell) {
    return {{{find_field("rate"), value_of(cell.rate)},
             {find_field("time"), value_of(cell.time_ns)},
             {find_field("mean"), value_of(cell.mean_ns)},
             {find_field("mean_cpu"), value_of(cell.mean_cpu_ns)},
             {find_field("p50"), value_of(cell.p50_ns)},
             {find_field("p99"), value_of(cell.p99_ns)}}};
}

std::optional<double> all_time(const RunSummary& run) {
    if (!run.times.front().ns) return std::nullopt;
    double sum = 0.0;
    for (const MeanTime& time : run.times) sum += time.ns.value_or(0.0);
    return sum;
}

std::string basis_name(Basis basis) {
    switch (basis) {
        case Basis::count: break;
        case Basis::time: return "exits/s";
        case Basis::share: return "share of exits";
        case Basis::guest_time: return "exits per second in the guest";
    }
    return "exits";
}

}  // namespace exittop
