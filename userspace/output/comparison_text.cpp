// SPDX-License-Identifier: GPL-2.0-only
#include "output/comparison_text.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/text.h"
#include "output/target_text.h"

namespace exittop {

std::string print_amount(double value, Basis basis) {
    if (basis == Basis::share) return print_percent(value);
    if (basis == Basis::count && value == std::floor(value) && value < 1e18) {
        return group_digits(static_cast<std::uint64_t>(value));
    }
    return print_rate(value);
}

std::string print_delta(double delta, Basis basis) {
    if (delta == 0.0) return "0";
    if (basis == Basis::share) return fmt::format("{:+.1f}%", delta * 100.0);
    return (delta > 0.0 ? "+" : "-") + print_amount(std::abs(delta), basis);
}

std::string change_name(Change change) {
    return change == Change::appeared ? "new" : change == Change::gone ? "gone" : "";
}

std::string print_ratio(const Versus& versus) {
    if (versus.change != Change::none) return change_name(versus.change);
    return versus.ratio ? print_ratio(*versus.ratio) : "-";
}

std::string print_noise(const Versus& versus) {
    if (!versus.p_value) return "-";
    return versus.beyond_noise ? "beyond" : "within";
}

std::string print_time(const std::optional<double>& ns) {
    return print_value(value_of(ns), Unit::nanoseconds);
}

std::string target_label(const ReasonRow& reason, const TargetRow& target) {
    switch (target.kind) {
        case TargetRow::Kind::known: break;
        case TargetRow::Kind::other: return others_label(target.folded, target.has_more);
        case TargetRow::Kind::unknown: return "unknown";
    }
    return fit(labelled_target(reason.isa, reason.code, target.target), target_columns);
}

std::string page_fault_note(const Comparison& comparison) {
    const auto is_page_fault = [](const TargetRow& row) { return row.target.starts_with("#PF "); };
    const bool has_page_faults = std::ranges::any_of(comparison.rows, [&](const ReasonRow& row) {
        return std::ranges::any_of(row.targets, is_page_fault);
    });
    if (!has_page_faults) return {};
    return "#PF is a page fault: who touched a page, how, and what the CPU found there. Without a "
           "further word: no entry, be it in the guest's table or only in KVM's shadow of it. "
           "protection: an entry that forbids it; KVM write-protects the page tables that it "
           "shadows. reserved: an entry with a reserved bit, by which KVM marks device addresses.";
}

std::string fact_of(const RunSummary& run, std::string_view name) {
    const auto found = std::ranges::find(run.facts, name, &Fact::name);
    return found == run.facts.end() ? std::string{} : found->value;
}

bool has_repeats(const Comparison& comparison) {
    return std::ranges::any_of(comparison.runs,
                               [](const RunSummary& run) { return run.repeats > 1; });
}

std::string noise_line(const Comparison& comparison) {
    if (!has_repeats(comparison) || comparison.runs.size() < 2) return {};
    const std::size_t fewest = std::ranges::min(comparison.runs, {}, &RunSummary::repeats).repeats;
    if (fewest < fewest_repeats) {
        return fmt::format("NOISE needs at least {} repetitions of each run; one here has {}.",
                           fewest_repeats, fewest);
    }
    return fmt::format("NOISE: Mann-Whitney U test over the repetitions, two-sided, p < {} "
                       "adjusted for the number of reasons (Benjamini-Hochberg).",
                       significance_level);
}

}  // namespace exittop
