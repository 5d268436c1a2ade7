#include "http/connection.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/fuzz.h"
#include "base/text.h"

namespace skiff::http {

using async::Task;

namespace {

// What the two ends of a connection in memory share with the handler.
struct Wire {
    std::string_view to_come;
    std::size_t step = 1;
    std::string answered;
    // The peer leaves only when nobody is about to answer it.
    async::Event quiet;
};

class WireTransport final : public Transport {
public:
    explicit WireTransport(Wire& wire) : wire_(wire) {}

    Task<Result<void>> handshake(SteadyTime /*deadline*/) override { co_return Result<void>{}; }
    Task<void> finish(SteadyTime /*deadline*/) override { co_return; }
    void close() override { closed_ = true; }
    [[nodiscard]] ServerTls::Verdict judge_peer(WallTime /*now*/) const override { return {}; }

    Task<Result<std::size_t>> read_some(std::span<char> into, SteadyTime deadline) override {
        if (wire_.to_come.empty()) {
            SKIFF_CO_CHECK(co_await wire_.quiet.wait(deadline));
        }
        const std::size_t count = std::min({into.size(), wire_.step, wire_.to_come.size()});
        std::copy_n(wire_.to_come.begin(), count, into.begin());
        wire_.to_come.remove_prefix(count);
        co_return count;
    }
    Task<Result<void>> write_all(std::string_view bytes, SteadyTime /*deadline*/) override {
        SKIFF_ASSERT(!closed_);
        wire_.answered += bytes;
        co_return Result<void>{};
    }

private:
    Wire& wire_;
    bool closed_ = false;
};

// Answers in each way that there is, by the first letter of the path, and notes what it was asked.
class Answers final : public Handler {
public:
    explicit Answers(Wire& wire) : wire_(wire) {}

    Task<void> handle(Exchange& exchange) override {
        wire_.quiet.reset();
        const ServerRequest& request = exchange.request();
        std::string noted = request.method + " " + request.target;
        for (const auto& [name, value] : request.headers) {
            SKIFF_ASSERT(name.find_first_of("\r\n: ") == std::string::npos, name);
            SKIFF_ASSERT(value.find_first_of("\r\n") == std::string::npos, value);
            noted += "\n" + name + ": " + value;
        }
        heads.push_back(request.method == "HEAD");
        asked.push_back(std::move(noted));
        const char how = request.target.size() > 1 ? request.target[1] : ' ';
        co_await answer(exchange, how);
        wire_.quiet.set();
    }

    std::vector<std::string> asked;
    std::vector<bool> heads;
    bool raw = false;  // from here on the answer is no HTTP

private:
    Task<void> answer(Exchange& exchange, char how) {
        if (how == 'b') {
            wire_.quiet.set();
            auto body = co_await exchange.read_body();
            asked.back() += body ? "\n\n" + *body : "\n\nno body";
            ServerResponse response = plain_text(body ? 200 : 400, body ? *body : "no body");
            auto sent = co_await exchange.respond(std::move(response));
        } else if (how == 's') {
            auto begun = co_await exchange.begin(200, Headers());
            auto written = co_await exchange.write("two ");
            auto more = co_await exchange.write("parts");
            auto ended = co_await exchange.end();
        } else if (how == 'u') {
            co_await echo(exchange);
        } else if (how != 'n') {
            ServerResponse response = plain_text(200, std::string(exchange.request().target));
            auto sent = co_await exchange.respond(std::move(response));
        }
    }
    Task<void> echo(Exchange& exchange) {
        auto stream = co_await exchange.take_over(101, Headers());
        if (!stream) {
            co_return;
        }
        raw = true;
        wire_.quiet.set();
        char buffer[64];
        std::span<char> into(buffer);
        while (true) {
            auto count = co_await (*stream)->read_some(into, async::kNoDeadline);
            if (!count || *count == 0) {
                co_return;
            }
            const std::string_view bytes(buffer, *count);
            auto sent = co_await (*stream)->write_all(bytes, async::kNoDeadline);
        }
    }

