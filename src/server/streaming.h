// The routes of port 10250 that go on as another protocol: exec, attach, portForward (contract §2,
// §3). Reactor thread.
#pragma once

#include "async/task.h"
#include "http/server.h"
#include "server/pod_ports.h"
#include "server/remote_commands.h"
#include "server/remote_protocol.h"
#include "server/request_target.h"

namespace skiff::server {

class StreamingRoutes {
public:
    // Connections that were upgraded and are not over: fewer than the server takes at all, so that
    // streams never keep the API server's other questions out.
    static constexpr std::size_t kStreamsMax = 512;

    // Both outlive this object.
    StreamingRoutes(RemoteCommands& commands, PodPorts& ports)
        : commands_(commands), ports_(ports) {}

    // Whether `route`, the first segment of a path, is one of these.
    [[nodiscard]] static bool serves(std::string_view route);
    // Answers the request, as http::Handler::handle().
    [[nodiscard]] async::Task<void> serve(http::Exchange& exchange, const RequestTarget& target);
    // Connections now.
    [[nodiscard]] std::size_t streams() const { return streams_; }

private:
    [[nodiscard]] async::Task<void> serve_command(http::Exchange& exchange,
                                                  const RequestTarget& target);
    [[nodiscard]] async::Task<void> serve_ports(http::Exchange& exchange,
                                                const RequestTarget& target);
    [[nodiscard]] async::Task<void> run_over_spdy(http::ByteStream& stream, std::string protocol,
                                                  RemoteRequest request);
    [[nodiscard]] async::Task<void> run_over_websocket(http::ByteStream& stream,
                                                       std::string protocol, RemoteRequest request);
    // Starts what was asked for, carries it to its end, and says how it ended.
    [[nodiscard]] async::Task<void> run_command(RemoteChannels& channels, RemoteRequest request,
                                                StatusForm form, async::Event& caller_left);

    RemoteCommands& commands_;
    PodPorts& ports_;
    std::size_t streams_ = 0;
};

}  // namespace skiff::server
