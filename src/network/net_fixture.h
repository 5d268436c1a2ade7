// For tests: a node of one's own, in a network namespace that goes with the test.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "network/ip.h"
#include "network/namespaces.h"
#include "network/rtnetlink.h"
#include "network/socket_address.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/mount.h"

namespace skiff::network {

// Namespaces are root's to make.
#define SKIFF_NEEDS_ROOT()                                         \
    if (::geteuid() != 0) {                                        \
        GTEST_SKIP() << "network namespaces need root, run as it"; \
    }                                                              \
    static_assert(true)

// Runs `body` on a thread in a new network namespace with its loopback up.
inline void as_a_node(const std::function<void()>& body) {
    auto done = in_new_namespace([&]() -> Result<void> {
        SKIFF_TRY(Netlink netlink, Netlink::open());
        SKIFF_TRY(Link loopback, get_link(netlink, "lo"));
        NetlinkBatch batch;
        set_link_up(batch, loopback.index);
        SKIFF_CHECK(netlink.carry_out(batch));
        body();
        return {};
    });
    ASSERT_TRUE(done) << done.error().message;
}

// A folder that goes with the test, with all that is mounted in it.
class TestFolder {
public:
    TestFolder() {
        std::string name = (std::filesystem::temp_directory_path() / "skiff-net-XXXXXX").string();
        path_ = ::mkdtemp(name.data());
    }
    ~TestFolder() {
        (void)os::unmount_below(path_);
        (void)os::remove_tree(path_);
    }
    TestFolder(const TestFolder&) = delete;
    TestFolder& operator=(const TestFolder&) = delete;
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

inline IpAddress ip(std::string_view text) {
    auto address = IpAddress::parse(text);
    EXPECT_TRUE(address) << text;
    return address.value_or(IpAddress{});
}

inline IpRange range(std::string_view text) {
    auto parsed = IpRange::parse(text);
    EXPECT_TRUE(parsed) << text;
    return parsed.value_or(IpRange{});
}

inline IpAddress address_of(SocketAddress& socket) {
    IpAddress address;
    if (socket.storage.ss_family == AF_INET) {
        std::memcpy(address.bytes.data(), &reinterpret_cast<sockaddr_in&>(socket.storage).sin_addr,
                    4);
    } else {
        address.family = IpFamily::v6;
        std::memcpy(address.bytes.data(),
                    &reinterpret_cast<sockaddr_in6&>(socket.storage).sin6_addr, 16);
    }
    return address;
}

// Sockets belong to the namespace of the thread that makes them; waits are bounded.
inline os::Fd make_socket(IpFamily family, int type) {
    os::Fd fd(::socket(socket_family(family), type | SOCK_CLOEXEC, 0));
    const timeval patience = {3, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    const int on = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    return fd;
}

// Listens at `port` of every address of the thread's namespace.
inline os::Fd listen_at(IpFamily family, std::uint16_t port, int type = SOCK_STREAM) {
    os::Fd fd = make_socket(family, type);
    auto address = socket_address(IpAddress{family, {}}, port);
    EXPECT_EQ(::bind(fd.get(), address.get(), address.size), 0) << ::strerror(errno);
    if (type == SOCK_STREAM) {
        EXPECT_EQ(::listen(fd.get(), 16), 0) << ::strerror(errno);
    }
    return fd;
}

// In the namespace behind `pin`.
inline os::Fd listen_in(const std::filesystem::path& pin, IpFamily family, std::uint16_t port,
                        int type = SOCK_STREAM) {
    os::Fd listening;
    auto name_space = open_pinned(pin);
    EXPECT_TRUE(name_space);
    auto done = in_namespace(*name_space, [&]() -> Result<void> {
        listening = listen_at(family, port, type);
        return {};
    });
    EXPECT_TRUE(done);
    return listening;
}

// Connects from the thread's namespace to a server that listens, and sends a word each way. Returns
// whom the server sees, or what failed. `own`: where it connects from, if that matters.
inline Result<IpAddress> talk(const os::Fd& listening, const IpAddress& to, std::uint16_t port,
                              std::optional<SocketAddress> own = std::nullopt) {
    os::Fd client = make_socket(to.family, SOCK_STREAM);
    if (own && ::bind(client.get(), own->get(), own->size) != 0) {
        return fail_errno(errno, "bind");
    }
    auto address = socket_address(to, port);
    if (::connect(client.get(), address.get(), address.size) != 0) {
        return fail_errno(errno, "connect");
    }
    SocketAddress from;
    os::Fd server(::accept4(listening.get(), from.get(), &from.size, SOCK_CLOEXEC));
    if (!server) {
        return fail_errno(errno, "accept");
    }
    char byte = 0;
    for (const auto& [writes, reads] :
         {std::pair(client.get(), server.get()), std::pair(server.get(), client.get())}) {
        if (::write(writes, "x", 1) != 1 || ::recv(reads, &byte, 1, MSG_WAITALL) != 1) {
            return fail_errno(errno, "talk");
        }
    }
    return address_of(from);
}

// The same from the namespace behind `pin`.
inline Result<IpAddress> talk_from(const std::filesystem::path& pin, const os::Fd& listening,
                                   const IpAddress& to, std::uint16_t port) {
    SKIFF_TRY(os::Fd name_space, open_pinned(pin));
    Result<IpAddress> seen;
    SKIFF_CHECK(in_namespace(name_space, [&]() -> Result<void> {
        seen = talk(listening, to, port);
        return {};
    }));
    return seen;
}

}  // namespace skiff::network
