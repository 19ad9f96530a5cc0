// SPDX-License-Identifier: GPL-2.0-only
// `exittop check`: what this host offers, what is missing, what to do about it.
#pragma once

#include <expected>
#include <string>
#include <vector>

#include "base/error.h"
#include "system/host.h"

namespace exittop {

enum class Finding { ok, note, missing };

/// One line of the report.
struct CheckLine {
    Finding finding;
    std::string subject;
    std::string text;  ///< What was found; for what is missing also what to do.
};

/// Everything that counting needs and that can be checked without counting. If all items are ok or
/// note, it can count.
std::vector<CheckLine> check_host(const Host& host);

/// The first thing missing, as the error that stops a command. A missing vendor module is not an
/// error, because it may be loaded later.
std::expected<void, Error> require_host(const Host& host);

/// Whether this process may load BPF programs (root, or CAP_BPF with CAP_PERFMON).
bool may_load_bpf();

std::string check_text(const std::vector<CheckLine>& lines);

}  // namespace exittop
