// SPDX-License-Identifier: GPL-2.0-only
// What libFuzzer calls with every input it makes up; a test calls it with the inputs that are kept.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
