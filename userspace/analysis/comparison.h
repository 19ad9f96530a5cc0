// SPDX-License-Identifier: GPL-2.0-only
// A comparison of runs. Every output of `exittop compare` is a pure function of this value. Texts
// in it are raw (labels, names, facts come from files): outputs sanitise or escape them.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/fields.h"
#include "model/run.h"

namespace exittop {

/// What counts are divided by before they are compared (--normalize).
enum class Basis {
    count,       ///< Nothing: exits as they were counted.
    time,        ///< The time that was counted: exits per second.
    share,       ///< All exits of the run: exits of a reason per exit.
    guest_time,  ///< The time that its vCPUs spent in the guest: exits per second of it.
};

/// What became of a reason since the first run.
enum class Change { none, appeared, gone };

/// A run against the first one, by one reason.
struct Versus {
    double delta = 0.0;           ///< Of `value`.
    std::optional<double> ratio;  ///< Of `value`; nothing where the first has none.
    Change change = Change::none;
    /// Mann-Whitney U test over the repetitions, adjusted for the number of reasons; nothing where
    /// one of the two has no repetitions.
    std::optional<double> p_value;
    bool beyond_noise = false;  ///< p_value is below significance_level.
    bool operator==(const Versus&) const = default;
};

inline constexpr double significance_level = 0.05;
/// With fewer repetitions on both sides, no result can reach that level.
inline constexpr std::size_t fewest_repeats = 4;

/// A part of the vCPUs' time: the guest's, or a part of the exits'. Mean over the repetitions.
struct MeanTime {
    std::string_view data_name;  ///< "vmm_ns"
    std::string_view name;       ///< "VMM"
    char letter = '\0';          ///< 'V', in bars.
    std::optional<double> ns;    ///< Nothing where it is not known, as of imported counts.
    /// How many times as much as in the first run; nothing in that, where one of the two is not
    /// known, and for the kernel where the runs know different parts, as it is what these leave.
    std::optional<double> ratio{};
    bool operator==(const MeanTime&) const = default;
};

/// Exits of one reason, or of all of them, in one run. Means over its repetitions, if any, except
/// for what is read from their common histogram.
struct Cell {
    double count = 0.0;
    double value = 0.0;             ///< The count on the comparison's basis.
    std::optional<double> spread;   ///< Standard deviation of `value` over the repetitions.
    std::vector<double> values;     ///< `value` of each repetition.
    std::optional<double> rate;     ///< Per second; nothing where no time is known.
    std::optional<double> time_ns;  ///< Nothing where exits were not timed, and so below.
    std::optional<double> mean_ns;
    std::optional<double> mean_cpu_ns;  ///< Also nothing where the time on a CPU is not known.
    /// The parts of time_ns, in the order of the fields; empty where that is not known, and of
    /// targets. Those that are known add up to it, if the kernel's is.
    std::vector<MeanTime> parts{};
    std::optional<std::uint64_t> p50_ns;
    std::optional<std::uint64_t> p99_ns;
    Histogram histogram;           ///< Of all repetitions together.
    std::optional<Versus> versus;  ///< Nothing in the first run.
    bool operator==(const Cell&) const = default;
};

/// What exits of a reason were about, in all runs: a target, those that were not kept apart
/// ("other"), or those of which it is not known.
struct TargetRow {
    enum class Kind { known, other, unknown } kind = Kind::known;
    std::string target{};  ///< Of a known one: its text, raw.
    std::string why{};     ///< Of unknown ones: why, raw.
    /// In `other`: how many known ones were folded into it, and whether there are more.
    std::size_t folded = 0;
    bool has_more = false;
    /// One for each run; nothing where it did not count by target, or where the target may be among
    /// its other or unknown ones. Without tests for noise: there are too many rows for them. Other
    /// ones are compared with the first run only where all of them are known, and so the same.
    std::vector<std::optional<Cell>> cells{};
    bool operator==(const TargetRow&) const = default;
};

struct ReasonRow {
    Isa isa = Isa::unknown;
    GuestLevel level = GuestLevel::l1;
    std::uint32_t code = 0;
    std::string label;        ///< "CR_ACCESS", "L2 CPUID".
    std::string explanation;  ///< What causes it, a sentence; empty for an unknown code.
    std::vector<Cell> cells;  ///< One for each run.
    /// The largest value of any run first, then other and unknown ones; empty where no run counted
    /// by target.
    std::vector<TargetRow> targets{};
    bool operator==(const ReasonRow&) const = default;
};

/// "kernel" -> "6.1.0-50-cloud-amd64". Empty where it is not known.
struct Fact {
    std::string name;
    std::string value;
    bool operator==(const Fact&) const = default;
};

struct RunSummary {
    std::string label;
    std::size_t repeats = 1;
    double duration_s = 0.0;  ///< Mean over the repetitions; 0: not known.
    /// The same for all runs: the guest's, the kernel's, and the other parts. Those that are known
    /// add up to all time.
    std::vector<MeanTime> times;
    std::vector<Fact> facts;  ///< The same names in the same order for all runs of a comparison.
    std::map<std::string, std::string> parameters;  ///< Of kvm's modules: "kvm_amd.npt" -> "1".
    Lost lost;                                      ///< Of all repetitions together.
    bool operator==(const RunSummary&) const = default;
};

/// Something that makes runs not comparable.
struct Warning {
    std::string name;  ///< Fixed words for programs: "other-kernel".
    std::string text;  ///< For people: which runs, and what it is.
    bool operator==(const Warning&) const = default;
};

struct Comparison {
    Basis basis = Basis::count;
    std::vector<RunSummary> runs;
    std::vector<ReasonRow> rows;  ///< The largest value of any run first.
    ReasonRow total;
    std::vector<Warning> warnings;
    bool operator==(const Comparison&) const = default;
};

/// At least one run. All VMs of a run are taken together.
Comparison compare_runs(std::span<const Run> runs, Basis basis);

bool has_targets(const Comparison& comparison);
/// As if no run had counted by target.
Comparison without_targets(Comparison comparison);
/// The first `most` targets of a reason; what is left of the known ones is folded into `other`,
/// unless that would be a single one. Nothing where all are unknown.
std::vector<TargetRow> first_targets(const ReasonRow& reason, std::size_t most);

/// What is known of a cell's exits by one of the fields.
struct CellField {
    const Field* field;
    Value value;
};
/// Rate, time, means and percentiles: what exits cost.
std::array<CellField, 6> costs_of(const Cell& cell);

/// All parts together; nothing where the guest's or the kernel's is not known.
std::optional<double> all_time(const RunSummary& run);

/// "exits", "exits/s", "share of exits", "exits per second in the guest": what values are.
std::string basis_name(Basis basis);

}  // namespace exittop
