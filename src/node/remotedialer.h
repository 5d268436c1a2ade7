// The messages of github.com/rancher/remotedialer: connections that one end of a WebSocket dials
// through the other. Pure. A binary WebSocket message is one of these.
//
//     id, connection, type: varints (zigzag); data and connect: a fourth, no longer used; payload
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace skiff::node {

enum class DialMessageType : std::int64_t {
    data = 1,
    connect = 2,  // payload "PROTO/ADDRESS"
    error = 3,    // payload: why the connection ended; "EOF": regularly
    add_client = 4,
    remove_client = 5,
    pause = 6,  // send no data for this connection until
    resume = 7,
    sync_connections = 8,
};

// What a peer reads of an error, and of an address to dial.
inline constexpr std::size_t kDialErrorBytesMax = 100;
inline constexpr std::size_t kDialAddressBytesMax = 266;
// The error of a connection that ended regularly.
inline constexpr std::string_view kDialEnd = "EOF";

struct DialMessage {
    std::int64_t id = 0;
    std::int64_t connection = 0;
    DialMessageType type = DialMessageType::data;  // may be one that nobody knows yet
    std::string_view payload;
    friend bool operator==(const DialMessage&, const DialMessage&) = default;
};

// Borrows from `bytes`. Fails with invalid.
[[nodiscard]] Result<DialMessage> parse_dial_message(std::string_view bytes);
// The payload of an error is cut to what its reader takes.
[[nodiscard]] std::string format_dial_message(const DialMessage& message);

// The payload of a connect message: "tcp/127.0.0.1:10250", "tcp/[::1]:10250".
struct DialTarget {
    std::string protocol;
    std::string host;  // without brackets
    std::uint16_t port = 0;
    friend bool operator==(const DialTarget&, const DialTarget&) = default;
};
// Fails with invalid.
[[nodiscard]] Result<DialTarget> parse_dial_target(std::string_view payload);

}  // namespace skiff::node
