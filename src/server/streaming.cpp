#include "server/streaming.h"

#include <algorithm>

#include "async/with_scope.h"
#include "base/log.h"
#include "http/websocket_connection.h"
#include "server/port_forward.h"
#include "server/remote_session.h"

namespace skiff::server {

using async::Task;
using http::plain_text;

namespace {

constexpr std::string_view kRoutes[] = {"exec", "attach", "portForward"};
// A client has that long to open the streams of a command (the kubelet's streamCreationTimeout).
constexpr auto kCreationMax = std::chrono::seconds(30);
// And that long to hang up when all was said.
constexpr auto kGoodbye = std::chrono::seconds(5);
// error, stdin, stdout, stderr, resize.
constexpr std::size_t kCommandStreamsMax = kRemoteChannels;

// Counts a stream while it is there.
class Counted {
public:
    explicit Counted(std::size_t& count) : count_(count) { ++count_; }
    ~Counted() { --count_; }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;

private:
    std::size_t& count_;
};

int status_for(const Error& error) {
    switch (error.code) {
        case Code::not_found:
            return 404;
        case Code::invalid:
            return 400;
        case Code::denied:
            return 403;
        case Code::unsupported:
            return 501;
        default:
            return 500;
    }
}

Task<void> refuse(http::Exchange& exchange, const Error& error) {
    auto sent = co_await exchange.respond(plain_text(status_for(error), error.message));
}

Task<void> refuse_busy(http::Exchange& exchange) {
    auto sent = co_await exchange.respond(
        plain_text(503, fmt::format("the node serves {} streams already, which is the most",
                                    StreamingRoutes::kStreamsMax)));
}

}  // namespace

bool StreamingRoutes::serves(std::string_view route) {
    return std::ranges::find(kRoutes, route) != std::end(kRoutes);
}

Task<void> StreamingRoutes::serve(http::Exchange& exchange, const RequestTarget& target) {
    return target.route() == "portForward" ? serve_ports(exchange, target)
                                           : serve_command(exchange, target);
}

Task<void> StreamingRoutes::serve_command(http::Exchange& exchange, const RequestTarget& target) {
    auto request = parse_remote_request(target);
    if (!request) {
        co_await refuse(exchange, request.error());
        co_return;
    }
    auto possible = target.route() == "exec" ? commands_.check_exec(request->target)
                                             : commands_.check_attach(request->target);
    if (!possible) {
        co_await refuse(exchange, possible.error());
        co_return;
    }
    auto upgrade = negotiate(exchange.request(), kCommandVersions);
    if (!upgrade) {
        auto sent = co_await exchange.respond(std::move(upgrade.error().response));
        co_return;
    }
    if (streams_ >= kStreamsMax) {
        co_await refuse_busy(exchange);
        co_return;
    }
    Counted counted(streams_);
    auto stream = co_await exchange.take_over(101, std::move(upgrade->answer));
    if (!stream) {
        co_return;
    }
    if (upgrade->carrier == RemoteUpgrade::Carrier::spdy) {
        co_await run_over_spdy(**stream, std::move(upgrade->protocol), std::move(*request));
    } else {
        co_await run_over_websocket(**stream, std::move(upgrade->protocol), std::move(*request));
    }
}

Task<void> StreamingRoutes::run_over_spdy(http::ByteStream& stream, std::string protocol,
                                          RemoteRequest request) {
    http::SpdyConnection connection(stream, kCommandStreamsMax);
    auto body = [](StreamingRoutes* self, http::SpdyConnection* its, std::string version,
                   RemoteRequest asked) -> Task<void> {
        SpdyChannels channels;
        std::size_t count = SpdyChannels::count(asked.target.streams, resize_in(version));
        auto collected = co_await channels.collect(*its, count, after(kCreationMax));
        if (!collected) {
            log::debug("no streams for a command", log::kv("error", collected.error().message));
            co_return;
        }
        co_await self->run_command(channels, std::move(asked), status_form(version), its->ended());
        co_await its->finish(after(kGoodbye));
    };
    async::ScopeBody tasks = [this, &connection, &body, &protocol, &request](async::Scope& scope) {
        scope.spawn("SPDY", connection.run());
        return body(this, &connection, std::move(protocol), std::move(request));
    };
    co_await async::with_scope(std::move(tasks));
}

Task<void> StreamingRoutes::run_over_websocket(http::ByteStream& stream, std::string protocol,
                                               RemoteRequest request) {
    WebSocketChannels channels(stream, websocket_format(protocol));
    auto body = [](StreamingRoutes* self, WebSocketChannels* its, StatusForm form,
                   RemoteRequest asked) -> Task<void> {
        WebSocketRemoteChannels remote(*its);
        // Clients take the first message, which says nothing, as the sign that the connection is
        // there.
        const auto& streams = asked.target.streams;
        auto first = streams.with_stdout   ? RemoteChannel::out
                     : streams.with_stderr ? RemoteChannel::err
                                           : RemoteChannel::error;
        if (!co_await remote.write(first, "")) {
            co_return;
        }
        co_await self->run_command(remote, std::move(asked), form, its->ended());
        co_await its->finish(after(kGoodbye));
    };
    async::ScopeBody tasks = [this, &channels, &body, &protocol, &request](async::Scope& scope) {
        scope.spawn("WebSocket", channels.run());
        return body(this, &channels, status_form(protocol), std::move(request));
    };
    co_await async::with_scope(std::move(tasks));
}

Task<void> StreamingRoutes::run_command(RemoteChannels& channels, RemoteRequest request,
                                        StatusForm form, async::Event& caller_left) {
    const RemoteStreams streams = request.target.streams;
    Result<pods::ContainerExit> end = fail(Code::internal, "nothing was started");
    {
        // An attach has no command.
        auto starting = request.command.empty()
                            ? commands_.attach(std::move(request.target))
                            : commands_.exec(std::move(request.target), std::move(request.command));
        auto session = co_await std::move(starting);
        if (session) {
            end = co_await carry_session(channels, **session, streams, caller_left);
        } else {
            end = fail(std::move(session.error()));
        }
    }
    if (caller_left.is_set()) {
        co_return;
    }
    for (RemoteChannel output : {RemoteChannel::out, RemoteChannel::err}) {
        auto finished = co_await channels.finish(output);
    }
    std::string status = format_status(end, form);
    if (!status.empty()) {
        auto told = co_await channels.write(RemoteChannel::error, status);
    }
    auto finished = co_await channels.finish(RemoteChannel::error);
}

Task<void> StreamingRoutes::serve_ports(http::Exchange& exchange, const RequestTarget& target) {
    auto forward = parse_forward_target(target);
    if (!forward) {
        co_await refuse(exchange, forward.error());
        co_return;
    }
    auto possible = ports_.check(forward->pod, forward->uid);
    if (!possible) {
        co_await refuse(exchange, possible.error());
        co_return;
    }
    auto upgrade = negotiate(exchange.request(), kPortForwardVersions);
    if (!upgrade) {
        auto sent = co_await exchange.respond(std::move(upgrade.error().response));
        co_return;
    }
    const bool over_websocket = upgrade->carrier == RemoteUpgrade::Carrier::websocket;
    const bool tunnelled = over_websocket && upgrade->protocol.starts_with("SPDY/");
    std::vector<std::uint16_t> numbers;
    if (over_websocket && !tunnelled) {
        auto asked = parse_forward_ports(target);
        if (!asked) {
            co_await refuse(exchange, asked.error());
            co_return;
        }
        numbers = std::move(*asked);
    }
    if (streams_ >= kStreamsMax) {
        co_await refuse_busy(exchange);
        co_return;
    }
    Counted counted(streams_);
    auto stream = co_await exchange.take_over(101, std::move(upgrade->answer));
    if (!stream) {
        co_return;
    }
    if (!over_websocket) {
        co_await forward_over_spdy(**stream, ports_, std::move(*forward));
    } else if (tunnelled) {
        http::WebSocketConnection websocket(**stream);
        http::WebSocketByteStream inner(websocket);
        co_await forward_over_spdy(inner, ports_, std::move(*forward));
    } else {
        co_await forward_over_channels(**stream, ports_, std::move(*forward), std::move(numbers),
                                       std::move(upgrade->protocol));
    }
}

}  // namespace skiff::server
