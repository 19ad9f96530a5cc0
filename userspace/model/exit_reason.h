// SPDX-License-Identifier: GPL-2.0-only
// Every VM exit reason by number: its name as the kernel prints it, what it means, what causes it.
// The one table of exit names; it knows nothing of how exits are counted.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "model/isa.h"

namespace exittop {

/// One exit reason as documented by SDM (VMX basic exit reasons) or APM (SVM exit codes).
struct ExitReason {
    Isa isa;
    std::uint32_t code;
    std::string_view name;     ///< As the kernel prints it: "EPT_VIOLATION", "npf".
    std::string_view meaning;  ///< What the exit is and what causes it, one sentence.
    std::string_view advice;   ///< What an operator can do about it; empty where there is nothing.
};

/// All known reasons of one ISA in ascending order of code.
std::span<const ExitReason> exit_reasons(Isa isa);

/// The basic part of a code, which is what names it: VMX keeps flags above bit 15 (bit 31: a failed
/// entry; SDM vol. 3, 25.9.1), SVM has none.
std::uint32_t basic_exit_code(Isa isa, std::uint32_t code);

/// The table's row for a full exit code (flags are masked off), or nullptr if it is not known.
const ExitReason* find_exit_reason(Isa isa, std::uint32_t code);

/// Name for display of a full exit code: "CPUID", "npf"; flags are appended
/// ("INVALID_STATE|FAILED_VMENTRY"); an unknown one is its number in hex ("0x5f").
std::string exit_reason_name(Isa isa, std::uint32_t code);

/// The full code for a name as exit_reason_name gives it, case ignored, or for a number in decimal
/// or hex (0x), known or not; nothing for any other text.
std::optional<std::uint32_t> exit_code_by_name(Isa isa, std::string_view name);

}  // namespace exittop
