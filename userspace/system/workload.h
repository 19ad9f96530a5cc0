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
#include <vector>

#include "base/error.h"

namespace exittop {

/// Blocks SIGINT, SIGTERM, SIGHUP and SIGCHLD from its construction on; wait() receives them.
/// Signals that were ignored when exittop was started (nohup) stay ignored.
class Signals {
public:
    Signals();
    /// The next signal, or nothing after `timeout`.
    std::optional<int> wait(std::chrono::milliseconds timeout);

private:
    sigset_t held_;
};

/// As exec and spawn take them, ended by a null pointer; valid as long as the arguments.
std::vector<char*> argument_pointers(std::span<const std::string> arguments);

/// The time that a command has to end by itself before it is killed.
inline constexpr std::chrono::milliseconds end_grace{5000};

/// The running child process, found on PATH. If it still runs at destruction, it is ended as by
/// end().
class Workload {
public:
    static std::expected<Workload, Error> start(std::span<const std::string> arguments,
                                                std::chrono::milliseconds grace = end_grace);
    Workload(Workload&& other) noexcept;
    Workload& operator=(Workload&&) = delete;
    ~Workload();

    /// Its exit status as a shell gives it (128 + signal), or nothing while it runs. Once it has to
    /// end, to be called repeatedly: kills it when its time is over.
    std::optional<int> exit_status();
    /// Ends it because exittop got that signal: with SIGTERM (SIGHUP after a SIGHUP), then, if it
    /// still runs after the grace, or at the next signal, with SIGKILL. If even that does not end
    /// it (it is another user's, or hangs in the kernel), it is left alone after the same time
    /// again. Only the command itself gets signals, not its children.
    void end(int number);

private:
    using Clock = std::chrono::steady_clock;
    enum class Stage { running, asked, killed, left };

    Workload(pid_t pid, std::chrono::milliseconds grace) : pid_(pid), grace_(grace) {}
    /// Stages: ask, kill, leave alone.
    void go_on(int number);

    pid_t pid_;
    std::chrono::milliseconds grace_;
    Stage stage_ = Stage::running;
    Clock::time_point since_{};  ///< When the stage began.
};

}  // namespace exittop
