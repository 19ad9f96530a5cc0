// SPDX-License-Identifier: GPL-2.0-only
// A command that runs while exittop counts, and the signals that end the counting.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <expected>
#include <optional>
#include <span>
#include <string>

#include "error.h"

namespace exittop {

/// Holds back SIGINT, SIGTERM, SIGHUP and SIGCHLD from its construction on; wait() takes them.
/// Those that exittop was started to ignore (nohup) stay ignored.
class Signals {
public:
    Signals();
    /// The next signal, or nothing after `timeout`.
    std::optional<int> wait(std::chrono::milliseconds timeout);

private:
    sigset_t held_;
};

/// The running child process, found on PATH. Ended with SIGTERM if it still runs at destruction.
class Workload {
public:
    static std::expected<Workload, Error> start(std::span<const std::string> arguments);
    Workload(Workload&& other) noexcept;
    Workload& operator=(Workload&&) = delete;
    ~Workload();

    /// Its exit status as a shell gives it (128 + signal), or nothing while it runs.
    std::optional<int> exit_status();
    /// Passes a signal on; does nothing once it has ended.
    void signal(int number) const;

private:
    explicit Workload(pid_t pid) : pid_(pid) {}
    pid_t pid_;
};

}  // namespace exittop
