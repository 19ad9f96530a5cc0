// SPDX-License-Identifier: GPL-2.0-only
// The tables of what people call targets, for target_name.cpp alone: everyone else asks through
// target_name.h.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>

namespace exittop {

/// Numbers and what people call them: one number, `count` numbers with one name, or, where the name
/// has a "{}", a series of `count` names, each `step` after the one before it; "{}" is 0, 1, 2 ...
struct NameRow {
    std::uint64_t first;
    std::string_view name;
    std::uint64_t count = 1;
    std::uint64_t step = 1;
};

std::span<const NameRow> intel_msrs();      ///< And those that AMD's CPUs share.
std::span<const NameRow> synthetic_msrs();  ///< Of hypervisors.
std::span<const NameRow> amd_msrs();
std::span<const NameRow> ports();
std::span<const NameRow> apic_registers();     ///< By their offset in the APIC's page.
std::span<const NameRow> device_registers();   ///< By guest-physical address,
std::span<const NameRow> device_addresses();   ///< and the areas around them.
std::span<const NameRow> control_registers();  ///< By their number.
std::span<const NameRow> debug_registers();
std::span<const NameRow> exceptions();  ///< By their vector.
std::span<const NameRow> cpuid_leaves();
std::span<const NameRow> kvm_hypercalls();
std::span<const NameRow> hyperv_hypercalls();
std::span<const NameRow> xen_hypercalls();
std::span<const NameRow> ghcb_codes();  ///< Those that are no exit codes of SVM.

/// Whether people find a number in a table where they look for it: ascending, no number twice (the
/// numbers of series may alternate), no empty name.
constexpr bool is_in_order(std::span<const NameRow> rows) {
    const auto out_of_order = [](const NameRow& left, const NameRow& right) {
        return left.first >= right.first;
    };
    const auto is_empty = [](const NameRow& row) {
        return row.name.empty() || row.count == 0 || row.step == 0;
    };
    return std::ranges::adjacent_find(rows, out_of_order) == rows.end() &&
           std::ranges::none_of(rows, is_empty);
}

}  // namespace exittop