    Wire& wire_;
};

// Takes one chunked body off `rest`.
void take_chunks(std::string_view& rest) {
    while (true) {
        const auto line = rest.find("\r\n");
        SKIFF_ASSERT(line == 1, "a chunk of this handler has one digit");
        const auto size = static_cast<std::size_t>(rest[0] - '0');
        SKIFF_ASSERT(size < 10 && rest.size() >= 3 + size + 2);
        SKIFF_ASSERT(rest.substr(3 + size, 2) == "\r\n");
        rest.remove_prefix(3 + size + 2);
        if (size == 0) {
            return;
        }
    }
}

// Every answer is whole, and is what its head says; none is there that nobody asked for.
void check_answers(const Answers& answers, std::string_view rest) {
    std::size_t count = 0;
    while (!rest.empty() && !(answers.raw && count == answers.asked.size())) {
        if (rest.starts_with("HTTP/1.1 100 Continue\r\n\r\n")) {
            rest.remove_prefix(std::string_view("HTTP/1.1 100 Continue\r\n\r\n").size());
            continue;
        }
        const auto end = rest.find("\r\n\r\n");
        SKIFF_ASSERT(rest.starts_with("HTTP/1.1 ") && end != std::string_view::npos);
        const std::string head = to_lower(rest.substr(0, end + 2));
        rest.remove_prefix(end + 4);
        const bool is_head = count < answers.heads.size() && answers.heads[count];
        ++count;
        if (head.starts_with("http/1.1 101") || is_head) {
            continue;
        }
        if (head.find("\r\ntransfer-encoding: chunked\r\n") != std::string::npos) {
            take_chunks(rest);
            continue;
        }
        const auto field = head.find("\r\ncontent-length: ");
        if (field == std::string::npos) {
            // To an HTTP/1.0 client the end of the connection is the end of the body.
            SKIFF_ASSERT(head.find("\r\nconnection: close\r\n") != std::string::npos);
            break;
        }
        const auto value = head.substr(field + 18, head.find("\r\n", field + 2) - field - 18);
        const auto length = parse_uint(value);
        SKIFF_ASSERT(length && *length <= rest.size(), value);
        rest.remove_prefix(*length);
    }
    // One more than was asked: the refusal of what was no request.
    SKIFF_ASSERT(count <= answers.asked.size() + 1);
}

Task<void> serve(ConnectionHost& host, Wire& wire) {
    Connection connection(host, std::make_unique<WireTransport>(wire), Peer());
    co_await connection.run();
}

// The requests that a handler sees when `bytes` arrive in steps of `step`.
std::vector<std::string> requests_of(std::string_view bytes, std::size_t step) {
    static SystemClock clock;
    async::Reactor reactor;
    Wire wire;
    wire.to_come = bytes;
    wire.step = step;
    wire.quiet.set();
    Answers answers(wire);
    ServerLimits limits;
    limits.header_bytes_max = 1U << 10;
    limits.body_bytes_max = 1U << 9;
    ConnectionHost host{reactor.executor(), clock, answers, limits};
    async::run_to_end(reactor, serve(host, wire));
    SKIFF_ASSERT(host.counts.connections == 0 && host.idle.empty());
    check_answers(answers, wire.answered);
    return std::move(answers.asked);
}

}  // namespace

// The input: how the bytes are cut, the bytes. However they arrive, the same requests are seen.
SKIFF_FUZZ(http_connection) {
    fuzz::Input input(bytes);
    const std::size_t step = input.byte() + std::size_t{1};
    const std::string_view rest = input.rest();
    const auto cut = requests_of(rest, step);
    const auto whole = requests_of(rest, rest.size() + 1);
    SKIFF_ASSERT(cut == whole, fmt::format("{} and {} requests", cut.size(), whole.size()));
}

}  // namespace skiff::http
