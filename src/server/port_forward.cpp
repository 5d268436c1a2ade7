#include "server/port_forward.h"

#include <functional>
#include <memory>
#include <span>

#include "async/with_scope.h"
#include "base/log.h"
#include "base/text.h"
#include "server/remote_channels.h"
#include "server/remote_protocol.h"

namespace skiff::server {

using async::Task;

namespace {

// Two streams for each TCP connection; a browser opens dozens.
constexpr std::size_t kStreamsMax = 512;
constexpr std::size_t kWebSocketPortsMax = 64;
// The second stream of a pair comes that soon.
constexpr auto kPairWait = std::chrono::seconds(30);
constexpr auto kGoodbye = std::chrono::seconds(5);
constexpr std::size_t kPieceBytes = 64U << 10;
// What is on its way from pods to the client at once: with the inboxes, what bounds a connection.
constexpr std::size_t kPiecesMax = 8;
constexpr std::size_t kRequestBytesMax = 64;

// The client's side of one TCP connection.
struct Carrier {
    std::function<Task<Result<std::string>>()> take;  // empty at the end
    std::function<Task<Result<void>>(std::string_view)> write;
    std::function<Task<Result<void>>()> finish;
    std::function<void()> discard;  // what the client still sends
};

// One TCP connection to the pod, and its two directions.
class Relay {
public:
    Relay(Carrier& carrier, PodConnection& pod, async::Semaphore& pieces)
        : carrier_(carrier), pod_(pod), pieces_(pieces) {}

    // Ends when the pod has, or when the client takes no more.
    Task<void> run(async::Scope& scope) {
        scope.spawn("to pod", to_pod(this));
        return to_client(this);
    }

private:
    static Task<void> to_pod(Relay* self) {
        while (true) {
            auto bytes = co_await self->carrier_.take();
            if (!bytes) {
                // Reset: nobody waits for answers either.
                self->abandoned_.set();
                co_return;
            }
            if (bytes->empty()) {
                self->pod_.end_writing();
                co_return;
            }
            if (!co_await self->pod_.write_all(*bytes, async::kNoDeadline)) {
                // The pod reads no more; what it says until its end is still carried.
                self->carrier_.discard();
                co_return;
            }
        }
    }

    static Task<void> to_client(Relay* self) {
        auto carried = self->carry_to_client();
        auto done = co_await async::run_until(std::move(carried), self->abandoned_,
                                              async::kNoDeadline, "port-forward");
    }

    Task<Result<void>> carry_to_client() {
        while (true) {
            // Memory is only taken once there is something to put there.
            SKIFF_CO_CHECK(co_await pod_.wait_readable());
            SKIFF_CO_TRY(auto piece, co_await pieces_.acquire());
            const auto buffer = std::make_unique_for_overwrite<char[]>(kPieceBytes);
            const std::span<char> room(buffer.get(), kPieceBytes);
            SKIFF_CO_TRY(std::size_t count, co_await pod_.read_some(room, async::kNoDeadline));
            if (count == 0) {
                co_return co_await carrier_.finish();
            }
            SKIFF_CO_CHECK(co_await carrier_.write(std::string_view(buffer.get(), count)));
        }
    }

    Carrier& carrier_;
    PodConnection& pod_;
    async::Semaphore& pieces_;
    async::Event abandoned_;
};

// Dials and relays; what went wrong is the answer, empty for nothing.
Task<std::string> relay(PodPorts& ports, ForwardTarget target, std::uint16_t port, Carrier& carrier,
                        async::Semaphore& pieces) {
    auto pod = co_await ports.dial(target.pod, target.uid, port);
    if (!pod) {
        co_return fmt::format("error forwarding port {} to pod {}: {}", port, target.pod,
                              pod.error().message);
    }
    Relay its(carrier, **pod, pieces);
    async::ScopeBody body = [&its](async::Scope& scope) { return its.run(scope); };
    co_await async::with_scope(std::move(body));
    co_return std::string();
}

// The streams of one client.
class SpdyForwarding {
public:
    SpdyForwarding(http::ByteStream& stream, PodPorts& ports, ForwardTarget target)
        : ports_(ports), target_(std::move(target)), connection_(stream, kStreamsMax) {}

    Task<void> run(async::Scope& scope) {
        scope.spawn("SPDY", connection_.run());
        return accept_all(this, &scope);
    }

private:
    using Stream = std::shared_ptr<http::SpdyStream>;

