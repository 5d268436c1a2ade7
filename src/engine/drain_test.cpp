// A stop of guests that serve by sockets of their own.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "base/sanitizer_testing.h"
#include "base/text.h"
#include "engine/testing.h"

namespace skiff::engine {
namespace {

using testing::Agent;
using testing::KeeperProcess;
using testing::plain_grant;

// A guest of WASI 0.2 that serves by a socket of its own; returns its port.
std::uint16_t start_listener(Agent& agent, const std::string& id, std::uint64_t drain_ms) {
    auto grant = plain_grant({"sockets", "tcp-listen", "0", "1"});
    grant.network.mode = wire::NetMode::host;
    grant.syscalls = wire::SyscallProfile::command_network;
    wire::Start header;
    header.drain_ms = drain_ms;
    agent.start(id, "sockets", grant, header);
    agent.expect<wire::Started>();
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (std::chrono::steady_clock::now() < deadline) {
        const std::string said = agent.log_of(id);
        if (said.ends_with('\n')) {
            return static_cast<std::uint16_t>(
                parse_uint(trim(said.substr(said.rfind(':') + 1))).value_or(0));
        }
    }
    return 0;
}

TEST(Drain, LetsAGuestThatListensGoOn) {
    SKIFF_NOT_UNDER_THREAD_SANITIZER("the keeper's runners are in cages");
    KeeperProcess keeper;
    Agent agent(keeper);
    const auto port = start_listener(agent, "a", 60'000);
    ASSERT_NE(port, 0);
    EXPECT_EQ(agent.page_of("a").counters.listens, 1U);
    agent.send(wire::Stop{"a", 60'000});
    // It serves still, and ends by itself then.
    const os::Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in to{AF_INET, htons(port), {htonl(INADDR_LOOPBACK)}, {}};
    ASSERT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    ASSERT_EQ(::send(client.get(), "hello", 5, 0), 5);
    ::shutdown(client.get(), SHUT_WR);
    char echo[5] = {};
    EXPECT_EQ(::recv(client.get(), echo, sizeof echo, MSG_WAITALL), 5);
    EXPECT_EQ(agent.expect<wire::Exited>().kind, wire::ExitKind::exited) << agent.log_of("a");

    // Without clients it is stopped at the end of that time.
    ASSERT_NE(start_listener(agent, "b", 50), 0);
    agent.send(wire::Stop{"b", 60'000});
    const auto exited = agent.expect<wire::Exited>();
    EXPECT_EQ(exited.kind, wire::ExitKind::stopped);
    EXPECT_EQ(exited.exit_code, 143);
}

}  // namespace
}  // namespace skiff::engine
