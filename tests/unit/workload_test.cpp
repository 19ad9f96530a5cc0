// SPDX-License-Identifier: GPL-2.0-only
// Real child processes, and the signals that are held back while they run.
#include "workload.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace exittop {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

/// Mask and dispositions as they were before; signals that a test left pending are taken.
class Workloads : public testing::Test {
protected:
    Workloads() {
        sigprocmask(SIG_SETMASK, nullptr, &mask_);
        for (std::size_t i = 0; i < numbers.size(); ++i) {
            sigaction(numbers[i], nullptr, &actions_[i]);
        }
    }
    ~Workloads() override {
        const timespec now{};
        sigset_t all;
        sigfillset(&all);
        while (sigtimedwait(&all, nullptr, &now) > 0) {
        }
        for (std::size_t i = 0; i < numbers.size(); ++i) {
            sigaction(numbers[i], &actions_[i], nullptr);
        }
        sigprocmask(SIG_SETMASK, &mask_, nullptr);
    }

    static constexpr std::array numbers = {SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGPIPE};

private:
    sigset_t mask_{};
    std::array<struct sigaction, numbers.size()> actions_{};
};

std::expected<Workload, Error> start(const std::vector<std::string>& arguments) {
    return Workload::start(arguments);
}

std::expected<Workload, Error> start_shell(const std::string& script) {
    return start({"sh", "-c", script});
}

/// Waits for the end of a child without taking its status away.
void wait_for_end() {
    siginfo_t info{};
    while (waitid(P_ALL, 0, &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
    }
}

int status_of(std::expected<Workload, Error> workload) {
    EXPECT_TRUE(workload) << workload.error().text;
    wait_for_end();
    return workload->exit_status().value_or(-1);
}

bool is_blocked(int number) {
    sigset_t mask;
    sigprocmask(SIG_SETMASK, nullptr, &mask);
    return sigismember(&mask, number) == 1;
}

TEST_F(Workloads, EndWithTheStatusOfTheirCommand) {
    EXPECT_EQ(status_of(start({"true"})), 0);
    EXPECT_EQ(status_of(start({"false"})), 1);
    EXPECT_EQ(status_of(start_shell("exit 77")), 77);
    EXPECT_EQ(status_of(start_shell("exit 255")), 255);
}

TEST_F(Workloads, EndBySignalAsAShellSaysIt) {
    EXPECT_EQ(status_of(start_shell("kill -9 $$")), 128 + 9);
    EXPECT_EQ(status_of(start_shell("kill -TERM $$")), 128 + 15);
    EXPECT_EQ(status_of(start_shell("kill -PIPE $$")), 128 + 13);
}

TEST_F(Workloads, ArgumentsArriveAsTheyAre) {
    EXPECT_EQ(status_of(start({"test", "a  b\n$HOME", "=", "a  b\n$HOME"})), 0);
    EXPECT_EQ(status_of(start({"test", "", "=", ""})), 0);
}

TEST_F(Workloads, ACommandThatIsNotThereIsAnError) {
    for (const char* command : {"exittop-no-such-command", "/exittop/no/such", "/etc/passwd", ""}) {
        const auto workload = start({command});
        ASSERT_FALSE(workload) << command;
        EXPECT_THAT(workload.error().text, HasSubstr("cannot run '" + std::string(command) + "'"));
    }
}

TEST_F(Workloads, TheStatusIsGivenOnce) {
    auto workload = start({"true"});
    ASSERT_TRUE(workload);
    wait_for_end();
    EXPECT_EQ(workload->exit_status(), 0);
    EXPECT_EQ(workload->exit_status(), std::nullopt);
    workload->signal(SIGTERM);  // reaches nobody
}

TEST_F(Workloads, RunUntilTheyAreSignalled) {
    auto workload = start({"sleep", "1000"});
    ASSERT_TRUE(workload);
    EXPECT_EQ(workload->exit_status(), std::nullopt);
    workload->signal(SIGTERM);
    EXPECT_EQ(status_of(std::move(workload)), 128 + SIGTERM);
}

TEST_F(Workloads, AreEndedWithTheirOwner) {
    { const auto workload = start({"sleep", "1000"}); }
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD);
}

TEST_F(Workloads, AMovedOneHasOneOwner) {
    auto first = start({"sleep", "1000"});
    ASSERT_TRUE(first);
    Workload second(std::move(*first));
    EXPECT_EQ(first->exit_status(), std::nullopt);
    first->signal(SIGKILL);
    EXPECT_EQ(second.exit_status(), std::nullopt);
    second.signal(SIGKILL);
    wait_for_end();
    EXPECT_EQ(second.exit_status(), 128 + SIGKILL);
}

TEST_F(Workloads, GetTheSignalsUnblockedAndByDefault) {
    const Signals signals;
    ASSERT_TRUE(is_blocked(SIGTERM));
    // SIGTERM and SIGCHLD are neither blocked nor ignored, SIGPIPE is not ignored.
    EXPECT_EQ(status_of(start_shell("exec grep -qE '^SigBlk:\\s*0+$' /proc/self/status")), 0);
    EXPECT_EQ(status_of(start_shell("kill -TERM $$; sleep 1000")), 128 + SIGTERM);
    EXPECT_EQ(status_of(start_shell("kill -PIPE $$; sleep 1000")), 128 + SIGPIPE);
}

TEST_F(Workloads, OfANohupStayUntouchedByHangups) {
    std::signal(SIGHUP, SIG_IGN);
    const Signals signals;
    EXPECT_EQ(status_of(start_shell("kill -HUP $$; exit 3")), 3);
}

TEST_F(Workloads, SignalsAreHeldBackAndTaken) {
    Signals signals;
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
        EXPECT_TRUE(is_blocked(number));
        kill(getpid(), number);
        EXPECT_EQ(signals.wait(10s), number);
    }
    EXPECT_EQ(signals.wait(0ms), std::nullopt);
}

TEST_F(Workloads, IgnoredSignalsStayIgnored) {
    std::signal(SIGHUP, SIG_IGN);
    Signals signals;
    EXPECT_FALSE(is_blocked(SIGHUP));
    kill(getpid(), SIGHUP);
    EXPECT_EQ(signals.wait(0ms), std::nullopt);
}

TEST_F(Workloads, TheEndOfAChildIsASignal) {
    // The state that nohup and some init systems pass on: children would never be seen to end.
    std::signal(SIGCHLD, SIG_IGN);
    Signals signals;
    auto workload = start({"false"});
    ASSERT_TRUE(workload);
    EXPECT_EQ(signals.wait(60s), SIGCHLD);
    EXPECT_EQ(workload->exit_status(), 1);
}

TEST_F(Workloads, AClosedPipeIsAnErrorOfTheWrite) {
    const Signals signals;
    std::array<int, 2> ends{};
    ASSERT_EQ(pipe(ends.data()), 0);
    close(ends[0]);
    EXPECT_EQ(write(ends[1], "x", 1), -1);
    EXPECT_EQ(errno, EPIPE);
    close(ends[1]);
}

// What the class promises to the process that it lives in: nothing is left behind.
TEST_F(Workloads, StartingLeavesTheOwnMaskAlone) {
    const Signals signals;
    sigset_t before;
    sigset_t after;
    sigprocmask(SIG_SETMASK, nullptr, &before);
    EXPECT_EQ(status_of(start({"true"})), 0);
    sigprocmask(SIG_SETMASK, nullptr, &after);
    for (int number = 1; number < SIGRTMAX; ++number) {
        EXPECT_EQ(sigismember(&before, number), sigismember(&after, number)) << number;
    }
}

}  // namespace
}  // namespace exittop
