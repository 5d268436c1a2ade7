#include "probes/check.h"

#include <algorithm>

#include "base/text.h"
#include "http/url.h"
#include "probes/grpc.h"
#include "probes/request.h"

namespace skiff::probes {

namespace {

using async::Task;

bool is_redirect(int status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// The client's words begin with what it was asked for, which is said here already.
std::string_view cause(const Error& error, const std::string& url) {
    std::string_view text = error.message;
    const std::string prefix = "GET " + url + ": ";
    return text.starts_with(prefix) ? text.substr(prefix.size()) : text;
}

Outcome http_failure(const Error& error, const std::string& url) {
    if (error.code == Code::timeout) {
        return Outcome::failed(
            fmt::format("Get \"{}\": context deadline exceeded (Client.Timeout "
                        "exceeded while awaiting headers)",
                        url));
    }
    return Outcome::failed(fmt::format("Get \"{}\": {}", url, cause(error, url)));
}

// The beginning of a body; what comes after it is not waited for.
Task<Result<std::string>> read_beginning(http::Stream& stream) {
    std::string body;
    while (body.size() < kBodyBytesMax) {
        SKIFF_CO_TRY(auto chunk, co_await stream.next_chunk());
        if (!chunk) {
            break;
        }
        body += *chunk;
    }
    body.resize(std::min(body.size(), kBodyBytesMax));
    co_return std::move(body);
}

Outcome judge_status(int status, const std::string& body) {
    if (status < 200 || status >= 400) {
        return Outcome::failed(fmt::format("HTTP probe failed with statuscode: {}", status));
    }
    if (status >= 300) {
        return Outcome{Outcome::Kind::warning,
                       "Probe terminated redirects, Response body: " + body};
    }
    return Outcome{Outcome::Kind::success, body};
}

// Whether a redirect goes on at the host that was asked first.
Result<bool> stays(const std::string& first, const std::string& now, const std::string& location) {
    SKIFF_TRY(http::Url begin, http::parse_url(first));
    SKIFF_TRY(http::Url here, http::parse_url(now));
    SKIFF_TRY(http::Url next, http::resolve_url(here, location));
    return next.host == begin.host;
}

// The response at the end of the redirects that stay with the host.
Task<Result<Outcome>> get(http::Client& client, http::Request request) {
    const SteadyTime deadline = after(request.timeouts.total);
    const std::string first = request.url;
    for (int hop = 0; hop <= kRedirectsMax; ++hop) {
        auto stream = co_await client.open(request);
        if (!stream) {
            co_return fail(std::move(stream.error()));
        }
        const int status = (*stream)->status();
        auto location = (*stream)->headers().find("Location");
        bool goes_on = false;
        if (is_redirect(status) && location) {
            SKIFF_CO_TRY(goes_on, stays(first, request.url, *location));
        }
        if (!goes_on) {
            SKIFF_CO_TRY(std::string body, co_await read_beginning(**stream));
            co_return judge_status(status, body);
        }
        SKIFF_CO_CHECK(follow(request, *location));
        auto left = deadline - std::chrono::steady_clock::now();
        if (left <= Duration::zero()) {
            co_return fail(Code::timeout, "the redirects did not end in time");
        }
        request.timeouts = http::Timeouts{left, left, left};
    }
    co_return Outcome::failed(
        fmt::format("Get \"{}\": stopped after {} redirects", request.url, kRedirectsMax));
}

Task<Result<Outcome>> check_http(const Tools& tools, const Subject& subject) {
    Place place{subject.address, subject.container, tools.probe_agent, subject.timeout};
    SKIFF_CO_TRY(http::Request request, http_request(*subject.probe.httpGet, place));
    const std::string url = request.url;
    auto outcome = co_await get(tools.client, std::move(request));
    if (!outcome && outcome.error().code != Code::cancelled) {
        co_return http_failure(outcome.error(), url);
    }
    co_return outcome;
}

Task<Result<Outcome>> check_tcp(const Tools& tools, const Subject& subject) {
    const kube::TCPSocketAction& action = *subject.probe.tcpSocket;
    SKIFF_CO_TRY(std::uint16_t port, port_of(action.port, subject.container));
    const std::string host = action.host.empty() ? subject.address : action.host;
    if (host.empty()) {
        co_return fail(Code::invalid, "the pod has no address");
    }
    const std::string authority = authority_of(host, port);
    const std::string url = "http://" + authority;
    auto connected = co_await tools.client.connect(url, subject.timeout);
    if (connected) {
        co_return Outcome{};
    }
    const Error& error = connected.error();
    if (error.code == Code::cancelled) {
        co_return fail(std::move(connected.error()));
    }
    if (error.code == Code::timeout) {
        co_return Outcome::failed(fmt::format("dial tcp {}: i/o timeout", authority));
    }
    co_return Outcome::failed(fmt::format("dial tcp {}: {}", authority, cause(error, url)));
}

Task<Result<Outcome>> check_command(const Tools& tools, const Subject& subject) {
    pods::CommandRun run;
    run.container = subject.id;
    run.command = subject.probe.exec->command;
    run.timeout = subject.timeout;
    auto ended = co_await tools.commands.run(std::move(run));
    if (!ended && ended.error().code == Code::timeout) {
        co_return Outcome::failed(fmt::format("command \"{}\" timed out after {}",
                                              fmt::join(subject.probe.exec->command, " "),
                                              format_duration(subject.timeout)));
    }
    if (!ended) {
        co_return fail(std::move(ended.error()));
    }
    const auto kind = ended->exit_code == 0 ? Outcome::Kind::success : Outcome::Kind::failure;
    co_return Outcome{kind, std::move(ended->output)};
}

Task<Result<Outcome>> check_health(const Tools& tools, const Subject& subject) {
    const kube::GRPCAction& action = *subject.probe.grpc;
    kube::IntOrString port;
    port.value = action.port;
    SKIFF_CO_TRY(std::uint16_t number, port_of(port, subject.container));
    if (subject.address.empty()) {
        co_return fail(Code::invalid, "the pod has no address");
    }
    GrpcCheck its;
    its.authority = authority_of(subject.address, number);
    its.service = action.service.value_or("");
    its.user_agent = tools.probe_agent;
    its.timeout = subject.timeout;
    co_return co_await check_grpc(tools.client, std::move(its));
}

// OpenSSL's words for bytes that are no TLS: a server that speaks plain HTTP.
bool speaks_no_tls(const Error& error) {
    return error.message.find("wrong version number") != std::string::npos;
}

}  // namespace

Task<Result<Outcome>> check(const Tools& tools, const Subject& subject) {
    if (subject.probe.exec) {
        co_return co_await check_command(tools, subject);
    }
    if (subject.probe.httpGet) {
        co_return co_await check_http(tools, subject);
    }
    if (subject.probe.tcpSocket) {
        co_return co_await check_tcp(tools, subject);
    }
    if (subject.probe.grpc) {
        co_return co_await check_health(tools, subject);
    }
    co_return fail(Code::invalid, "the probe has none of exec, httpGet, tcpSocket, grpc");
}

Task<Result<pods::Probes::HookAnswer>> call_hook(const Tools& tools, pods::HookRequest hook) {
    using Answer = pods::Probes::HookAnswer;
    const SteadyTime deadline = after(hook.timeout);
    Place place{hook.address, hook.container, tools.hook_agent, hook.timeout};
    SKIFF_CO_TRY(http::Request request, http_request(hook.action, place));
    const bool encrypted = request.url.starts_with("https://");
    auto answered = co_await tools.client.open(request);
    if (answered) {
        co_return Answer::given;
    }
    if (!encrypted || !speaks_no_tls(answered.error())) {
        co_return fail(std::move(answered.error()));
    }
    request.url.replace(0, std::string_view("https").size(), "http");
    request.headers.remove("Authorization");
    auto left = std::max<Duration>(deadline - std::chrono::steady_clock::now(),
                                   std::chrono::milliseconds(1));
    request.timeouts = http::Timeouts{left, left, left};
    auto plain = co_await tools.client.open(std::move(request));
    if (!plain) {
        co_return fail(std::move(plain.error()));
    }
    co_return Answer::given_without_tls;
}

}  // namespace skiff::probes
