// SPDX-License-Identifier: GPL-2.0-only
// What went wrong, in one line, and the status that the process ends with.
#pragma once

#include <expected>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace exittop {

/// Exit statuses, a contract with scripts (README, exittop(8)).
enum class ExitStatus : int {
    done = 0,
    failed = 1,    ///< It failed at run time.
    usage = 2,     ///< The command line is wrong.
    lacking = 77,  ///< The host lacks something: no KVM, no BTF, no privilege.
};

struct Error {
    ExitStatus status = ExitStatus::failed;
    std::string text;  ///< What failed, on what, what to do; no newline.
};

/// What a function returns that failed, or that the host lacks something for.
template <typename... Values>
std::unexpected<Error> failed(fmt::format_string<Values...> text, Values&&... values) {
    return std::unexpected(
        Error{ExitStatus::failed, fmt::format(text, std::forward<Values>(values)...)});
}
template <typename... Values>
std::unexpected<Error> lacking(fmt::format_string<Values...> text, Values&&... values) {
    return std::unexpected(
        Error{ExitStatus::lacking, fmt::format(text, std::forward<Values>(values)...)});
}

}  // namespace exittop
