// SPDX-License-Identifier: GPL-2.0-only
// Texts of targets, and sums over them.
#include "model/target.h"

#include <algorithm>
#include <array>
#include <functional>
#include <iterator>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "base/number.h"

namespace exittop {
namespace {

/// " write", or nothing where the access is unknown.
std::string_view suffix(TargetAccess access) {
    switch (access) {
        case TargetAccess::read: return " read";
        case TargetAccess::write: return " write";
        case TargetAccess::fetch: return " fetch";
        case TargetAccess::unknown: break;
    }
    return "";
}

TargetSum since(const TargetSum& later, const TargetSum& earlier) {
    return {saturating_subtract(later.count, earlier.count),
            saturating_subtract(later.time_ns, earlier.time_ns)};
}

auto place_of(auto& known, const std::string& target) {
    return std::ranges::lower_bound(known, target, {}, &TargetStats::target);
}

/// Of an ordered list.
void add_up_equal(std::vector<TargetStats>& known) {
    if (known.empty()) return;
    auto last = known.begin();
    for (auto one = std::next(last); one != known.end(); ++one) {
        if (one->target == last->target) {
            *last += *one;
        } else if (++last != one) {
            *last = std::move(*one);
        }
    }
    known.erase(std::next(last), known.end());
}

}  // namespace

std::string msr_target(std::uint32_t msr, TargetAccess access) {
    return fmt::format("{:#x}{}", msr, suffix(access));
}

std::string port_target(std::uint16_t port, bool out, unsigned size) {
    return fmt::format("port {:#x} {} {}", port, out ? "out" : "in", size);
}

std::string page_target(std::uint64_t address, TargetAccess access) {
    return fmt::format("page {:#x}{}", address, suffix(access));
}

std::string mmio_target(std::uint64_t address, TargetAccess access) {
    return fmt::format("{:#x}{}", address, suffix(access));
}

std::string register_target(std::string_view bank, unsigned number, std::string_view access) {
    return fmt::format("{}{} {}", bank, number, access);
}

std::string exception_target(std::uint8_t vector) {
    // SDM vol. 3, table 6-1; 28 to 30 are AMD's (APM vol. 2, table 8-1).
    constexpr std::array<std::string_view, 32> names = {
        "#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "",    "#TS",
        "#NP", "#SS", "#GP", "#PF", "",    "#MF", "#AC", "#MC", "#XM", "#VE", "#CP",
        "",    "",    "",    "",    "",    "",    "#HV", "#VC", "#SX", ""};
    if (vector >= names.size() || names[vector].empty()) return vector_target(vector);
    return std::string(names[vector]);
}

std::string page_fault_target(std::uint32_t error_code) {
    const auto has = [error_code](unsigned bit) { return (error_code >> bit & 1) != 0; };
    const TargetAccess access = has(4)   ? TargetAccess::fetch
                                : has(1) ? TargetAccess::write
                                         : TargetAccess::read;
    return fmt::format("#PF{} {}{}{}", suffix(access), has(2) ? "user" : "kernel",
                       has(0) ? " protection" : "", has(3) ? " reserved" : "");
}

std::string vector_target(std::uint8_t vector) { return fmt::format("vector {:#x}", vector); }

std::string leaf_target(std::uint32_t leaf) { return fmt::format("leaf {:#x}", leaf); }

std::string leaf_target(std::uint32_t leaf, std::uint32_t subleaf) {
    return fmt::format("leaf {:#x}.{}", leaf, subleaf);
}

std::string hypercall_target(std::string_view interface, std::uint64_t number) {
    // Microsoft's TLFS numbers calls in hex, Linux and Xen number theirs in decimal.
    if (interface == "hyperv") return fmt::format("hypercall hyperv {:#x}", number);
    return fmt::format("hypercall {} {}", interface, number);
}

std::string apic_target(std::uint32_t offset, TargetAccess access) {
    return fmt::format("apic {:#x}{}", offset, suffix(access));
}

std::string ghcb_target(std::uint32_t code) { return fmt::format("ghcb {:#x}", code); }

std::string rip_target(std::uint64_t address) { return fmt::format("rip {:#x}", address); }

TargetSum& TargetSum::operator+=(const TargetSum& other) {
    count = saturating_add(count, other.count);
    time_ns = saturating_add(time_ns, other.time_ns);
    return *this;
}

void Targets::add(std::string target, TargetSum sum) {
    auto place = place_of(known, target);
    if (place == known.end() || place->target != target) {
        place = known.insert(place, {{}, std::move(target)});
    }
    *place += sum;
}

void Targets::order() {
    std::ranges::sort(known, {}, &TargetStats::target);
    add_up_equal(known);
}

void Targets::fill_up(TargetSum all, std::string_view reason) {
    const TargetSum missing = since(all, sum_of(*this));
    if (missing.count == 0) return;
    unknown += missing;
    if (why.empty()) why = reason;
}

Targets& Targets::operator+=(const Targets& other_targets) {
    const auto size = std::ssize(known);
    known.insert(known.end(), other_targets.known.begin(), other_targets.known.end());
    std::ranges::inplace_merge(known, known.begin() + size, {}, &TargetStats::target);
    add_up_equal(known);
    other += other_targets.other;
    unknown += other_targets.unknown;
    if (why.empty()) why = other_targets.why;
    return *this;
}

TargetSum sum_of(const Targets& targets) {
    TargetSum sum = targets.other;
    sum += targets.unknown;
    for (const TargetStats& stats : targets.known) sum += stats;
    return sum;
}

bool can_be_of(const Targets& targets, std::uint64_t exits) {
    constexpr std::uint64_t most_vcpus = 4096;  // KVM_MAX_VCPUS
    return saturating_subtract(sum_of(targets).count, exits) <= most_vcpus;
}

Targets targets_since(const Targets& later, const Targets& earlier) {
    Targets result;
    TargetSum moved;  // To `other`, by targets that made room.
    for (const TargetStats& was : earlier.known) {
        const auto place = place_of(later.known, was.target);
        const bool stayed = place != later.known.end() && place->target == was.target &&
                            place->count >= was.count && place->time_ns >= was.time_ns;
        if (!stayed) moved += was;
    }
    for (const TargetStats& is : later.known) {
        const auto place = place_of(earlier.known, is.target);
        const bool stayed = place != earlier.known.end() && place->target == is.target &&
                            is.count >= place->count && is.time_ns >= place->time_ns;
        const TargetSum& all = is;
        const TargetSum sum = stayed ? since(is, *place) : all;
        if (sum.count > 0) result.known.push_back({sum, is.target});
    }
    moved += earlier.other;
    result.other = since(later.other, moved);
    result.unknown = since(later.unknown, earlier.unknown);
    if (result.unknown.count > 0) result.why = later.why;
    return result;
}

std::vector<TargetStats> dearest_first(const Targets& targets) {
    std::vector<TargetStats> sorted = targets.known;
    std::ranges::stable_sort(sorted, std::greater<>{}, [](const TargetStats& stats) {
        return std::tuple(stats.time_ns, stats.count);
    });
    return sorted;
}

}  // namespace exittop
