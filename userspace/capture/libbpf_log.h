// SPDX-License-Identifier: GPL-2.0-only
// What libbpf and the verifier say, kept for the errors of this process.
#pragma once

#include <string>

#include "base/error.h"

namespace exittop {

/// From now on all messages of libbpf and the verifier go to stderr, for the whole process, as
/// libbpf's own setting does.
void show_libbpf_log();
bool shows_libbpf_log();

/// Keeps the complaints of libbpf from now on, instead of having them printed.
void keep_complaints();
/// The next complaint is the first.
void forget_complaints();
/// An error of the kernel or libbpf (-errno): what failed, why, and what libbpf complained about
/// first.
Error kernel_error(const std::string& what, int code);

}  // namespace exittop
