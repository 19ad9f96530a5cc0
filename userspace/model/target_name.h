// SPDX-License-Identifier: GPL-2.0-only
// What people call a target: IA32_TSC_DEADLINE, ACPI PM timer. And which targets a reason can have.
// The names are in target_table_*.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/isa.h"

namespace exittop {

/// What the exits of a reason are about. `none`: nothing but where the guest was.
enum class TargetKind : std::uint8_t {
    none,
    msr,
    port,
    address,
    control_register,
    debug_register,
    exception,
    vector,
    leaf,
    hypercall,
    apic_register,
    ghcb_code,
};

/// Of a full exit code; `none` of unknown ones, too.
TargetKind target_kind(Isa isa, std::uint32_t exit_code);

/// For people "MSRs", "I/O ports", and of `none` "the guest's RIP, with --targets rip"; for
/// programs "msr", "port", "rip".
std::string_view target_kind_title(TargetKind kind);
std::string_view target_kind_key(TargetKind kind);

/// The name of a target by its text (target.h), as a reason has it: MSRs and addresses have the
/// same texts. "IA32_TSC_DEADLINE" of "0x6e0 write" or "0x6e0". Empty: it has no name, or the text
/// is no target as target.h writes it; it may be hostile. The name stays valid.
std::string_view target_name(Isa isa, std::uint32_t exit_code, std::string_view target);

/// "0x6e0", without the access; "port 0x3f8-0x3ff" if they all have the same name.
struct KnownTarget {
    std::string target;
    std::string_view name;
};

/// All targets of a reason that have a name, ascending by number.
std::vector<KnownTarget> known_targets(Isa isa, std::uint32_t exit_code);

}  // namespace exittop