    // The first stream of a pair that waits for the other.
    struct Half {
        Stream error;
        Stream data;
        std::shared_ptr<async::Event> paired = std::make_shared<async::Event>();
    };

    static Task<void> accept_all(SpdyForwarding* self, async::Scope* scope) {
        while (true) {
            auto stream = co_await self->connection_.next_stream(async::kNoDeadline);
            if (!stream) {
                co_return;
            }
            if (!co_await self->take(std::move(*stream), scope)) {
                co_return;
            }
        }
    }

    Task<Result<void>> take(Stream stream, async::Scope* scope) {
        auto its = parse_forward_stream(stream->headers(), stream->id());
        if (!its) {
            log::debug("port-forward stream refused", log::kv("error", its.error().message));
            co_return co_await stream->reset(http::SpdyReset::protocol_error);
        }
        Half& half = halves_[its->request];
        Stream& mine = its->type == ForwardStream::Type::error ? half.error : half.data;
        if (mine) {
            co_return co_await stream->reset(http::SpdyReset::protocol_error);
        }
        mine = stream;
        const bool is_first = !half.error || !half.data;
        if (is_first) {
            scope->spawn("pair", wait_for_pair(this, its->request, half.paired));
        } else {
            half.paired->set();
            scope->spawn("port-forward", serve(this, half.error, half.data, its->port));
            halves_.erase(its->request);
        }
        co_return co_await stream->accept();
    }

    static Task<void> wait_for_pair(SpdyForwarding* self, std::string request,
                                    std::shared_ptr<async::Event> paired) {
        auto waited = co_await paired->wait(after(kPairWait));
        if (waited || waited.error().code != Code::timeout) {
            co_return;
        }
        auto alone = self->halves_.extract(request);
        if (alone.empty()) {
            co_return;
        }
        for (const Stream& stream : {alone.mapped().error, alone.mapped().data}) {
            if (stream) {
                auto told = co_await stream->reset(http::SpdyReset::cancel);
            }
        }
    }

    static Task<void> serve(SpdyForwarding* self, Stream error, Stream data, std::uint16_t port) {
        Carrier carrier;
        carrier.take = [&data] { return data->take(); };
        carrier.write = [&data](std::string_view bytes) { return data->write(bytes); };
        carrier.finish = [&data] { return data->finish(); };
        carrier.discard = [&data] { data->discard(); };
        error->discard();
        std::string problem =
            co_await relay(self->ports_, self->target_, port, carrier, self->pieces_);
        if (!problem.empty()) {
            log::debug("port-forward failed", log::kv("pod", self->target_.pod),
                       log::kv("error", problem));
            auto told = co_await error->write(problem);
        }
        auto error_ended = co_await error->finish();
        auto data_ended = co_await data->finish();
        // What the client still sends is for nobody.
        auto reset = co_await data->reset(http::SpdyReset::cancel);
    }

    PodPorts& ports_;
    ForwardTarget target_;
    http::SpdyConnection connection_;
    async::Semaphore pieces_{kPiecesMax};
    std::map<std::string, Half> halves_;
};

// The channels of one client: of port i, 2i carries data and 2i + 1 errors.
class ChannelForwarding {
public:
    ChannelForwarding(WebSocketChannels& channels, PodPorts& ports, ForwardTarget target,
                      std::vector<std::uint16_t> numbers)
        : channels_(channels),
          ports_(ports),
          target_(std::move(target)),
          numbers_(std::move(numbers)),
          open_(numbers_.size()) {}

    Task<void> run(async::Scope& scope) {
        scope.spawn("WebSocket", channels_.run());
        scope.spawn("all ports", serve_all(this, &scope));
        return wait_over(this);
    }

private:
    static Task<void> wait_over(ChannelForwarding* self) {
        auto left = co_await self->channels_.ended().wait();
    }

    static Task<void> serve_all(ChannelForwarding* self, async::Scope* scope) {
        for (std::size_t i = 0; i < self->numbers_.size(); ++i) {
            const std::uint16_t port = self->numbers_[i];
            const std::string first{static_cast<char>(port & 0xff), static_cast<char>(port >> 8)};
            for (std::size_t channel : {2 * i, 2 * i + 1}) {
                if (!co_await self->channels_.write(channel, first)) {
                    co_return;
                }
            }
            self->channels_.discard(2 * i + 1);
            scope->spawn("port-forward", serve(self, i));
        }
    }

