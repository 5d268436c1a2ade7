#include "server/remote_channels.h"

#include <algorithm>

#include "async/with_scope.h"
#include "base/fuzz.h"
#include "server/port_forward.h"
#include "server/remote_protocol.h"

namespace skiff::server {

namespace {

using async::Task;

// A client that said `bytes` in steps of `step` and left; what it is told is dropped.
class Recorded final : public http::ByteStream {
public:
    Recorded(std::string_view bytes, std::size_t step) : rest_(bytes), step_(step) {}
    Task<Result<std::size_t>> read_some(std::span<char> into, SteadyTime) override {
        std::size_t count = std::min({into.size(), rest_.size(), step_});
        std::copy_n(rest_.begin(), count, into.begin());
        rest_.remove_prefix(count);
        co_return count;
    }
    Task<Result<void>> write_all(std::string_view, SteadyTime) override {
        co_return Result<void>{};
    }

private:
    std::string_view rest_;
    std::size_t step_;
};

Task<void> take_all(WebSocketChannels* channels, std::size_t channel, std::string* into) {
    while (true) {
        auto bytes = co_await channels->take(channel);
        if (!bytes || bytes->empty()) {
            co_return;
        }
        *into += *bytes;
    }
}

Task<void> read(WebSocketChannels* channels) {
    co_await channels->run();
    SKIFF_ASSERT(channels->ended().is_set());
}

// What arrives on each channel.
std::vector<std::string> arrivals(http::ByteStream& stream, WebSocketChannels::Format format) {
    WebSocketChannels channels(stream, format);
    std::vector<std::string> got(format.channels);
    async::Reactor reactor;
    async::ScopeBody body = [&channels, &got](async::Scope& scope) {
        for (std::size_t i = 0; i < got.size(); ++i) {
            scope.spawn("channel", take_all(&channels, i, &got[i]));
        }
        return read(&channels);
    };
    async::run_to_end(reactor, async::with_scope(std::move(body)));
    return got;
}

}  // namespace

// The input: which protocol, how the bytes are cut, what a client sends.
SKIFF_FUZZ(server_remote_channels) {
    fuzz::Input input(bytes);
    constexpr std::string_view kProtocols[] = {"", "v4.base64.channel.k8s.io", "v5.channel.k8s.io"};
    const auto format = websocket_format(kProtocols[input.byte() % std::size(kProtocols)]);
    const std::size_t step = input.byte() + std::size_t{1};
    Recorded stream(input.rest(), step);
    const auto got = arrivals(stream, format);
    for (const std::string& channel : got) {
        SKIFF_ASSERT(channel.size() <= bytes.size());
    }
    // The resize channel, and the same text as the query of a request.
    TerminalSizeReader whole;
    TerminalSizeReader bytewise;
    std::optional<TerminalSize> last;
    for (const char& c : input.rest()) {
        auto size = bytewise.add(std::string_view(&c, 1));
        last = size ? size : last;
    }
    SKIFF_ASSERT(whole.add(input.rest()) == last);
    RequestTarget target;
    target.segments = {"exec", "ns", "pod", "container"};
    target.query = {{"port", std::string(input.rest())}, {"output", "1"}};
    const auto ports = parse_forward_ports(target);
    if (!ports) {
        fuzz::check_error(ports.error());
    }
    const auto forward = parse_forward_stream(
        {{"streamtype", "data"}, {"port", "1"}, {"requestid", std::string(input.rest())}}, 3);
    if (!forward) {
        fuzz::check_error(forward.error());
    }
}

}  // namespace skiff::server
