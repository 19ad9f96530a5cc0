// SPDX-License-Identifier: GPL-2.0-only
#include "system/workload.h"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <utility>

#include "system/files.h"

namespace exittop {
namespace {

using namespace std::chrono_literals;

/// How often a command that has to end is checked.
constexpr auto look_interval = 20ms;
/// Signals closer together than this count as one.
constexpr auto echo_time = 200ms;

/// The next signal of the set, or -1 after `timeout`.
int next_signal(const sigset_t& set, std::chrono::milliseconds timeout) {
    const timespec limit{timeout.count() / 1000, (timeout.count() % 1000) * 1'000'000};
    return sigtimedwait(&set, nullptr, &limit);
}

}  // namespace

std::vector<char*> argument_pointers(std::span<const std::string> arguments) {
    std::vector<char*> pointers;
    for (const std::string& argument : arguments) {
        pointers.push_back(const_cast<char*>(argument.c_str()));
    }
    pointers.push_back(nullptr);
    return pointers;
}

Signals::Signals() {
    sigemptyset(&held_);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
        struct sigaction now{};
        sigaction(number, nullptr, &now);
        if (now.sa_handler != SIG_IGN) sigaddset(&held_, number);
    }
    std::signal(SIGCHLD, SIG_DFL);
    sigaddset(&held_, SIGCHLD);
    sigprocmask(SIG_BLOCK, &held_, nullptr);
    // If a reader goes away, the write fails instead of a silent death by SIGPIPE.
    std::signal(SIGPIPE, SIG_IGN);
}

std::optional<int> Signals::wait(std::chrono::milliseconds timeout) {
    const int number = next_signal(held_, timeout);
    return number > 0 ? std::optional(number) : std::nullopt;
}

std::expected<Workload, Error> Workload::start(std::span<const std::string> arguments,
                                               std::chrono::milliseconds grace) {
    const std::vector<char*> pointers = argument_pointers(arguments);
    // The child gets the signal settings that exittop was started with.
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
    if (code != 0) return failed("cannot run '{}': {}", arguments[0], std::strerror(code));
    return Workload(pid, grace);
}

Workload::Workload(Workload&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), grace_(other.grace_), stage_(other.stage_),
      since_(other.since_) {}

Workload::~Workload() {
    if (pid_ < 0) return;
    if (stage_ == Stage::running) go_on(SIGTERM);
    sigset_t held;
    sigprocmask(SIG_SETMASK, nullptr, &held);
    while (!exit_status()) {
        const int number = next_signal(held, look_interval);
        if (number > 0 && number != SIGCHLD) end(number);
    }
}

std::optional<int> Workload::exit_status() {
    int status = 0;
    if (pid_ < 0) return std::nullopt;
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
        pid_ = -1;
        return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
    if (stage_ != Stage::running && Clock::now() - since_ >= grace_) {
        if (stage_ == Stage::asked) report("the command does not end; killing it");
        go_on(SIGKILL);
    }
    if (stage_ != Stage::left) return std::nullopt;
    report("the command cannot be killed; it is left running");
    pid_ = -1;
    return 128 + SIGKILL;
}

void Workload::end(int number) {
    // Some send a signal twice (timeout(1), a closing terminal): that counts as one.
    const bool is_echo = stage_ != Stage::running && Clock::now() - since_ < echo_time;
    if (pid_ > 0 && !is_echo) go_on(number == SIGHUP ? SIGHUP : SIGTERM);
}

void Workload::go_on(int number) {
    since_ = Clock::now();
    switch (stage_) {
        case Stage::running:
            stage_ = Stage::asked;
            kill(pid_, number);
            kill(pid_, SIGCONT);  // A stopped process handles no other signals.
            return;
        case Stage::asked: stage_ = kill(pid_, SIGKILL) == 0 ? Stage::killed : Stage::left; return;
        case Stage::killed: stage_ = Stage::left; return;
        case Stage::left: return;
    }
}

}  // namespace exittop
