// What a service manager hears, at a socket of the test's own.
#include "app/service_watch.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <vector>

#include "async/scope.h"

namespace skiff::app {
namespace {

class ServiceWatchTest : public ::testing::Test {
protected:
    ServiceWatchTest() {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
        EXPECT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
    }
    ~ServiceWatchTest() override {
        for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) {
            ::unsetenv(name);
        }
        ::close(fd);
        ::unlink(path.c_str());
    }
    // What it was told since the last call.
    std::vector<std::string> heard() {
        std::vector<std::string> all;
        std::array<char, 1024> text{};
        ssize_t size = 0;
        while ((size = ::recv(fd, text.data(), text.size(), MSG_DONTWAIT)) > 0) {
            all.emplace_back(text.data(), static_cast<std::size_t>(size));
        }
        return all;
    }
    ServiceWatch watch() {
        auto link = node::ServiceLink::from_environment();
        EXPECT_TRUE(link);
        return ServiceWatch(*link, {[this] { return health; }, [this] { return status; }});
    }

    std::string path = ::testing::TempDir() + fmt::format("skiff-notify-{}.sock", ::getpid());
    int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    Result<void> health;
    std::string status = "2 pods";
    using Heard = std::vector<std::string>;
};

TEST_F(ServiceWatchTest, TellsThatTheNodeIsReadyAndThatItStops) {
    ServiceWatch its = watch();
    its.ready();
    EXPECT_EQ(heard(), Heard{"STATUS=2 pods\nREADY=1"});
    its.beat();
    EXPECT_EQ(heard(), Heard{}) << "nobody wants a sign of life, and nothing has changed";
    status = "3 pods\nREADY=0";
    its.beat();
    EXPECT_EQ(heard(), Heard{"STATUS=3 pods"});
    its.stopping();
    EXPECT_EQ(heard(), Heard{"STATUS=stopping\nSTOPPING=1"});
}

TEST_F(ServiceWatchTest, GivesNoSignOfLifeWhileTheSyncLoopStandsStill) {
    ::setenv("WATCHDOG_USEC", "30000000", 1);
    ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
    ServiceWatch its = watch();
    its.ready();
    its.beat();
    EXPECT_EQ(heard(), (Heard{"STATUS=2 pods\nREADY=1", "WATCHDOG=1"}));
    health = fail(Code::unavailable, "the pods' loop stands still");
    its.beat();
    its.beat();
    EXPECT_EQ(heard(), Heard{"STATUS=the pods' loop stands still"});
    health = {};
    its.beat();
    EXPECT_EQ(heard(), Heard{"STATUS=2 pods\nWATCHDOG=1"});
}

TEST_F(ServiceWatchTest, LeavesTheWatchdogOfAnotherProcessAlone) {
    ::setenv("WATCHDOG_USEC", "30000000", 1);
    ::setenv("WATCHDOG_PID", "1", 1);
    auto link = node::ServiceLink::from_environment();
    ASSERT_TRUE(link);
    EXPECT_FALSE(link->watchdog());
}

TEST_F(ServiceWatchTest, RefusesAWatchdogThatCannotBeKept) {
    for (const char* micros : {"1000000", "5", "soon", "-1"}) {
        ::setenv("WATCHDOG_USEC", micros, 1);
        EXPECT_FALSE(node::ServiceLink::from_environment()) << micros;
    }
}

TEST_F(ServiceWatchTest, IsQuietWhereNobodyListens) {
    ::unsetenv("NOTIFY_SOCKET");
    ServiceWatch its = watch();
    its.ready();
    its.beat();
    EXPECT_EQ(heard(), Heard{});
    async::Reactor reactor;
    async::run_to_end(reactor, its.run());  // it ends
}

}  // namespace
}  // namespace skiff::app
