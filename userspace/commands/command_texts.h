// SPDX-License-Identifier: GPL-2.0-only
// All commands and their help texts, including the examples.
#pragma once

#include <span>
#include <string>

#include "commands/options.h"

namespace exittop {

struct CommandText {
    CommandOptions (*options)();  ///< The command's options as they are unless told.
    const char* name;
    const char* summary;
    const char* usage;
    const char* examples;
};

/// All commands, in the order in which the help lists them.
std::span<const CommandText> command_texts();

/// "see 'exittop dump --help'", for the end of a message.
std::string help_hint(const CommandText& text);

}  // namespace exittop
