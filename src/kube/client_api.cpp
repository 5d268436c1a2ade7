#include "kube/client_api.h"

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "http/status.h"
#include "http/url.h"

namespace skiff::kube {

namespace {

constexpr std::size_t kWatchEventBytesMax = std::size_t{16} << 20;
constexpr std::size_t kErrorBodyBytesMax = std::size_t{64} << 10;
constexpr std::size_t kShownBodyMax = 256;
// Most answers are short, and a node waits for a hundred of them at a time.
constexpr std::size_t kWindowBytes = std::size_t{64} << 10;

Code code_of(int http_status, std::string_view reason) {
    switch (http_status) {
        case 400:
        case 413:
        case 422:
            return Code::invalid;
        case 405:
        case 406:
        case 415:
            return Code::unsupported;
        case 409:
            return reason == "AlreadyExists" ? Code::exists : Code::conflict;
        case 410:
            return Code::conflict;
        case 504:
            return Code::timeout;
        default:
            return http::code_of_status(http_status).value_or(Code::internal);
    }
}

bool may_retry(int status) {
    return status == 429 || status == 503;
}

std::optional<Duration> retry_after(const http::Stream& response) {
    auto text = response.headers().find("Retry-After");
    auto seconds = text ? parse_uint(*text) : std::nullopt;
    if (!seconds || !may_retry(response.status())) {
        return std::nullopt;
    }
    constexpr auto kMax = std::chrono::duration_cast<std::chrono::seconds>(kRetryAfterMax);
    return std::min<Duration>(std::chrono::seconds(std::min<std::uint64_t>(
                                  *seconds, static_cast<std::uint64_t>(kMax.count()))),
                              kRetryAfterMax);
}

}  // namespace

std::string resource_path(const Resource& resource, std::string_view ns, std::string_view name,
                          std::string_view subresource) {
    bool core = resource.group_version.find('/') == std::string_view::npos;
    std::string path = fmt::format("/{}/{}", core ? "api" : "apis", resource.group_version);
    if (resource.scope == ResourceScope::namespaced && !ns.empty()) {
        path += "/namespaces/" + http::percent_encode(ns);
    }
    path += fmt::format("/{}", resource.plural);
    if (!name.empty()) {
        path += "/" + http::percent_encode(name);
    }
    if (!subresource.empty()) {
        path += fmt::format("/{}", subresource);
    }
    return path;
}

Error error_from_status(int http_status, std::string_view body) {
    Error error;
    auto status = from_json<Status>(body);
    if (status && !status->message.empty()) {
        error.reason = status->reason;
        error.message = status->message;
    } else {
        error.message =
            fmt::format("HTTP {} {}", http_status, trim(bounded_utf8(body, kShownBodyMax)));
    }
    // A Status in a watch event has no HTTP status of its own.
    error.code = code_of(http_status == 0 && status ? status->code : http_status, error.reason);
    return error;
}

async::Task<Result<std::optional<std::string>>> WatchStream::next() {
    while (true) {
        auto end = buffered_.find('\n', scanned_);
        if (end != std::string::npos) {
            std::string line = buffered_.substr(0, end);
            buffered_.erase(0, end + 1);
            scanned_ = 0;
            if (trim(line).empty()) {
                continue;
            }
            co_return std::optional(std::move(line));
        }
        scanned_ = buffered_.size();
        if (buffered_.size() > kWatchEventBytesMax) {
            co_return fail(Code::exhausted, "a watch event larger than {} bytes",
                           kWatchEventBytesMax);
        }
        SKIFF_CO_TRY(auto chunk, co_await stream_->next_chunk());
        if (!chunk) {
            co_return std::optional<std::string>();
        }
        buffered_ += *chunk;
    }
}

ApiClient::ApiClient(async::Executor executor, const Clock& clock, ClientConfig config,
                     RequestRate rate)
    : clock_(clock),
      config_(std::move(config)),
      http_(std::move(executor), "skiff/" SKIFF_VERSION),
      rate_(rate),
      tokens_(rate.burst),
      refilled_(clock.steady_now()),
      credentials_(clock, config_) {}

void ApiClient::set_config(ClientConfig config) {
    config_ = std::move(config);
    credentials_.reset();
    plugin_certificate_.clear();
    refused_since_.reset();
    renew_connections();
}

void ApiClient::renew_connections() {
    // The server knows a peer by its handshake: what is asked from now on takes new connections.
    http_.reset_connections();
    ++renewals_;
    tell_waiting();
}

void ApiClient::tell_waiting() {
    auto callbacks = suspicion_;
    for (const auto& callback : callbacks) {
        callback();
    }
}

async::Task<Result<std::shared_ptr<const Credential>>> ApiClient::credential() {
    SKIFF_CO_TRY(auto used, co_await credentials_.get());
    if (used->certificate_pem != plugin_certificate_) {
        bool is_first = plugin_certificate_.empty();
        plugin_certificate_ = used->certificate_pem;
        if (!is_first) {
            renew_connections();
        }
    }
    co_return used;
}

http::Request ApiClient::make_request(const ApiRequest& request, const Credential& used) {
    http::Request out;
    out.window_bytes = kWindowBytes;
    out.method = request.method;
    out.url = config_.server + request.path;
    if (!request.query.empty()) {
        out.url += "?" + http::format_query(request.query);
    }
    out.headers.set("Accept", "application/json");
    if (!request.body.empty()) {
        out.headers.set("Content-Type", request.content_type);
        out.body = request.body;
    }
    if (!used.token.empty()) {
        out.headers.set("Authorization", "Bearer " + used.token);
    }
    out.tls = config_.tls;
    if (!used.certificate_pem.empty()) {
        out.tls.client_certificate_pem = used.certificate_pem;
        out.tls.client_key_pem = used.key_pem;
    }
    out.proxy = config_.proxy;
    out.timeouts.connect = std::min<Duration>(std::chrono::seconds(10), request.timeout);
    out.timeouts.total = request.timeout;
    out.timeouts.idle = request.timeout;
    out.body_bytes_max = kWireBytesMax;
    return out;
}

async::Task<Result<void>> ApiClient::wait_turn(Throttle throttle) {
    if (throttle == Throttle::exempt) {
        co_return Result<void>();
    }
    auto now = clock_.steady_now();
    std::chrono::duration<double> passed = now - refilled_;
    tokens_ = std::min(rate_.burst, tokens_ + passed.count() * rate_.per_second);
    refilled_ = now;
    // Takes its token at once, perhaps on credit, and waits until it would have been there: so
    // those who wait go in order.
    tokens_ -= 1;
    if (tokens_ >= 0) {
        co_return Result<void>();
    }
    std::chrono::duration<double> wait(-tokens_ / rate_.per_second);
    co_return co_await async::sleep_for(std::chrono::duration_cast<Duration>(wait));
}

void ApiClient::suspect(const Error& error) {
    if (error.code != Code::timeout) {
        return;
    }
    // A peer that went away without a word leaves connections that swallow requests for many
    // minutes (TRAPS 27). Ours are given up at the first timeout.
    log::warn("API server silent, connections given up", log::kv("server", config_.server));
    http_.reset_connections();
    tell_waiting();
}

void ApiClient::note_answer(int status) {
    last_answer_ = clock_.steady_now();
    if (status != 401) {
        refused_since_.reset();
    } else if (!refused_since_) {
        refused_since_ = last_answer_;
    }
}

async::Task<bool> ApiClient::is_ready(std::string server) {
    http::Request request;
    request.url = server + "/readyz";
    request.tls = config_.tls;
    request.proxy = config_.proxy;
    request.timeouts = http::Timeouts{kReadyTimeout, kReadyTimeout, kReadyTimeout};
    request.connection = http::Connection::kOwn;
    auto answer = co_await http_.fetch(std::move(request));
    // Where strangers may not ask, whoever refuses them is there.
    co_return answer && (answer->status == 200 || answer->status == 401 || answer->status == 403);
}

async::Task<Result<bool>> ApiClient::fail_over(std::string server) {
    if (config_.other_servers.empty()) {
        co_return false;
    }
    SKIFF_CO_TRY(auto turn, co_await failing_over_.acquire());
    static_cast<void>(turn);
    if (config_.server != server) {
        co_return true;
    }
    if (nobody_ready_ && clock_.steady_now() - *nobody_ready_ < kFailOverPause) {
        co_return false;
    }
    nobody_ready_.reset();
    bool well = co_await is_ready(server);
    if (well) {
        co_return false;
    }
    std::vector<std::string> others = config_.other_servers;
    for (std::size_t i = 0; i < others.size(); ++i) {
        bool ready = co_await is_ready(others[i]);
        if (!ready || config_.server != server) {
            continue;
        }
        // The one that failed is the last to be asked again.
        std::rotate(others.begin(), others.begin() + static_cast<std::ptrdiff_t>(i), others.end());
        config_.server = others.front();
        others.erase(others.begin());
        others.push_back(server);
        config_.other_servers = std::move(others);
        log::warn("another API server is used", log::kv("server", config_.server),
                  log::kv("before", server));
        renew_connections();
        co_return true;
    }
    nobody_ready_ = clock_.steady_now();
    co_return false;
}

void ApiClient::tell(const Exchange& exchange) const {
    if (observer_) {
        observer_(exchange);
    }
}

async::Task<Result<std::unique_ptr<http::Stream>>> ApiClient::open(const ApiRequest& request,
                                                                   Duration idle) {
    bool moved = false;
    bool renewed = false;
    int waited = 0;
    while (true) {
        SKIFF_CO_CHECK(co_await wait_turn(request.throttle));
        SKIFF_CO_TRY(auto used, co_await credential());
        http::Request out = make_request(request, *used);
        if (idle > Duration::zero()) {
            out.timeouts.total = Duration::zero();
            out.timeouts.idle = idle;
        }
        std::string server = config_.server;
        SteadyTime begun = clock_.steady_now();
        auto stream = co_await http_.open(std::move(out));
        if (!stream) {
            suspect(stream.error());
        } else {
            note_answer((*stream)->status());
        }
        int status = stream ? (*stream)->status() : 0;
        tell({server, request.method, status, clock_.steady_now() - begun});
        if (status == 401 && !std::exchange(renewed, true) && credentials_.refused(used)) {
            continue;
        }
        auto pause = stream ? retry_after(**stream) : std::nullopt;
        bool is_down = stream ? !pause && (status == 502 || status == 503)
                              : stream.error().code != Code::cancelled;
        if (is_down && !std::exchange(moved, true)) {
            SKIFF_CO_TRY(bool again, co_await fail_over(server));
            if (again) {
                continue;
            }
        }
        if (!pause || waited++ >= kRetryAfterTries) {
            co_return std::move(stream);
        }
        SKIFF_CO_CHECK(co_await async::sleep_for(*pause));
    }
}

async::Task<Result<std::string>> ApiClient::call(ApiRequest request) {
    auto describe = [&request](Error error) {
        return std::move(error).context(fmt::format("{} {}", request.method, request.path));
    };
    auto stream = co_await open(request, Duration::zero());
    if (!stream) {
        co_return fail(describe(std::move(stream.error())));
    }
    auto body = co_await (*stream)->read_all(kWireBytesMax);
    if (!body) {
        suspect(body.error());
        co_return fail(describe(std::move(body.error())));
    }
    int status = (*stream)->status();
    if (status < 200 || status > 299) {
        co_return fail(error_from_status(status, *body));
    }
    co_return std::move(*body);
}

async::Task<Result<std::unique_ptr<WatchStream>>> ApiClient::watch(ApiRequest request,
                                                                   Duration idle) {
    auto stream = co_await open(request, idle);
    if (!stream) {
        co_return fail(std::move(stream.error()).context("WATCH " + request.path));
    }
    int status = (*stream)->status();
    if (status != 200) {
        auto body = co_await (*stream)->read_all(kErrorBodyBytesMax);
        co_return fail(error_from_status(status, body ? *body : std::string()));
    }
    co_return std::make_unique<WatchStream>(std::move(*stream));
}

async::Task<Result<void>> ApiClient::remove_path(std::string path, std::string uid,
                                                 std::int64_t grace_period_seconds) {
    ApiRequest request;
    request.method = "DELETE";
    request.path = std::move(path);
    request.body =
        fmt::format(R"({{"apiVersion":"v1","kind":"DeleteOptions","gracePeriodSeconds":{},)"
                    R"("preconditions":{{"uid":"{}"}}}})",
                    grace_period_seconds, uid);
    auto answer = co_await call(std::move(request));
    if (!answer) {
        co_return fail(std::move(answer.error()));
    }
    co_return Result<void>();
}

}  // namespace skiff::kube
