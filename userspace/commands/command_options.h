// SPDX-License-Identifier: GPL-2.0-only
// The options of each command, read from its words.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "commands/command_texts.h"
#include "commands/options.h"

namespace exittop {

/// Sets the options that the words give; returns the words that are not options. Throws a
/// UsageError, or a ParseExit if help is requested.
std::vector<std::string> read_options(const CommandText& text,
                                      std::span<const char* const> arguments, Options& options);

}  // namespace exittop
