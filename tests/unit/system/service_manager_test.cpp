// SPDX-License-Identifier: GPL-2.0-only
// What systemd would hear, on a socket in its place.
#include "system/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace exittop {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class ServiceManagerTest : public testing::Test {
protected:
    ServiceManagerTest() {
        // An abstract address: no file to remove.
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        name_ = "exittop-notify-" + std::to_string(getpid());
        std::memcpy(address.sun_path + 1, name_.data(), name_.size());
        const auto size = offsetof(sockaddr_un, sun_path) + 1 + name_.size();
        socket_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        EXPECT_EQ(
            bind(socket_, reinterpret_cast<sockaddr*>(&address), static_cast<socklen_t>(size)), 0);
        setenv("NOTIFY_SOCKET", ("@" + name_).c_str(), 1);
    }
    ~ServiceManagerTest() override {
        close(socket_);
        for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) unsetenv(name);
    }

    std::vector<std::string> heard() const {
        std::vector<std::string> messages;
        std::string buffer(4096, '\0');
        for (ssize_t size = 0; (size = recv(socket_, buffer.data(), buffer.size(), 0)) > 0;) {
            messages.push_back(buffer.substr(0, static_cast<std::size_t>(size)));
        }
        return messages;
    }

    std::string name_;
    int socket_ = -1;
};

TEST_F(ServiceManagerTest, HearsOfReadinessAndTheEnd) {
    ServiceManager manager;
    manager.report("exporting 3 VMs");
    manager.stopping();
    EXPECT_THAT(heard(), ElementsAre("READY=1\nSTATUS=exporting 3 VMs", "STOPPING=1"));
}

TEST_F(ServiceManagerTest, WithoutAWatchdogNoSignsOfLife) {
    ServiceManager manager;
    manager.alive();
    EXPECT_THAT(heard(), IsEmpty());
}

TEST_F(ServiceManagerTest, ASignOfLifeAtMostThriceWithinTheLimit) {
    setenv("WATCHDOG_USEC", "150000", 1);
    setenv("WATCHDOG_PID", std::to_string(getpid()).c_str(), 1);
    ServiceManager manager;
    manager.alive();
    manager.alive();
    EXPECT_THAT(heard(), ElementsAre("WATCHDOG=1"));
    usleep(60'000);
    manager.alive();
    manager.alive();
    EXPECT_THAT(heard(), ElementsAre("WATCHDOG=1"));
}

TEST_F(ServiceManagerTest, AnotherProcessIsWatched) {
    setenv("WATCHDOG_USEC", "150000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    ServiceManager manager;
    manager.alive();
    EXPECT_THAT(heard(), IsEmpty());
}

TEST_F(ServiceManagerTest, NothingIsSentWhereNobodyAskedForIt) {
    unsetenv("NOTIFY_SOCKET");
    ServiceManager manager;
    manager.report("x");
    manager.alive();
    manager.stopping();
    EXPECT_THAT(heard(), IsEmpty());
}

}  // namespace
}  // namespace exittop