    static Task<void> serve(ChannelForwarding* self, std::size_t index) {
        Carrier carrier;
        carrier.take = [self, index] { return self->channels_.take(2 * index); };
        carrier.write = [self, index](std::string_view bytes) {
            return self->channels_.write(2 * index, bytes);
        };
        carrier.finish = []() -> Task<Result<void>> { co_return Result<void>{}; };
        carrier.discard = [self, index] { self->channels_.discard(2 * index); };
        std::string problem = co_await relay(self->ports_, self->target_, self->numbers_[index],
                                             carrier, self->pieces_);
        if (!problem.empty()) {
            auto told = co_await self->channels_.write(2 * index + 1, problem);
        }
        self->channels_.discard(2 * index);
        if (--self->open_ == 0) {
            co_await self->channels_.finish(after(kGoodbye));
        }
    }

    WebSocketChannels& channels_;
    PodPorts& ports_;
    ForwardTarget target_;
    std::vector<std::uint16_t> numbers_;
    std::size_t open_;  // ports that are still served
    async::Semaphore pieces_{kPiecesMax};
};

}  // namespace

Result<ForwardTarget> parse_forward_target(const RequestTarget& target) {
    const auto& segments = target.segments;
    if (segments.size() != 3 && segments.size() != 4) {
        return fail(Code::not_found, "404: Page Not Found");
    }
    ForwardTarget its{{segments[1], segments[2]}, std::nullopt};
    if (segments.size() == 4) {
        its.uid = PodUid(segments[3]);
    }
    return its;
}

Result<std::vector<std::uint16_t>> parse_forward_ports(const RequestTarget& target) {
    std::vector<std::uint16_t> ports;
    for (const auto& [name, value] : target.query) {
        if (name != "port") {
            continue;
        }
        for (std::string_view part : split(value, ',')) {
            auto port = parse_port(part);
            if (!port) {
                return fail(Code::invalid, "port \"{}\" is not in 1-65535",
                            bounded_utf8(part, kRequestBytesMax));
            }
            if (ports.size() == kWebSocketPortsMax) {
                return fail(Code::invalid, "more than {} ports", kWebSocketPortsMax);
            }
            ports.push_back(*port);
        }
    }
    if (ports.empty()) {
        return fail(Code::invalid, "query parameter \"port\" is required");
    }
    return ports;
}

Result<ForwardStream> parse_forward_stream(const http::Headers& headers, http::SpdyStreamId id) {
    ForwardStream stream;
    const std::string type = headers.find("streamType").value_or("");
    if (type != "error" && type != "data") {
        return fail(Code::invalid, "streamType is \"{}\", not error or data",
                    bounded_utf8(type, kRequestBytesMax));
    }
    stream.type = type == "error" ? ForwardStream::Type::error : ForwardStream::Type::data;
    auto port = parse_port(headers.find("port").value_or(""));
    if (!port) {
        return fail(Code::invalid, "port is not in 1-65535");
    }
    stream.port = *port;
    auto request = headers.find("requestID");
    if (request && request->size() > kRequestBytesMax) {
        return fail(Code::invalid, "requestID has more than {} bytes", kRequestBytesMax);
    }
    const http::SpdyStreamId first = stream.type == ForwardStream::Type::error ? id : id - 2;
    stream.request = request ? std::move(*request) : fmt::format("stream {}", first);
    return stream;
}

Task<void> forward_over_spdy(http::ByteStream& stream, PodPorts& ports, ForwardTarget target) {
    SpdyForwarding forwarding(stream, ports, std::move(target));
    async::ScopeBody body = [&forwarding](async::Scope& scope) { return forwarding.run(scope); };
    co_await async::with_scope(std::move(body));
}

Task<void> forward_over_channels(http::ByteStream& stream, PodPorts& ports, ForwardTarget target,
                                 std::vector<std::uint16_t> numbers, std::string protocol) {
    WebSocketChannels::Format format = websocket_format(protocol);
    format.channels = 2 * numbers.size();
    WebSocketChannels channels(stream, format);
    ChannelForwarding forwarding(channels, ports, std::move(target), std::move(numbers));
    async::ScopeBody body = [&forwarding](async::Scope& scope) { return forwarding.run(scope); };
    co_await async::with_scope(std::move(body));
}

}  // namespace skiff::server
