// SPDX-License-Identifier: GPL-2.0-only
// Real child processes, and the signals that are blocked while they run.
#include "system/workload.h"

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
        while (sigtimedwait(&all, nullptr, &now) > 0) {}
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
    while (waitid(P_ALL, 0, &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {}
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
    workload->end(SIGTERM);  // reaches nobody
}

TEST_F(Workloads, RunUntilTheyAreSignalled) {
    auto workload = start({"sleep", "1000"});
    ASSERT_TRUE(workload);
    EXPECT_EQ(workload->exit_status(), std::nullopt);
    workload->end(SIGTERM);
    EXPECT_EQ(status_of(std::move(workload)), 128 + SIGTERM);
}

/// What it ends with; and how long that took from now on.
struct End {
    int status = -1;
    std::chrono::steady_clock::duration took{};
};

End await_end(Workload& workload) {
    const auto begin = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() - begin < 60s) {
        if (const auto status = workload.exit_status()) {
            return {*status, std::chrono::steady_clock::now() - begin};
        }
        usleep(1000);
    }
    return {};
}

/// One that ignores all signals that ask, and has begun to; `pid` becomes its own.
std::expected<Workload, Error> start_stubborn(std::chrono::milliseconds grace,
                                              pid_t* pid = nullptr) {
    std::array<int, 2> ends{};
    EXPECT_EQ(pipe(ends.data()), 0);
    const std::vector<std::string> arguments = {"sh", "-c",
                                                "trap '' INT TERM HUP; echo $$ >&" +
                                                    std::to_string(ends[1]) + "; exec sleep 1000"};
    auto workload = Workload::start(arguments, grace);
    std::array<char, 32> line{};
    EXPECT_GT(read(ends[0], line.data(), line.size() - 1), 1);
    if (pid != nullptr) *pid = static_cast<pid_t>(std::stol(line.data()));
    close(ends[0]);
    close(ends[1]);
    return workload;
}

TEST_F(Workloads, AreAskedToEndInTheWayThatExittopWas) {
    for (const auto& [asked, told] :
         {std::pair{SIGINT, SIGTERM}, std::pair{SIGTERM, SIGTERM}, std::pair{SIGHUP, SIGHUP}}) {
        auto workload = start({"sleep", "1000"});
        ASSERT_TRUE(workload);
        workload->end(asked);
        EXPECT_EQ(await_end(*workload).status, 128 + told);
    }
}

TEST_F(Workloads, MayEndInTheirOwnTime) {
    auto workload = start_shell("trap 'sleep 0.5; exit 3' TERM; while :; do sleep 0.05; done");
    ASSERT_TRUE(workload);
    usleep(300'000);
    workload->end(SIGINT);
    workload->end(SIGTERM);  // At once: an echo of the first.
    EXPECT_EQ(await_end(*workload).status, 3);
}

TEST_F(Workloads, AreKilledWhenTheirTimeIsOver) {
    auto workload = start_stubborn(300ms);
    ASSERT_TRUE(workload);
    workload->end(SIGTERM);
    const End end = await_end(*workload);
    EXPECT_EQ(end.status, 128 + SIGKILL);
    EXPECT_GE(end.took, 290ms);
}

TEST_F(Workloads, AreKilledAtTheSecondSignal) {
    auto workload = start_stubborn(1h);
    ASSERT_TRUE(workload);
    workload->end(SIGINT);
    usleep(300'000);
    EXPECT_EQ(workload->exit_status(), std::nullopt);
    workload->end(SIGINT);
    EXPECT_EQ(await_end(*workload).status, 128 + SIGKILL);
}

TEST_F(Workloads, ThatWereStoppedEnd) {
    auto workload = start_shell("kill -STOP $$; exec sleep 1000");
    ASSERT_TRUE(workload);
    siginfo_t info{};
    ASSERT_EQ(waitid(P_ALL, 0, &info, WSTOPPED | WNOWAIT), 0);
    workload->end(SIGTERM);
    EXPECT_EQ(await_end(*workload).status, 128 + SIGTERM);
}

TEST_F(Workloads, ThatCannotBeKilledAreLeft) {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    pid_t pid = -1;
    auto workload = start_stubborn(100ms, &pid);
    ASSERT_TRUE(workload);
    // As if the command were another user's.
    constexpr uid_t nobody = 65534;
    ASSERT_EQ(setresuid(nobody, nobody, 0), 0);
    workload->end(SIGTERM);
    const End end = await_end(*workload);
    ASSERT_EQ(setresuid(0, 0, 0), 0);
    EXPECT_EQ(end.status, 128 + SIGKILL);
    EXPECT_EQ(waitpid(pid, nullptr, WNOHANG), 0) << "it does not run";
    kill(pid, SIGKILL);
    EXPECT_EQ(waitpid(pid, nullptr, 0), pid);
}

TEST_F(Workloads, AreKilledWithTheirOwnerIfNeedBe) {
    {
        const auto workload = start_stubborn(100ms);
        ASSERT_TRUE(workload);
    }
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD);
}

TEST_F(Workloads, ASignalHastensTheirOwnersEnd) {
    const Signals signals;
    const auto begin = std::chrono::steady_clock::now();
    {
        const auto workload = start_stubborn(1h);
        ASSERT_TRUE(workload);
        if (fork() == 0) {
            usleep(400'000);
            kill(getppid(), SIGINT);
            _exit(0);
        }
    }
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 60s);
    while (waitpid(-1, nullptr, 0) > 0) {}
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
    first->end(SIGTERM);
    EXPECT_EQ(second.exit_status(), std::nullopt);
    second.end(SIGTERM);
    wait_for_end();
    EXPECT_EQ(second.exit_status(), 128 + SIGTERM);
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
