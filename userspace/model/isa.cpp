// SPDX-License-Identifier: GPL-2.0-only
#include "model/isa.h"

#include <algorithm>

#include <fmt/format.h>

namespace exittop {

namespace {

constexpr std::array paging_names = {"unknown", "ept", "npt", "shadow"};  // In the order of Paging.

template <typename T>
const IsaFacts* find(const T& wanted, auto member) {
    const auto found = std::ranges::find(isas, wanted, member);
    return found != isas.end() ? &*found : nullptr;
}

}  // namespace

const IsaFacts* find_isa(Isa isa) { return find(isa, &IsaFacts::isa); }

const IsaFacts* find_isa(std::string_view name) { return find(name, &IsaFacts::name); }

const IsaFacts* find_isa_of_module(std::string_view module) {
    return find(module, &IsaFacts::module);
}

std::string isa_name(Isa isa) {
    if (const IsaFacts* facts = find_isa(isa)) return std::string(facts->name);
    return fmt::format("{}", static_cast<std::uint32_t>(isa));
}

std::string paging_name(Paging paging) { return paging_names[static_cast<std::size_t>(paging)]; }

std::optional<Paging> find_paging(std::string_view name) {
    const auto* found = std::ranges::find(paging_names, name);
    if (found == paging_names.end()) return std::nullopt;
    return static_cast<Paging>(found - paging_names.begin());
}

std::string nested_paging_parameter(const IsaFacts& facts) {
    return fmt::format("{}.{}", facts.module, paging_name(facts.nested_paging));
}

}  // namespace exittop
