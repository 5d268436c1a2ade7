// The words of the remote command protocols: what is asked, which version is spoken, how the end is
// told (contract §2). Pure.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "http/headers.h"
#include "http/server.h"
#include "pods/ports.h"
#include "server/remote_channels.h"
#include "server/request_target.h"

namespace skiff::server {

struct RemoteRequest {
    RemoteTarget target;
    std::vector<std::string> command;  // of exec
};
// /exec|attach/NAMESPACE/POD[/UID]/CONTAINER?input=1&output=1&error=1&tty=1&command=… Fails with
// not_found (another number of segments) or invalid (no stream, no command).
[[nodiscard]] Result<RemoteRequest> parse_remote_request(const RequestTarget& target);

// How a request goes on.
struct RemoteUpgrade {
    enum class Carrier { spdy, websocket };
    Carrier carrier = Carrier::spdy;
    // The version that both sides know; empty with a WebSocket that asks for none.
    std::string protocol;
    http::Headers answer;  // of the 101
};
// Which subprotocols each carrier has, best first.
struct RemoteVersions {
    std::span<const std::string_view> spdy;
    std::span<const std::string_view> websocket;
};
extern const RemoteVersions kCommandVersions;
extern const RemoteVersions kPortForwardVersions;

// Why a request cannot go on: the plain answer.
struct RemoteRefusal {
    http::ServerResponse response;
};
[[nodiscard]] tl::expected<RemoteUpgrade, RemoteRefusal> negotiate(
    const http::ServerRequest& request, const RemoteVersions& versions);

// What a protocol can do.
enum class StatusForm { text, json };
[[nodiscard]] StatusForm status_form(std::string_view protocol);
[[nodiscard]] SpdyChannels::Resize resize_in(std::string_view protocol);
[[nodiscard]] WebSocketChannels::Format websocket_format(std::string_view protocol);

// How a command ended, as the error channel says it: in JSON always something, in text only of
// failures. `message` of an exit is not part of it.
[[nodiscard]] std::string format_status(const Result<pods::ContainerExit>& end, StatusForm form);

// The sizes of a terminal in a stream of JSON objects, `{"Width":80,"Height":24}`.
class TerminalSizeReader {
public:
    // The newest size that `bytes` completes; nullopt if none. What is no size is skipped.
    [[nodiscard]] std::optional<TerminalSize> add(std::string_view bytes);

private:
    static constexpr std::size_t kObjectBytesMax = 256;
    std::string object_;
    bool inside_ = false;
};

}  // namespace skiff::server
