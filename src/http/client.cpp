#include "http/client.h"

#include "http/client_engine.h"

namespace skiff::http {

namespace {

bool is_redirect(int status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// `request` aimed at where the response's Location points, without what only the first origin may
// see.
Result<void> follow(Request& request, const std::string& location) {
    SKIFF_TRY(Url from, parse_url(request.url));
    SKIFF_TRY(Url to, resolve_url(from, location));
    if (from.scheme == "https" && to.scheme != "https") {
        return fail(Code::denied, "{} redirects to plain HTTP at {}", from.authority(),
                    to.authority());
    }
    if (from.origin() != to.origin()) {
        request.headers.remove("Authorization");
        request.headers.remove("Cookie");
        request.tls.client_certificate_pem.clear();
        request.tls.client_key_pem.clear();
        request.tls.client_certificate_file.clear();
        request.tls.client_key_file.clear();
        request.unix_socket.clear();
    }
    request.url = to.str();
    return {};
}

}  // namespace

async::Task<Result<std::string>> Stream::read_all(std::uint64_t bytes_max) {
    std::string body;
    while (true) {
        SKIFF_CO_TRY(auto chunk, co_await next_chunk());
        if (!chunk) {
            co_return std::move(body);
        }
        if (body.size() + chunk->size() > bytes_max) {
            co_return fail(Code::exhausted, "the response of {} is longer than {} bytes", url(),
                           bytes_max);
        }
        if (body.empty()) {
            body = std::move(*chunk);
        } else {
            body += *chunk;
        }
    }
}

Client::Client(async::Executor executor, std::string user_agent)
    : executor_(std::move(executor)),
      user_agent_(std::move(user_agent)),
      engine_(Engine::create(executor_)) {}

Client::~Client() = default;

void Client::reset_connections() {
    engine_ = Engine::create(executor_);
}

async::Task<Result<std::unique_ptr<Stream>>> Client::open(Request request) {
    bool may_follow = request.method == "GET" || request.method == "HEAD";
    int redirects_left = may_follow ? request.redirects_max : 0;
    while (true) {
        SKIFF_CO_CHECK(parse_url(request.url));
        auto transfer = std::make_unique<Transfer>(engine_, request, user_agent_);
        SKIFF_CO_CHECK(transfer->start());
        SKIFF_CO_CHECK(co_await transfer->wait_head());
        auto location = transfer->headers().find("Location");
        if (request.redirects_max == 0 || !may_follow || !is_redirect(transfer->status()) ||
            !location) {
            co_return std::unique_ptr<Stream>(std::move(transfer));
        }
        if (redirects_left-- == 0) {
            co_return fail(Code::denied, "{} redirects too often", request.url);
        }
        SKIFF_CO_CHECK(follow(request, *location));
    }
}

async::Task<Result<void>> Client::connect(std::string url, Duration timeout) {
    SKIFF_CO_CHECK(parse_url(url));
    Request request;
    request.url = std::move(url);
    request.proxy = "";
    request.connection = Connection::kOwn;
    request.timeouts = Timeouts{timeout, timeout, Duration::zero()};
    using Aim = Transfer::Aim;
    auto transfer =
        std::make_unique<Transfer>(engine_, std::move(request), std::string(), Aim::connect);
    SKIFF_CO_CHECK(transfer->start());
    co_return co_await transfer->wait_finished();
}

async::Task<Result<Response>> Client::fetch(Request request) {
    std::uint64_t body_bytes_max = request.body_bytes_max;
    SKIFF_CO_TRY(auto stream, co_await open(std::move(request)));
    Response response;
    response.status = stream->status();
    response.headers = stream->headers();
    response.url = stream->url();
    SKIFF_CO_TRY(response.body, co_await stream->read_all(body_bytes_max));
    co_return std::move(response);
}

}  // namespace skiff::http
