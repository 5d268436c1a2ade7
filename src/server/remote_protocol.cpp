#include "server/remote_protocol.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "http/websocket_frames.h"
#include "kube/codec.h"

namespace skiff::server {

namespace {

constexpr std::string_view kVersionHeader = "X-Stream-Protocol-Version";
constexpr std::string_view kAcceptedHeader = "X-Accepted-Stream-Protocol-Versions";
constexpr std::string_view kSpdy = "SPDY/3.1";

constexpr std::string_view kCommandsOverSpdy[] = {"v4.channel.k8s.io", "v3.channel.k8s.io",
                                                  "v2.channel.k8s.io", "channel.k8s.io"};
constexpr std::string_view kCommandsOverWebSocket[] = {
    "v5.channel.k8s.io", "v4.channel.k8s.io",     "v4.base64.channel.k8s.io",
    "channel.k8s.io",    "base64.channel.k8s.io",
};
constexpr std::string_view kPortForwardOverSpdy[] = {"portforward.k8s.io"};
constexpr std::string_view kPortForwardOverWebSocket[] = {
    "SPDY/3.1+portforward.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io"};

tl::unexpected<RemoteRefusal> refuse(int status, std::string text) {
    return tl::unexpected<RemoteRefusal>(
        RemoteRefusal{http::plain_text(status, "unable to upgrade: " + std::move(text))});
}

// The client's order decides.
std::optional<std::string> common(const std::vector<std::string>& asked,
                                  std::span<const std::string_view> known) {
    auto found = std::ranges::find_first_of(asked, known);
    return found == asked.end() ? std::nullopt : std::optional(*found);
}

tl::expected<RemoteUpgrade, RemoteRefusal> over_spdy(const http::Headers& headers,
                                                     std::span<const std::string_view> known) {
    // Several fields, or one with commas: old proxies join them.
    std::vector<std::string> asked = http::list_items(headers, kVersionHeader);
    if (asked.empty()) {
        return refuse(400, fmt::format("{} is required", kVersionHeader));
    }
    auto protocol = common(asked, known);
    if (!protocol) {
        auto refusal = refuse(
            403, bounded_utf8(fmt::format("no common version: the client has [{}], the node [{}]",
                                          fmt::join(asked, ", "), fmt::join(known, ", ")),
                              1024));
        for (std::string_view version : known) {
            refusal.value().response.headers.add(std::string(kAcceptedHeader),
                                                 std::string(version));
        }
        return refusal;
    }
    RemoteUpgrade upgrade;
    upgrade.answer = http::Headers{{"Connection", "Upgrade"},
                                   {"Upgrade", std::string(kSpdy)},
                                   {std::string(kVersionHeader), *protocol}};
    upgrade.protocol = std::move(*protocol);
    return upgrade;
}

tl::expected<RemoteUpgrade, RemoteRefusal> over_websocket(const http::ServerRequest& request,
                                                          std::span<const std::string_view> known) {
    if (request.method != "GET") {
        return refuse(405, "a WebSocket begins with GET");
    }
    auto key = http::websocket_key(request.headers);
    if (!key) {
        auto refusal = refuse(400, key.error().message);
        refusal.value().response.headers.set("Sec-WebSocket-Version", "13");
        return refusal;
    }
    RemoteUpgrade upgrade;
    upgrade.carrier = RemoteUpgrade::Carrier::websocket;
    std::vector<std::string> asked = http::websocket_protocols(request.headers);
    if (!asked.empty()) {
        auto protocol = common(asked, known);
        if (!protocol) {
            return refuse(403, fmt::format("no common subprotocol: the node has [{}]",
                                           fmt::join(known, ", ")));
        }
        upgrade.protocol = std::move(*protocol);
    }
    upgrade.answer = http::websocket_answer(*key, upgrade.protocol);
    return upgrade;
}

kube::Status status_of(const Result<pods::ContainerExit>& end) {
    kube::Status status;
    if (!end) {
        const std::string what =
            fmt::format("error executing command in container: {}", format_as(end.error()));
        status.status = "Failure";
        status.reason = "InternalError";
        status.message = "Internal error occurred: " + what;
        status.details.emplace().causes.push_back({{}, what, {}});
        status.code = 500;
    } else if (end->exit_code == 0) {
        status.status = "Success";
    } else {
        status.status = "Failure";
        status.reason = "NonZeroExitCode";
        status.message =
            fmt::format("command terminated with non-zero exit code: {}", end->exit_code);
        status.details.emplace().causes.push_back({"ExitCode", std::to_string(end->exit_code), {}});
    }
    return status;
}

std::optional<std::uint16_t> cells(std::string_view text) {
    auto number = parse_uint(trim(text));
    if (!number || *number == 0 || *number > 0xffff) {
        return std::nullopt;
    }
    return static_cast<std::uint16_t>(*number);
}

// What is between the braces.
std::optional<TerminalSize> parse_size(std::string_view object) {
    TerminalSize size;
    for (std::string_view member : split(object, ',')) {
        auto colon = member.find(':');
        if (colon == std::string_view::npos) {
            return std::nullopt;
        }
        std::string_view name = trim(member.substr(0, colon));
        auto value = cells(member.substr(colon + 1));
        if (value && http::equal_ignoring_case(name, "\"Width\"")) {
            size.columns = *value;
        } else if (value && http::equal_ignoring_case(name, "\"Height\"")) {
            size.rows = *value;
        }
    }
    return size.columns > 0 && size.rows > 0 ? std::optional(size) : std::nullopt;
}

}  // namespace

const RemoteVersions kCommandVersions{kCommandsOverSpdy, kCommandsOverWebSocket};
const RemoteVersions kPortForwardVersions{kPortForwardOverSpdy, kPortForwardOverWebSocket};

Result<RemoteRequest> parse_remote_request(const RequestTarget& target) {
    const auto& segments = target.segments;
    if (segments.size() != 4 && segments.size() != 5) {
        return fail(Code::not_found, "404: Page Not Found");
    }
    RemoteRequest request;
    request.target.pod = PodName{segments[1], segments[2]};
    if (segments.size() == 5) {
        request.target.uid = PodUid(segments[3]);
    }
    request.target.container = segments.back();
    auto& streams = request.target.streams;
    streams.with_stdin = target.find("input") == "1";
    streams.with_stdout = target.find("output") == "1";
    streams.tty = target.find("tty") == "1";
    streams.with_stderr = target.find("error") == "1" && !streams.tty;
    if (!streams.with_stdin && !streams.with_stdout && !streams.with_stderr) {
        return fail(Code::invalid, "you must specify at least 1 of stdin, stdout, stderr");
    }
    for (const auto& [name, value] : target.query) {
        if (name == "command" && target.route() == "exec") {
            request.command.push_back(value);
        }
    }
    if (request.command.empty() && target.route() == "exec") {
        return fail(Code::invalid, "you must specify a command");
    }
    return request;
}

tl::expected<RemoteUpgrade, RemoteRefusal> negotiate(const http::ServerRequest& request,
                                                     const RemoteVersions& versions) {
    if (request.method != "GET" && request.method != "POST") {
        auto refusal = refuse(405, "405: Method Not Allowed");
        refusal.value().response.headers.set("Allow", "GET, POST");
        return refusal;
    }
    if (http::is_websocket_upgrade(request.headers)) {
        return over_websocket(request, versions.websocket);
    }
    if (http::has_token(request.headers, "Connection", "upgrade") &&
        http::has_token(request.headers, "Upgrade", kSpdy)) {
        return over_spdy(request.headers, versions.spdy);
    }
    return refuse(400,
                  "missing upgrade headers in request: Connection: Upgrade with Upgrade: "
                  "SPDY/3.1 or websocket");
}

StatusForm status_form(std::string_view protocol) {
    return protocol.starts_with("v4.") || protocol.starts_with("v5.") ? StatusForm::json
                                                                      : StatusForm::text;
}

SpdyChannels::Resize resize_in(std::string_view protocol) {
    return protocol.starts_with("v3.") || protocol.starts_with("v4.") ? SpdyChannels::Resize::yes
                                                                      : SpdyChannels::Resize::no;
}

WebSocketChannels::Format websocket_format(std::string_view protocol) {
    WebSocketChannels::Format format;
    if (protocol.find("base64.") != std::string_view::npos) {
        format.codec = ChannelCodec::base64;
    }
    if (protocol.starts_with("v5.")) {
        format.closing = ChannelClosing::by_message;
    }
    return format;
}

std::string format_status(const Result<pods::ContainerExit>& end, StatusForm form) {
    kube::Status status = status_of(end);
    if (form == StatusForm::json) {
        return kube::to_json(status);
    }
    return status.status == "Success" ? std::string() : status.message;
}

std::optional<TerminalSize> TerminalSizeReader::add(std::string_view bytes) {
    std::optional<TerminalSize> newest;
    for (char c : bytes) {
        if (c == '{') {
            inside_ = true;
            object_.clear();
        } else if (c == '}' && inside_) {
            inside_ = false;
            auto size = parse_size(object_);
            newest = size ? size : newest;
        } else if (inside_ && object_.size() < kObjectBytesMax) {
            object_ += c;
        }
    }
    return newest;
}

}  // namespace skiff::server
