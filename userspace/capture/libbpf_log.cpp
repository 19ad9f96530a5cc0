// SPDX-License-Identifier: GPL-2.0-only
#include "capture/libbpf_log.h"

#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <exception>
#include <sstream>

namespace exittop {
namespace {

/// What libbpf complained about first: it becomes part of the error, if there is one.
std::string first_complaint;

bool shows_log = false;  ///< show_libbpf_log()

/// The line of the verifier's log that says why: the last one before its statistics. Other messages
/// are returned whole.
std::string last_verifier_line(const std::string& message) {
    std::istringstream lines(message.substr(0, message.find("\nprocessed ")));
    const bool verifier = message.find("\nprocessed ") != std::string::npos;
    std::string last;
    for (std::string line; std::getline(lines, line);) {
        const bool statistics =
            line.starts_with("verification time") || line.starts_with("stack depth");
        if (!line.empty() && !statistics) last = line;
    }
    return verifier ? "the verifier says: " + last : last;
}

/// Called by libbpf, which is C: an exception (bad_alloc) must not unwind through it.
int keep_complaint(libbpf_print_level level, const char* format, va_list arguments) noexcept try {
    if (level != LIBBPF_WARN && !shows_log) return 0;
    va_list again;
    va_copy(again, arguments);
    const int length = std::vsnprintf(nullptr, 0, format, arguments);
    std::string message(static_cast<std::size_t>(std::max(length, 0)), '\0');
    std::vsnprintf(message.data(), message.size() + 1, format, again);
    va_end(again);
    if (shows_log) std::fputs(message.c_str(), stderr);
    if (level != LIBBPF_WARN) return length;
    const bool verifier = message.find("\nprocessed ") != std::string::npos;
    if (first_complaint.empty() || verifier) first_complaint = last_verifier_line(message);
    return length;
} catch (const std::exception&) {
    return 0;
}

}  // namespace

void show_libbpf_log() { shows_log = true; }
bool shows_libbpf_log() { return shows_log; }

void keep_complaints() { libbpf_set_print(keep_complaint); }
void forget_complaints() { first_complaint.clear(); }

Error kernel_error(const std::string& what, int code) {
    if (code == -EPERM && geteuid() != 0) {
        return {ExitStatus::lacking,
                what + ": not permitted; run as root (or with CAP_BPF and CAP_PERFMON)"};
    }
    std::string text = fmt::format("{}: {}", what, std::strerror(-code));
    if (!first_complaint.empty()) text += fmt::format(" ({})", first_complaint);
    if (code != -EPERM) return {ExitStatus::failed, text};
    return {ExitStatus::lacking,
            text + ", though this is root: a container or a security module may forbid it"};
}

}  // namespace exittop
