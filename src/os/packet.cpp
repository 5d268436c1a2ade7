#include "os/packet.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "os/file.h"

namespace skiff::os {

namespace {

using Control = std::array<char, CMSG_SPACE(kPacketFdsMax * sizeof(int))>;

bool would_block(int error) {
    return error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS;
}

void collect_fds(msghdr& header, std::vector<Fd>& fds) {
    for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr;
         part = CMSG_NXTHDR(&header, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof fd);
            fds.emplace_back(fd);
        }
    }
}

// A socket's path holds about 100 bytes; the folder's descriptor makes any path short.
struct Address {
    Fd folder;
    sockaddr_un name{};
    [[nodiscard]] const sockaddr* raw() const {
        return reinterpret_cast<const sockaddr*>(&name);  // NOLINT
    }
};

Result<Address> address_of(const std::filesystem::path& path) {
    Address address;
    SKIFF_TRY(address.folder, open(path.parent_path(), O_PATH | O_DIRECTORY));
    address.name.sun_family = AF_UNIX;
    const std::string text =
        fmt::format("/proc/self/fd/{}/{}", address.folder.get(), path.filename().string());
    if (text.size() >= sizeof address.name.sun_path) {
        return fail(Code::invalid, "the socket name {} is too long", path.filename().string());
    }
    std::memcpy(address.name.sun_path, text.c_str(), text.size() + 1);
    return address;
}

Result<Fd> make_socket() {
    Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket.valid()) {
        return fail_errno(errno, "make a socket");
    }
    return socket;
}

}  // namespace

Result<Fd> listen_packets(const std::filesystem::path& path) {
    constexpr int kBacklog = 64;
    SKIFF_TRY(Address address, address_of(path));
    SKIFF_TRY(Fd socket, make_socket());
    SKIFF_CHECK(remove_file(path));
    if (::bind(socket.get(), address.raw(), sizeof address.name) < 0) {
        return fail_errno(errno, fmt::format("bind {}", path.string()));
    }
    // Before listen() nobody can connect, so there is no moment with a wider mode.
    if (::fchmodat(address.folder.get(), path.filename().c_str(), 0600, 0) < 0) {
        return fail_errno(errno, fmt::format("chmod {}", path.string()));
    }
    if (::listen(socket.get(), kBacklog) < 0) {
        return fail_errno(errno, fmt::format("listen at {}", path.string()));
    }
    return socket;
}

std::optional<Fd> accept_packets(int listener) {
    Fd socket(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.valid()) {
        return std::nullopt;
    }
    ucred peer{};
    socklen_t size = sizeof peer;
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 ||
        (peer.uid != ::geteuid() && peer.uid != 0)) {
        log::warn("connection refused", log::kv("uid", peer.uid));
        return std::nullopt;
    }
    return socket;
}

Result<Fd> connect_packets(const std::filesystem::path& path) {
    SKIFF_TRY(Fd socket, make_socket());
    auto address = address_of(path);
    if (!address) {
        return fail(std::move(address.error()));
    }
    // A connect to a UNIX socket never waits: a full backlog is EAGAIN.
    if (::connect(socket.get(), address->raw(), sizeof address->name) != 0) {
        if (errno == ECONNREFUSED || errno == ENOENT) {
            return fail(Code::not_found, "nobody listens at {}", path.string());
        }
        return fail_errno(errno, fmt::format("connect to {}", path.string()));
    }
    return socket;
}

Result<SocketPair> make_socket_pair() {
    std::array<int, 2> fds{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds.data()) < 0) {
        return fail_errno(errno, "make a pair of sockets");
    }
    return SocketPair{Fd(fds[0]), Fd(fds[1])};
}

Result<Sent> send_packet(int socket, std::string_view bytes, std::span<const int> fds) {
    if (fds.size() > kPacketFdsMax) {
        return fail(Code::invalid, "{} descriptors in one packet, at most {}", fds.size(),
                    kPacketFdsMax);
    }
    alignas(cmsghdr) Control control;
    iovec part{const_cast<char*>(bytes.data()), bytes.size()};  // NOLINT: sendmsg's type
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    if (!fds.empty()) {
        const std::size_t size = fds.size() * sizeof(int);
        header.msg_control = control.data();
        header.msg_controllen = CMSG_SPACE(size);
        std::memset(control.data(), 0, header.msg_controllen);
        cmsghdr* rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(size);
        std::memcpy(CMSG_DATA(rights), fds.data(), size);
    }
    while (::sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        if (would_block(errno)) {
            return Sent::would_block;
        }
        if (errno != EINTR) {
            return fail_errno(errno, "send a packet");
        }
    }
    return Sent::whole;
}

Result<ReceivedPacket> receive_packet(int socket, std::span<char> buffer, Wait wait) {
    alignas(cmsghdr) Control control;
    iovec part{buffer.data(), buffer.size()};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    const int flags = MSG_CMSG_CLOEXEC | (wait == Wait::no ? MSG_DONTWAIT : 0);
    ssize_t size = 0;
    bool told_of_reset = false;
    while ((size = ::recvmsg(socket, &header, flags)) < 0) {
        // A reset is said once when the other end had not read everything; what it had sent is
        // still there.
        if (errno == ECONNRESET && !std::exchange(told_of_reset, true)) {
            continue;
        }
        if (errno == EINTR) {
            continue;
        }
        if (would_block(errno)) {
            return ReceivedPacket{0, {}, true};
        }
        return fail_errno(errno, "receive a packet");
    }
    ReceivedPacket packet;
    packet.size = static_cast<std::size_t>(size);
    collect_fds(header, packet.fds);
    if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
        return fail(Code::corrupt, "a packet is larger than the protocol allows");
    }
    return packet;
}

}  // namespace skiff::os
