// SPDX-License-Identifier: GPL-2.0-only
#include "workload.h"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <utility>
#include <vector>

namespace exittop {

Signals::Signals() {
    sigemptyset(&held_);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
        struct sigaction now {};
        sigaction(number, nullptr, &now);
        if (now.sa_handler != SIG_IGN) sigaddset(&held_, number);
    }
    std::signal(SIGCHLD, SIG_DFL);
    sigaddset(&held_, SIGCHLD);
    sigprocmask(SIG_BLOCK, &held_, nullptr);
    // A reader that went away is an error of the write, not a silent death.
    std::signal(SIGPIPE, SIG_IGN);
}

std::optional<int> Signals::wait(std::chrono::milliseconds timeout) {
    const timespec limit{timeout.count() / 1000, (timeout.count() % 1000) * 1'000'000};
    const int number = sigtimedwait(&held_, nullptr, &limit);
    return number > 0 ? std::optional(number) : std::nullopt;
}

std::expected<Workload, Error> Workload::start(std::span<const std::string> arguments) {
    std::vector<char*> pointers;
    for (const std::string& argument : arguments) {
        pointers.push_back(const_cast<char*>(argument.c_str()));
    }
    pointers.push_back(nullptr);

    // The child gets the signals as exittop got them.
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t set;
    sigemptyset(&set);
    posix_spawnattr_setsigmask(&attributes, &set);
    sigaddset(&set, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes, &set);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    pid_t pid = -1;
    const int code =
        posix_spawnp(&pid, pointers[0], nullptr, &attributes, pointers.data(), environ);
    posix_spawnattr_destroy(&attributes);
    if (code != 0) {
        return std::unexpected(Error{ExitStatus::failed, fmt::format("cannot run '{}': {}",
                                                                     arguments[0],
                                                                     std::strerror(code))});
    }
    return Workload(pid);
}

Workload::Workload(Workload&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}

Workload::~Workload() {
    if (pid_ < 0) return;
    signal(SIGTERM);
    waitpid(pid_, nullptr, 0);
}

std::optional<int> Workload::exit_status() {
    int status = 0;
    if (pid_ < 0 || waitpid(pid_, &status, WNOHANG) != pid_) return std::nullopt;
    pid_ = -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void Workload::signal(int number) const {
    if (pid_ > 0) kill(pid_, number);
}

}  // namespace exittop
