// `kubectl port-forward`: TCP connections to a pod, carried by pairs of SPDY streams (also inside
// of a WebSocket), or by the channels of a WebSocket (contract §2). Reactor thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/event.h"
#include "async/scope.h"
#include "async/task.h"
#include "http/server.h"
#include "http/spdy_connection.h"
#include "server/pod_ports.h"
#include "server/request_target.h"

namespace skiff::server {

struct ForwardTarget {
    PodName pod;
    std::optional<PodUid> uid;
};
// /portForward/NAMESPACE/POD[/UID]. Fails with not_found.
[[nodiscard]] Result<ForwardTarget> parse_forward_target(const RequestTarget& target);

// Of the WebSocket protocol with channels: the ports of all parameters `port`, which may be lists.
// Fails with invalid: none, more than 64, or one that is not in 1-65535.
[[nodiscard]] Result<std::vector<std::uint16_t>> parse_forward_ports(const RequestTarget& target);

// What a SPDY stream of port-forward is for.
struct ForwardStream {
    enum class Type { error, data };
    Type type = Type::error;
    std::uint16_t port = 0;
    std::string request;  // joins the two streams of one TCP connection
};
// Fails with invalid. Clients of old give no requestID: then a data stream is the next after its
// error stream.
[[nodiscard]] Result<ForwardStream> parse_forward_stream(const http::Headers& headers,
                                                         http::SpdyStreamId id);

// Serves one upgraded connection to its end. `ports` and `stream` outlive the task.
[[nodiscard]] async::Task<void> forward_over_spdy(http::ByteStream& stream, PodPorts& ports,
                                                  ForwardTarget target);
[[nodiscard]] async::Task<void> forward_over_channels(http::ByteStream& stream, PodPorts& ports,
                                                      ForwardTarget target,
                                                      std::vector<std::uint16_t> numbers,
                                                      std::string protocol);

}  // namespace skiff::server
