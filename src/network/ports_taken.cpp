#include "network/ports_taken.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <fcntl.h>
#include <cerrno>
#include <filesystem>
#include <set>
#include <vector>

#include "base/text.h"
#include "os/fd.h"
#include "os/file.h"

namespace skiff::network {

namespace fs = std::filesystem;

namespace {

// A busy machine has more sockets than this only where nobody reads messages one by one.
constexpr Bytes kTableBytesMax = 16_MiB;
constexpr std::string_view kListening = "0A";

// Columns of /proc/net/{tcp,udp}: sl local rem state … (10th) inode.
constexpr std::size_t kLocalColumn = 1;
constexpr std::size_t kStateColumn = 3;
constexpr std::size_t kInodeColumn = 9;

std::vector<std::string_view> columns_of(std::string_view line) {
    std::vector<std::string_view> columns;
    for (std::string_view part : split(line, ' ')) {
        if (!part.empty()) {
            columns.push_back(part);
        }
    }
    return columns;
}

void add_inodes(std::set<std::string>& inodes, const fs::path& table, Transport transport,
                std::uint16_t port) {
    auto fd = os::open(table, O_RDONLY);
    if (!fd) {
        return;
    }
    auto text = os::read_all(fd->get(), kTableBytesMax);
    if (!text) {
        return;
    }
    std::string suffix = fmt::format(":{:04X}", port);
    for (std::string_view line : split(*text, '\n')) {
        auto columns = columns_of(line);
        if (columns.size() <= kInodeColumn || !columns[kLocalColumn].ends_with(suffix)) {
            continue;
        }
        if (transport == Transport::udp || columns[kStateColumn] == kListening) {
            inodes.insert(fmt::format("socket:[{}]", columns[kInodeColumn]));
        }
    }
}

bool holds_one(const fs::path& process, const std::set<std::string>& inodes) {
    std::error_code error;
    for (fs::directory_iterator at(process / "fd", error), end; !error && at != end;
         at.increment(error)) {
        std::error_code unreadable;
        if (inodes.contains(fs::read_symlink(at->path(), unreadable).string())) {
            return true;
        }
    }
    return false;
}

}  // namespace

bool is_port_free(Transport transport, const std::string& address, std::uint16_t port) {
    if (transport == Transport::sctp) {
        return true;
    }
    sockaddr_storage at{};
    socklen_t size = sizeof(sockaddr_in);
    auto* v4 = reinterpret_cast<sockaddr_in*>(&at);
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&at);
    if (address.empty() || ::inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
        at.ss_family = AF_INET;
        v4->sin_port = htons(port);
    } else if (::inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) == 1) {
        at.ss_family = AF_INET6;
        v6->sin6_port = htons(port);
        size = sizeof(*v6);
    } else {
        return true;
    }
    int type = transport == Transport::tcp ? SOCK_STREAM : SOCK_DGRAM;
    os::Fd socket(::socket(at.ss_family, type | SOCK_CLOEXEC, 0));
    if (!socket) {
        return true;
    }
    if (transport == Transport::tcp) {
        int on = 1;
        ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    }
    int bound = ::bind(socket.get(), reinterpret_cast<sockaddr*>(&at), size);
    return bound == 0 || errno != EADDRINUSE;
}

std::optional<std::string> find_port_holder(Transport transport, std::uint16_t port) {
    if (transport == Transport::sctp) {
        return std::nullopt;
    }
    std::set<std::string> inodes;
    bool is_tcp = transport == Transport::tcp;
    add_inodes(inodes, is_tcp ? "/proc/net/tcp" : "/proc/net/udp", transport, port);
    add_inodes(inodes, is_tcp ? "/proc/net/tcp6" : "/proc/net/udp6", transport, port);
    if (inodes.empty()) {
        return std::nullopt;
    }
    std::error_code error;
    for (fs::directory_iterator at("/proc", error), end; !error && at != end; at.increment(error)) {
        std::string pid = at->path().filename().string();
        if (!parse_uint(pid) || !holds_one(at->path(), inodes)) {
            continue;
        }
        auto name = os::read_kernel_file(at->path() / "comm");
        std::string text = name ? bounded_utf8(trim(*name), 64) : "a process";
        return fmt::format("{} (pid {})", text, pid);
    }
    return std::nullopt;
}

}  // namespace skiff::network
