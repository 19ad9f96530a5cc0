// SPDX-License-Identifier: GPL-2.0-only
// Each warning is a small function of one run, or of the first run and another one.
#include "analysis/comparability.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.h"

namespace exittop {

namespace {

constexpr double other_length = 1.2;
constexpr std::size_t fewest_doubled = 3;  // One or two counts may double by chance.
constexpr std::size_t shown_names = 6;

using Counts = std::map<std::pair<Isa, std::uint32_t>, std::uint64_t>;  // Of L1, by ISA and code.

Counts counts_of(const Run& run) {
    Counts counts;
    for (const Snapshot& snapshot : run.repeats) {
        for (const Vm& vm : snapshot.vms) {
            for (const ExitStats& stats : exits_by_reason(vm)) {
                if (stats.level != GuestLevel::l1 || stats.count == 0) continue;
                std::uint64_t& count = counts[{vm.isa, stats.code}];
                count = saturating_add(count, stats.count);
            }
        }
    }
    return counts;
}

// Files may have any number of labels and names, of any length.
std::string name_of(const Run& run) {
    return fmt::format("'{}'", cut_bytes(run.label, name_columns));
}

std::string first_few(const std::vector<std::string>& names) {
    const std::size_t shown = std::min(names.size(), shown_names);
    std::vector<std::string_view> cut;
    for (std::size_t i = 0; i < shown; ++i) cut.push_back(cut_bytes(names[i], name_columns));
    const std::string text = fmt::format("{}", fmt::join(cut, ", "));
    return names.size() > shown ? fmt::format("{} and {} more", text, names.size() - shown) : text;
}

std::string joined(const std::set<std::string>& words) {
    return first_few({words.begin(), words.end()});
}

// A property of its VMs, over all VMs and repetitions: "ept", or "ept, shadow".
template <typename Text>
std::string of_vms(const Run& run, Text text) {
    std::set<std::string> found;
    for (const Snapshot& snapshot : run.repeats) {
        for (const Vm& vm : snapshot.vms) found.insert(text(vm));
    }
    found.erase("");
    return joined(found);
}

std::string paging_of(const Run& run) {
    return of_vms(run, [](const Vm& vm) {
        return vm.paging == Paging::unknown ? std::string{} : paging_name(vm.paging);
    });
}

std::string vmm_of(const Run& run) {
    return of_vms(run, [](const Vm& vm) {
        return vm.vmm_version.empty() ? vm.vmm : vm.vmm + " " + vm.vmm_version;
    });
}

std::string memory_of(const Run& run) {
    return of_vms(run, [](const Vm& vm) {
        return vm.memory_bytes == 0 ? std::string{} : print_bytes(vm.memory_bytes);
    });
}

std::string vcpus_of(const Run& run) {
    if (!run.imported_from.empty()) return {};
    return of_vms(run, [](const Vm& vm) {
        return vm.vcpus.empty() ? std::string{} : fmt::format("{}", vm.vcpus.size());
    });
}

std::string vms_of(const Run& run) {
    if (!run.imported_from.empty()) return {};
    std::set<std::string> numbers;
    for (const Snapshot& snapshot : run.repeats) {
        numbers.insert(fmt::format("{}", snapshot.vms.size()));
    }
    return joined(numbers);
}

std::string length_of(const Run& run) {
    const double seconds = run.repeats.front().duration_s;
    return seconds > 0.0 ? print_seconds(seconds) : std::string{};
}

// ---- One run against the first

struct Pair {
    const Run& first;
    const Run& other;
};

void warn_if_differs(std::vector<Warning>& warnings, const char* name, std::string_view what,
                     const Pair& pair, const std::string& first, const std::string& other) {
    if (first.empty() || other.empty() || first == other) return;
    warnings.push_back({name, fmt::format("{} differs: {} has {}, {} has {}", what,
                                          name_of(pair.first), first, name_of(pair.other), other)});
}

void check_parameters(std::vector<Warning>& warnings, const Pair& pair) {
    const auto& first = pair.first.repeats.front().host.parameters;
    std::vector<std::string> different;
    for (const auto& [name, value] : pair.other.repeats.front().host.parameters) {
        const auto was = first.find(name);
        if (was == first.end() || was->second == value) continue;
        if (follows_paging(name)) continue;
        different.push_back(fmt::format("{} {} -> {}", name, was->second, value));
    }
    if (different.empty()) return;
    warnings.push_back(
        {"other-parameters",
         fmt::format("module parameters differ between {} and {}: {}", name_of(pair.first),
                     name_of(pair.other), first_few(different))});
}

void check_length(std::vector<Warning>& warnings, const Pair& pair, Basis basis) {
    // With a command, the work is fixed, and its time is a result.
    if (basis != Basis::count || !pair.first.command.empty()) return;
    const double first = pair.first.repeats.front().duration_s;
    const double other = pair.other.repeats.front().duration_s;
    if (!(first > 0.0) || !(other > 0.0)) return;
    if (std::max(first, other) < other_length * std::min(first, other)) return;
    warnings.push_back(
        {"other-length", fmt::format("counted for different times: {} for {}, {} for {}; "
                                     "--normalize time takes that out",
                                     name_of(pair.first), print_seconds(first), name_of(pair.other),
                                     print_seconds(other))});
}

bool is_tdp_fault(Isa isa, std::uint32_t code) {
    constexpr std::uint32_t ept_violation = 48, ept_misconfig = 49, npf = 0x400;
    if (isa == Isa::vmx) return code == ept_violation || code == ept_misconfig;
    return isa == Isa::svm && code == npf;
}

std::string names_of(const std::vector<std::pair<Isa, std::uint32_t>>& reasons) {
    std::vector<std::string> names;
    for (const auto& [isa, code] : reasons) names.push_back(exit_reason_name(isa, code));
    return first_few(names);
}

// Counters that were never reset include the first run: no count is lower, and what each run does
// once or twice has exactly doubled.
void check_cumulative(std::vector<Warning>& warnings, const Pair& pair) {
    if (!pair.other.version.empty()) return;  // exittop starts from zero each time.
    const Counts other = counts_of(pair.other);
    std::vector<std::pair<Isa, std::uint32_t>> doubled;
    for (const auto& [reason, count] : counts_of(pair.first)) {
        const auto found = other.find(reason);
        if (found == other.end() || found->second < count) return;
        if (found->second == saturating_add(count, count)) doubled.push_back(reason);
    }
    if (doubled.size() < fewest_doubled) return;
    warnings.push_back(
        {"cumulative-counters",
         fmt::format("the counters of {} look cumulative, never reset since {}: no reason has less "
                     "and {} have exactly twice as many; subtract the first or record anew",
                     name_of(pair.other), name_of(pair.first), names_of(doubled))});
}

void check_pair(std::vector<Warning>& warnings, const Pair& pair, Basis basis) {
    const HostFacts& first = pair.first.repeats.front().host;
    const HostFacts& other = pair.other.repeats.front().host;
    const auto differs = [&](const char* name, std::string_view what, const std::string& a,
                             const std::string& b) {
        warn_if_differs(warnings, name, what, pair, a, b);
    };
    differs("other-isa", "the processor's kind",
            first.isa == Isa::unknown ? "" : isa_name(first.isa),
            other.isa == Isa::unknown ? "" : isa_name(other.isa));
    differs("other-host", "the host", first.name, other.name);
    differs("other-cpu", "the CPU", first.cpu, other.cpu);
    differs("other-kernel", "the kernel", first.kernel, other.kernel);
    differs("other-vmm", "the VMM", vmm_of(pair.first), vmm_of(pair.other));
    differs("other-vms", "the number of VMs", vms_of(pair.first), vms_of(pair.other));
    differs("other-vcpus", "the number of vCPUs", vcpus_of(pair.first), vcpus_of(pair.other));
    differs("other-memory", "the guest's memory", memory_of(pair.first), memory_of(pair.other));
    differs("other-command", "the command", fmt::format("{}", fmt::join(pair.first.command, " ")),
            fmt::format("{}", fmt::join(pair.other.command, " ")));
    differs("other-exittop", "exittop's version", pair.first.version, pair.other.version);
    check_parameters(warnings, pair);
    check_length(warnings, pair, basis);
    check_cumulative(warnings, pair);
}

// ---- One run alone

// Whether the modules' parameters or the label say that it ran without TDP.
bool is_called_shadow(const Run& run) {
    for (const Snapshot& snapshot : run.repeats) {
        if (snapshot.host.paging == Paging::shadow) return true;
    }
    for (const std::string_view word : {"shadow", "ept=0", "ept=N", "ept=n", "npt=0"}) {
        if (run.label.contains(word)) return true;
    }
    return false;
}

void check_paging(std::vector<Warning>& warnings, const Run& run) {
    if (!is_called_shadow(run)) return;
    std::vector<std::string> faults;
    for (const auto& [reason, count] : counts_of(run)) {
        const auto& [isa, code] = reason;
        if (!is_tdp_fault(isa, code)) continue;
        faults.push_back(
            fmt::format("{} {} exits", group_digits(count), exit_reason_name(isa, code)));
    }
    const std::string measured = paging_of(run);
    if (faults.empty() && (measured.empty() || measured == "shadow")) return;
    const std::string evidence =
        faults.empty() ? "its VMs used " + measured : fmt::format("{}", fmt::join(faults, ", "));
    warnings.push_back({"paging-not-effective",
                        fmt::format("{} is called a run with shadow paging but is none: {}; ept=0 "
                                    "(npt=0) never took effect or the counters held an earlier run",
                                    name_of(run), evidence)});
}

void check_losses(std::vector<Warning>& warnings, const Run& run) {
    std::uint64_t lost = 0;
    for (const Snapshot& snapshot : run.repeats) {
        lost = saturating_add(lost, lost_total(snapshot.lost));
    }
    if (lost == 0) return;
    warnings.push_back({"lost-events", fmt::format("{} is incomplete: {} lost", name_of(run),
                                                   print_number_of(lost, "event"))});
}

void check_emptiness(std::vector<Warning>& warnings, const Run& run) {
    if (!counts_of(run).empty()) return;
    warnings.push_back({"no-exits", fmt::format("{} has no exits at all", name_of(run))});
}

}  // namespace

std::vector<Fact> run_facts(const Run& run) {
    const Snapshot& first = run.repeats.front();
    std::vector<Fact> facts = {
        {"host", first.host.name},
        {"CPU", first.host.cpu},
        {"kernel", first.host.kernel},
        {"paging", paging_of(run)},
        {"VMs", vms_of(run)},
        {"vCPUs", vcpus_of(run)},
        {"memory", memory_of(run)},
        {"VMM", vmm_of(run)},
        {"command", fmt::format("{}", fmt::join(run.command, " "))},
        {"started", run.started_at},
        {"ended", first.taken_at},
        {"length", length_of(run)},
        {"repetitions", run.repeats.size() > 1 ? fmt::format("{}", run.repeats.size()) : ""},
        {"recorded by", run.version.empty() ? "" : "exittop " + run.version},
        {"imported from", run.imported_from},
        {"note", run.note},
    };
    return facts;
}

std::vector<Warning> comparability_warnings(std::span<const Run> runs, Basis basis) {
    std::vector<Warning> warnings;
    for (const Run& run : runs) {
        check_emptiness(warnings, run);
        check_paging(warnings, run);
        check_losses(warnings, run);
    }
    for (std::size_t i = 1; i < runs.size(); ++i) {
        check_pair(warnings, {runs.front(), runs[i]}, basis);
    }
    return warnings;
}

}  // namespace exittop
