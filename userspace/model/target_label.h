// SPDX-License-Identifier: GPL-2.0-only
// Targets for people: with the name behind the number.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "model/isa.h"

namespace exittop {

/// "0x6e0 IA32_TSC_DEADLINE write", sanitised; as it is where it has no name or is a kind of page
/// fault: "#PF write user".
std::string labelled_target(Isa isa, std::uint32_t exit_code, std::string_view target);
/// The same with a given name; not sanitised.
std::string labelled_target(std::string_view target, std::string_view name);

}  // namespace exittop
