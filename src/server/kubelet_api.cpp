#include "server/kubelet_api.h"

#include "base/log.h"
#include "kube/codec.h"
#include "server/log_query.h"
#include "server/running_pods.h"
#include "server/streaming.h"

namespace skiff::server {

using async::Task;
using http::plain_text;
using http::ServerResponse;

namespace {

// Routes that run or show something inside pods; one setting turns them all off.
constexpr std::string_view kDebugRoutes[] = {"run",  "exec",          "attach",      "portForward",
                                             "logs", "containerLogs", "runningpods", "debug"};
// Those that act in pods whatever the method. Not every version and node offers them.
constexpr std::string_view kActingRoutes[] = {"run", "exec", "attach", "portForward"};

bool is_one_of(std::span<const std::string_view> names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

bool is_path(const RequestTarget& target, std::string_view first, std::string_view second) {
    return target.segments.size() == 2 && target.segments[0] == first &&
           target.segments[1] == second;
}

ServerResponse method_not_allowed(std::string allowed = "GET") {
    ServerResponse response = plain_text(405, "405: Method Not Allowed");
    response.headers.set("Allow", std::move(allowed));
    return response;
}

ServerResponse json_document(std::string text) {
    ServerResponse response;
    response.headers.set("Content-Type", "application/json");
    response.body = std::move(text);
    return response;
}

// Sends what a log source writes, beginning the response with the first piece, so that a source
// that fails before it can still be answered with a status of its own.
class ResponseSink final : public pods::LogSink {
public:
    explicit ResponseSink(http::Exchange& exchange) : exchange_(exchange) {}
    Task<Result<void>> write(std::string chunk) override {
        if (!exchange_.begun()) {
            SKIFF_CO_CHECK(co_await begin());
        }
        co_return co_await exchange_.write(chunk);
    }
    Task<Result<void>> begin() {
        http::Headers headers;
        headers.set("Content-Type", "text/plain; charset=utf-8");
        headers.set("X-Content-Type-Options", "nosniff");
        return exchange_.begin(200, std::move(headers));
    }

private:
    http::Exchange& exchange_;
};

// `?exclude=CHECK`, as often as one likes.
bool is_excluded(const RequestTarget& target, std::string_view check) {
    return std::ranges::any_of(target.query, [check](const auto& parameter) {
        return parameter.first == "exclude" && parameter.second == check;
    });
}

int status_of_log_error(Code code) {
    return code == Code::not_found ? 404 : 400;
}

Task<void> answer(http::Exchange& exchange, ServerResponse response) {
    // A peer that has gone needs no answer; the connection ends itself.
    auto sent = co_await exchange.respond(std::move(response));
}

}  // namespace

KubeletApi::KubeletApi(const Clock& clock, const NodeView& node, pods::LogSource& logs,
                       Reviews* reviews, KubeletApiSettings settings)
    : clock_(clock),
      node_(node),
      logs_(logs),
      metrics_(node),
      settings_(std::move(settings)),
      authenticator_(clock, settings_.token_reviews == TokenReviews::enabled ? reviews : nullptr,
                     settings_.anonymous, settings_.token_lifetime),
      authorizer_(clock, reviews, settings_.node_name, settings_.authorization,
                  settings_.answer_lifetimes) {}

// Whether the request may go on. Strangers get the same 401 for every path, readable or not.
Task<Result<void>> KubeletApi::admit(const http::ServerRequest& request,
                                     Result<RequestTarget>& target) {
    if (request.peer.kind == http::Peer::Kind::kTls) {
        SKIFF_CO_TRY(User user, co_await authenticator_.authenticate(request));
        if (target) {
            Attributes attributes = attributes_of(request.method, *target);
            // A WebSocket begins with GET, but what it does in a pod is not reading.
            const bool acts = request.method == "GET" && is_one_of(kActingRoutes, target->route());
            auto allowed = co_await authorizer_.authorize(user, attributes);
            SKIFF_CO_CHECK(std::move(allowed));
            if (acts) {
                attributes.verb = "create";
                auto may_act =
                    co_await authorizer_.authorize(std::move(user), std::move(attributes));
                SKIFF_CO_CHECK(std::move(may_act));
            }
        }
    }
    if (!target) {
        co_return fail(std::move(target.error()));
    }
    if (request.peer.kind == http::Peer::Kind::kPlain && target->route() != "healthz") {
        co_return fail(Code::not_found, "404: Page Not Found");
    }
    co_return Result<void>{};
}

Task<void> KubeletApi::handle(http::Exchange& exchange) {
    auto target = parse_target(exchange.request().target);
    auto admitted = co_await admit(exchange.request(), target);
    if (admitted) {
        co_await route(exchange, *target);
        co_return;
    }
    int status = 500;
    std::string text = admitted.error().message;
    switch (admitted.error().code) {
        case Code::unauthenticated:
            status = 401;
            text = "Unauthorized";
            break;
        case Code::denied:
            status = 403;
            break;
        case Code::invalid:
            status = 400;
            break;
        case Code::not_found:
            status = 404;
            break;
        default:
            break;
    }
    ServerResponse refusal = plain_text(status, std::move(text));
    co_await answer(exchange, std::move(refusal));
}

Task<void> KubeletApi::route(http::Exchange& exchange, const RequestTarget& target) {
    std::string_view name = target.route();
    const std::string& method = exchange.request().method;
    bool is_get = method == "GET";
    bool is_local = exchange.request().peer.kind == http::Peer::Kind::kLocal;
    auto own = is_local && name == "skiff" && target.segments.size() > 1
                   ? local_routes_.find(target.segments[1])
                   : local_routes_.end();
    if (own != local_routes_.end()) {
        co_await own->second->serve(exchange, target);
    } else if (settings_.debug_handlers == DebugHandlers::disabled &&
               is_one_of(kDebugRoutes, name)) {
        ServerResponse off = plain_text(405, "Debug endpoints are disabled.");
        co_await answer(exchange, std::move(off));
    } else if (name == "healthz" && target.segments.size() <= 2) {
        ServerResponse response =
            is_get || method == "HEAD" ? health(target) : method_not_allowed();
        co_await answer(exchange, std::move(response));
    } else if (name == "pods" && target.segments.size() == 1) {
        ServerResponse response = is_get ? pod_list() : method_not_allowed();
        co_await answer(exchange, std::move(response));
    } else if (name == "runningpods" && target.segments.size() == 1) {
        ServerResponse response =
            is_get ? json_document(running_pods_json(node_.pods())) : method_not_allowed();
        co_await answer(exchange, std::move(response));
    } else if (name == "configz" && target.segments.size() == 1) {
        ServerResponse response = is_get ? json_document(settings_.configz) : method_not_allowed();
        co_await answer(exchange, std::move(response));
    } else if (name == "metrics") {
        co_await metrics_.serve(exchange, target);
    } else if (is_path(target, "stats", "summary")) {
        co_await serve_summary(exchange, target);
    } else if (name == "containerLogs" && target.segments.size() == 4) {
        if (is_get) {
            co_await serve_logs(exchange, target);
        } else {
            ServerResponse response = method_not_allowed();
            co_await answer(exchange, std::move(response));
        }
    } else if (streaming_ != nullptr && StreamingRoutes::serves(name)) {
        co_await streaming_->serve(exchange, target);
    } else if (is_one_of(kActingRoutes, name)) {
        ServerResponse later =
            plain_text(501, fmt::format("{} is not supported by this version of Skiff", name));
        co_await answer(exchange, std::move(later));
    } else {
        ServerResponse unknown = plain_text(404, "404: Page Not Found");
        co_await answer(exchange, std::move(unknown));
    }
}

Task<void> KubeletApi::serve_summary(http::Exchange& exchange, const RequestTarget& target) {
    const std::string& method = exchange.request().method;
    if (method != "GET" && method != "POST") {
        ServerResponse refusal = method_not_allowed("GET, POST");
        co_await answer(exchange, std::move(refusal));
        co_return;
    }
    auto asked = target.find("only_cpu_and_memory");
    bool only = asked && *asked != "false" && *asked != "0";
    StatsScope scope = only ? StatsScope::cpu_and_memory : StatsScope::all;
    auto stats = co_await node_.stats(scope);
    ServerResponse response =
        stats ? json_document(summary_json(*stats, scope)) : plain_text(500, stats.error().message);
    co_await answer(exchange, std::move(response));
}

ServerResponse KubeletApi::health(const RequestTarget& target) const {
    std::string only = target.segments.size() == 2 ? target.segments[1] : "";
    constexpr std::string_view kChecks[] = {"ping", "log", "syncloop"};
    if (!only.empty() && !is_one_of(kChecks, only)) {
        return plain_text(404, "404: Page Not Found");
    }
    std::string report;
    bool healthy = true;
    for (std::string_view check : kChecks) {
        if (!only.empty() && check != only) {
            continue;
        }
        if (is_excluded(target, check)) {
            report += fmt::format("[+]{} excluded: ok\n", check);
            continue;
        }
        auto good = check == "syncloop" ? node_.sync_loop_health() : Result<void>{};
        healthy = healthy && good;
        report += good ? fmt::format("[+]{} ok\n", check)
                       : fmt::format("[-]{} failed: {}\n", check, good.error().message);
    }
    if (!healthy) {
        return plain_text(500, report + "healthz check failed\n");
    }
    return plain_text(200, target.find("verbose") ? report + "healthz check passed\n" : "ok");
}

ServerResponse KubeletApi::pod_list() const {
    std::string text = R"({"kind":"PodList","apiVersion":"v1","metadata":{},"items":[)";
    bool first = true;
    for (const auto& pod : node_.pods()) {
        text += first ? "" : ",";
        text += kube::to_json(*pod);
        first = false;
    }
    return json_document(text + "]}\n");
}

Task<void> KubeletApi::serve_logs(http::Exchange& exchange, const RequestTarget& target) {
    auto options = parse_log_query(target, clock_.wall_now());
    if (!options) {
        int status = options.error().reason == "Invalid" ? 422 : 400;
        ServerResponse refusal = plain_text(status, options.error().message);
        co_await answer(exchange, std::move(refusal));
        co_return;
    }
    PodName pod{target.segments[1], target.segments[2]};
    ResponseSink sink(exchange);
    auto sent = co_await logs_.read(pod, target.segments[3], *options, sink);
    if (!sent && !exchange.begun()) {
        ServerResponse refusal =
            plain_text(status_of_log_error(sent.error().code), sent.error().message);
        co_await answer(exchange, std::move(refusal));
        co_return;
    }
    if (!sent) {
        // The head is gone, so the cut connection is what says that something is missing.
        log::debug("log stream ended early", log::kv("pod", pod),
                   log::kv("error", sent.error().message));
        co_return;
    }
    if (!exchange.begun()) {
        if (!co_await sink.begin()) {
            co_return;
        }
    }
    auto ended = co_await exchange.end();
}

}  // namespace skiff::server
