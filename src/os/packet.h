// Packets with descriptors, over SOCK_SEQPACKET sockets of this machine (unix(7), SCM_RIGHTS).
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "os/fd.h"

namespace skiff::os {

// The most descriptors that ride with one packet (the kernel's SCM_MAX_FD).
constexpr std::size_t kPacketFdsMax = 253;

struct SocketPair {
    Fd first;
    Fd second;
};
[[nodiscard]] Result<SocketPair> make_socket_pair();

// Listens at `path` (mode 0600, a stale file is replaced). Never blocks.
[[nodiscard]] Result<Fd> listen_packets(const std::filesystem::path& path);
// Accepts one connection of the own user (or root); nullopt when there is none or it is refused.
[[nodiscard]] std::optional<Fd> accept_packets(int listener);
// Connects without waiting; the socket never blocks. Fails with not_found when nobody listens.
[[nodiscard]] Result<Fd> connect_packets(const std::filesystem::path& path);

enum class Sent { whole, would_block };
// Sends one packet without waiting. Fails when the other end is gone, and with invalid for more
// descriptors than can ride.
[[nodiscard]] Result<Sent> send_packet(int socket, std::string_view bytes,
                                       std::span<const int> fds);

struct ReceivedPacket {
    std::size_t size = 0;  // of `buffer`; 0: the other end is gone
    std::vector<Fd> fds;
    bool would_block = false;
};
enum class Wait { no, yes };
// The next packet, into `buffer`. Fails with corrupt when bytes or descriptors were cut off.
[[nodiscard]] Result<ReceivedPacket> receive_packet(int socket, std::span<char> buffer, Wait wait);

}  // namespace skiff::os
