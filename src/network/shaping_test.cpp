#include "network/shaping.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "network/bandwidth.h"
#include "network/egress_testing.h"

namespace skiff::network {
namespace {

constexpr std::size_t kBytes = 3'000'000;

// Bits a second of kBytes by TCP between the node and its pod. `to_pod`: the direction.
enum class Direction { to_pod, from_pod };
double rate(const std::filesystem::path& pod, Direction direction) {
    const os::Fd server = listen_in(pod, IpFamily::v4, 9000);
    const os::Fd client = make_socket(IpFamily::v4, SOCK_STREAM);
    auto address = socket_address(ip("10.1.2.7"), 9000);
    EXPECT_EQ(::connect(client.get(), address.get(), address.size), 0);
    const os::Fd accepted(::accept4(server.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const int from = direction == Direction::to_pod ? client.get() : accepted.get();
    const int to = direction == Direction::to_pod ? accepted.get() : client.get();
    const timeval patience = {30, 0};
    for (const int fd : {from, to}) {
        ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    }
    const auto began = std::chrono::steady_clock::now();
    std::thread sender([from] {
        const std::string piece(65536, 'x');
        for (std::size_t sent = 0; sent < kBytes;) {
            const auto did =
                ::send(from, piece.data(), std::min(piece.size(), kBytes - sent), MSG_NOSIGNAL);
            if (did <= 0) {
                return;
            }
            sent += static_cast<std::size_t>(did);
        }
    });
    std::string room(65536, '\0');
    std::size_t got = 0;
    while (got < kBytes) {
        const auto did = ::recv(to, room.data(), room.size(), 0);
        if (did <= 0) {
            break;
        }
        got += static_cast<std::size_t>(did);
    }
    sender.join();
    EXPECT_EQ(got, kBytes);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    return static_cast<double>(kBytes) * 8 / took.count();
}

class ShapingTest : public ::testing::TestWithParam<Direction> {};

TEST_P(ShapingTest, HoldsAPodToItsRate) {
    SKIFF_NEEDS_ROOT();
    as_a_node([] {
        const TestFolder folder;
        const auto pod = make_test_pod(folder);
        const WireSettings settings{"0a1b2c3d", folder.path(), WireSettings::NodeEnd::bare};
        add_test_addresses();
        auto wire = find_wire(settings, 7);
        ASSERT_TRUE(wire);
        constexpr std::uint64_t kRate = 20'000'000;
        const bool to_pod = GetParam() == Direction::to_pod;
        // Twice, as after a start of the agent; first with another rate.
        for (const std::uint64_t bits : {std::uint64_t{1'000'000'000'000'000}, kRate}) {
            auto done = apply_bandwidth(*wire, {to_pod ? bits : 0, to_pod ? 0 : bits});
            ASSERT_TRUE(done) << done.error().message;
            if (bits != kRate) {
                EXPECT_GT(rate(pod, GetParam()), 2.0 * kRate) << "as good as none";
            }
        }
        // What may go at once is beyond the rate.
        constexpr double kBurstBits = 256 * 1024 * 8;
        const double seen = rate(pod, GetParam());
        EXPECT_LT(seen, kRate * (1 + kBurstBits / (kBytes * 8 - kBurstBits)) * 1.1);
        EXPECT_GT(seen, kRate / 2.0);
        EXPECT_GT(rate(pod, to_pod ? Direction::from_pod : Direction::to_pod), 2.0 * kRate)
            << "the other direction";
        EXPECT_TRUE(remove_wire(settings, 7));
    });
}

INSTANTIATE_TEST_SUITE_P(BothWays, ShapingTest,
                         ::testing::Values(Direction::to_pod, Direction::from_pod));

}  // namespace
}  // namespace skiff::network
