// One tunnel to one server: the server dials through it, and what it may reach is this node's own
// kubelet port (contract row 82). Reactor thread only.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/event.h"
#include "async/scope.h"
#include "async/task.h"
#include "base/result.h"
#include "base/time.h"
#include "http/websocket_client.h"
#include "node/remotedialer.h"

namespace skiff::node {

// A peer that sends longer messages is refused.
inline constexpr std::uint64_t kTunnelMessageBytesMax = 1U << 20;

struct TunnelLimits {
    std::size_t connections_max = 256;
    // Bytes from the server that the kubelet has not taken yet: of one connection, where the server
    // is asked to pause it and to resume it; of all, where the tunnel is left unread.
    std::size_t pause_bytes = 256U << 10;
    std::size_t resume_bytes = 64U << 10;
    std::size_t held_bytes_max = 8U << 20;
    // A connection that keeps the tunnel unread for so long is ended.
    Duration stall_max = std::chrono::seconds(10);
    // Bytes for the server that are not yet sent: where connections wait, and where the server is
    // given up because it does not read.
    std::size_t unsent_bytes_wait = 256U << 10;
    std::size_t unsent_bytes_max = 4U << 20;
    Duration write_timeout = std::chrono::seconds(30);
    // The server gives up a tunnel that is silent for a minute.
    Duration ping_every = std::chrono::seconds(10);
    Duration silence_max = std::chrono::seconds(35);
};

// What the server may dial.
struct TunnelTarget {
    std::uint16_t port = 0;          // of the kubelet
    std::vector<std::string> hosts;  // the addresses that mean this node
    // Connects to the kubelet.
    std::function<async::Task<Result<std::unique_ptr<http::ByteStream>>>()> dial;
};

class TunnelSession {
public:
    TunnelSession(async::Executor executor, std::unique_ptr<http::WebSocketClient> socket,
                  TunnelTarget target, TunnelLimits limits = {});
    TunnelSession(const TunnelSession&) = delete;
    TunnelSession& operator=(const TunnelSession&) = delete;

    // Serves until the tunnel ends; the error says why. Success after retire(). Once.
    [[nodiscard]] async::Task<Result<void>> run();
    // run() ends as soon as no connection is open. New ones are still taken: the server may not
    // know another tunnel yet.
    void retire();
    // run() ends now, with success.
    void stop() { ended_.set(); }

    [[nodiscard]] std::size_t connections() const { return links_.size(); }

private:
    // One connection through the tunnel.
    struct Link {
        std::int64_t id = 0;
        std::string unwritten;  // from the server, for the kubelet
        std::size_t held = 0;   // unwritten, and what is being written
        bool pause_sent = false;
        bool paused = false;  // the server takes no data
        bool ended = false;   // the server has ended it
        async::Event arrived;
        async::Event resumed;
        async::Event over;
        std::unique_ptr<http::ByteStream> stream;
    };

    void end(Error why);
    [[nodiscard]] async::Task<void> read_in();
    [[nodiscard]] async::Task<void> write_out();
    [[nodiscard]] async::Task<void> ping();
    [[nodiscard]] async::Task<Result<void>> take(const http::WebSocketMessage& message);
    [[nodiscard]] async::Task<Result<void>> take_dial_message(DialMessage message);
    [[nodiscard]] Result<void> open(const DialMessage& message);
    [[nodiscard]] async::Task<void> take_data(std::shared_ptr<Link> link, std::string_view bytes);
    [[nodiscard]] async::Task<void> serve(std::shared_ptr<Link> link);
    [[nodiscard]] async::Task<void> feed(std::shared_ptr<Link> link);
    [[nodiscard]] async::Task<void> drain(std::shared_ptr<Link> link);
    void settle(Link& link);
    void send(DialMessageType type, std::int64_t connection, std::string_view payload = {});
    void send_frame(http::WebSocketKind kind, std::string_view payload);

    std::unique_ptr<http::WebSocketClient> socket_;
    TunnelTarget target_;
    TunnelLimits limits_;
    async::Scope scope_;
    std::map<std::int64_t, std::shared_ptr<Link>> links_;
    std::size_t held_ = 0;
    async::Event less_held_;
    std::string unsent_;
    async::Event more_unsent_;
    async::Event less_unsent_;
    std::int64_t last_id_ = 0;
    bool retired_ = false;
    async::Event ended_;
    std::optional<Error> why_;
};

}  // namespace skiff::node
