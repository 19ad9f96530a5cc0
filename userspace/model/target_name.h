// SPDX-License-Identifier: GPL-2.0-only
// What people call a target. A stand-in until there are tables of names: it knows none.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "model/isa.h"

namespace exittop {

/// "IA32_TSC_DEADLINE" of "0x6e0 write"; empty: it has no name.
inline std::string target_name(Isa, std::uint32_t, std::string_view) { return {}; }

}  // namespace exittop
