// SPDX-License-Identifier: GPL-2.0-only
// Looks exit reasons up by code and by name; the rows are in reason_table_vmx.cpp and
// reason_table_svm.cpp.
#include "model/exit_reason.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/number.h"
#include "base/text.h"
#include "model/reason_tables.h"

namespace exittop {
namespace {

constexpr std::uint32_t vmx_basic_mask = 0xffff;

/// What VMX may set above the basic reason (SDM vol. 3, table of the exit-reason field).
struct ExitFlag {
    std::uint32_t bit;
    std::string_view name;
};

// The kernel prints the last one as FAILED_VMENTRY and the others as numbers.
constexpr auto vmx_flags = std::to_array<ExitFlag>({
    {1U << 25, "SHADOW_STACK_BUSY"},
    {1U << 26, "BUS_LOCKED"},
    {1U << 27, "ENCLAVE_MODE"},
    {1U << 28, "PENDING_MTF"},
    {1U << 29, "FROM_VMX_ROOT"},
    {1U << 31, "FAILED_VMENTRY"},
});

/// Case does not count, and "idle_halt" may stand for "idle-halt", "pf_excp" for "PF excp".
constexpr char folded(char c) { return c == ' ' || c == '-' ? '_' : lower_case(c); }

bool same_name(std::string_view left, std::string_view right) {
    return std::ranges::equal(left, right, {}, folded, folded);
}

/// Decimal, or hexadecimal after 0x.
std::optional<std::uint32_t> parse_exit_code(std::string_view text) {
    if (text.starts_with("0x") || text.starts_with("0X")) {
        return parse_number<std::uint32_t>(text.substr(2), 16);
    }
    return parse_number<std::uint32_t>(text);
}

std::optional<std::uint32_t> flag_by_name(std::string_view name) {
    const auto flag = std::ranges::find_if(
        vmx_flags, [&](const ExitFlag& candidate) { return same_name(candidate.name, name); });
    if (flag != vmx_flags.end()) {
        return flag->bit;
    }
    return parse_exit_code(name);
}

std::string flag_suffix(std::uint32_t flags) {
    std::string suffix;
    for (const ExitFlag& flag : vmx_flags) {
        if ((flags & flag.bit) != 0) {
            suffix += fmt::format("|{}", flag.name);
            flags &= ~flag.bit;
        }
    }
    if (flags != 0) {
        suffix += fmt::format("|{:#x}", flags);
    }
    return suffix;
}

}  // namespace

std::span<const ExitReason> exit_reasons(Isa isa) {
    switch (isa) {
        case Isa::vmx: return vmx_reasons();
        case Isa::svm: return svm_reasons();
        case Isa::unknown: break;
    }
    return {};
}

std::uint32_t basic_exit_code(Isa isa, std::uint32_t code) {
    return isa == Isa::vmx ? code & vmx_basic_mask : code;
}

const ExitReason* find_exit_reason(Isa isa, std::uint32_t code) {
    const auto reasons = exit_reasons(isa);
    const auto wanted = basic_exit_code(isa, code);
    const auto row = std::ranges::lower_bound(reasons, wanted, {}, &ExitReason::code);
    return row != reasons.end() && row->code == wanted ? &*row : nullptr;
}

std::string exit_reason_name(Isa isa, std::uint32_t code) {
    const ExitReason* reason = find_exit_reason(isa, code);
    if (reason == nullptr) {
        return fmt::format("{:#x}", code);
    }
    return std::string(reason->name) + flag_suffix(code & ~basic_exit_code(isa, code));
}

std::optional<std::uint32_t> exit_code_by_name(Isa isa, std::string_view name) {
    std::size_t bar = name.find('|');
    const auto basic_name = name.substr(0, bar);
    const auto reasons = exit_reasons(isa);
    const auto row = std::ranges::find_if(
        reasons, [&](const ExitReason& reason) { return same_name(reason.name, basic_name); });
    auto code = row != reasons.end() ? std::optional{row->code} : parse_exit_code(basic_name);
    while (code && bar != std::string_view::npos) {
        name.remove_prefix(bar + 1);
        bar = name.find('|');
        const auto flag = flag_by_name(name.substr(0, bar));
        if (isa != Isa::vmx || !flag || (*flag & vmx_basic_mask) != 0) return std::nullopt;
        *code |= *flag;
    }
    return code;
}

}  // namespace exittop
