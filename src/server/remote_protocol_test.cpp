#include "server/remote_protocol.h"

#include <gtest/gtest.h>

#include "kube/codec.h"
#include "server/port_forward.h"

namespace skiff::server {
namespace {

Result<RemoteRequest> parse(std::string_view target) {
    return parse_remote_request(*parse_target(target));
}

http::ServerRequest request_with(http::Headers headers, std::string method = "GET") {
    http::ServerRequest request;
    request.method = std::move(method);
    request.headers = std::move(headers);
    return request;
}

http::Headers spdy_headers(std::vector<std::string> versions) {
    http::Headers headers{{"Connection", "Upgrade"}, {"Upgrade", "SPDY/3.1"}};
    for (std::string& version : versions) {
        headers.add("X-Stream-Protocol-Version", std::move(version));
    }
    return headers;
}

http::Headers websocket_headers(std::string protocols) {
    http::Headers headers{{"Connection", "Upgrade"},
                          {"Upgrade", "websocket"},
                          {"Sec-WebSocket-Version", "13"},
                          {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}};
    if (!protocols.empty()) {
        headers.set("Sec-WebSocket-Protocol", std::move(protocols));
    }
    return headers;
}

pods::ContainerExit exit_with(int code) {
    pods::ContainerExit exit;
    exit.kind = pods::ExitKind::exited;
    exit.exit_code = code;
    return exit;
}

TEST(RemoteRequest, SaysPodContainerStreamsAndCommand) {
    auto request = parse(
        "/exec/ns/web/main?command=sh&command=-c&command=echo+%22a%22&input=1&output=1&error=1");
    ASSERT_TRUE(request);
    EXPECT_EQ(request->target.pod, (PodName{"ns", "web"}));
    EXPECT_FALSE(request->target.uid);
    EXPECT_EQ(request->target.container, "main");
    EXPECT_EQ(request->target.streams, (RemoteStreams{true, true, true, false}));
    EXPECT_EQ(request->command, (std::vector<std::string>{"sh", "-c", "echo \"a\""}));
    auto with_uid = parse("/attach/ns/web/u-1/main?output=1");
    ASSERT_TRUE(with_uid);
    EXPECT_EQ(with_uid->target.uid, PodUid("u-1"));
    EXPECT_TRUE(with_uid->command.empty());
}

TEST(RemoteRequest, OfATerminalHasNoStderr) {
    auto request = parse("/exec/ns/web/main?command=sh&output=1&error=1&tty=1");
    ASSERT_TRUE(request);
    EXPECT_EQ(request->target.streams, (RemoteStreams{false, true, false, true}));
}

TEST(RemoteRequest, RefusesWhatAsksForNothing) {
    EXPECT_EQ(parse("/exec/ns/web/main?command=ls").error().message,
              "you must specify at least 1 of stdin, stdout, stderr");
    // Only 1 means yes.
    EXPECT_FALSE(parse("/exec/ns/web/main?command=ls&output=true"));
    EXPECT_FALSE(parse("/exec/ns/web/main?command=ls&error=1&tty=1"));
    EXPECT_EQ(parse("/exec/ns/web/main?output=1").error().code, Code::invalid);
    EXPECT_EQ(parse("/exec/ns/web?output=1&command=ls").error().code, Code::not_found);
    EXPECT_EQ(parse("/exec/a/b/c/d/e?output=1&command=ls").error().code, Code::not_found);
}

TEST(Negotiation, SpeaksTheClientsFirstSpdyVersionThatIsKnown) {
    auto upgrade = negotiate(
        request_with(spdy_headers({"v9.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io"}),
                     "POST"),
        kCommandVersions);
    ASSERT_TRUE(upgrade);
    EXPECT_EQ(upgrade->carrier, RemoteUpgrade::Carrier::spdy);
    EXPECT_EQ(upgrade->protocol, "v4.channel.k8s.io");
    EXPECT_EQ(upgrade->answer.find("Upgrade"), "SPDY/3.1");
    EXPECT_EQ(upgrade->answer.find("X-Stream-Protocol-Version"), "v4.channel.k8s.io");
    // Some proxies join the fields.
    auto joined = negotiate(request_with(spdy_headers({"v3.channel.k8s.io, v2.channel.k8s.io"})),
                            kCommandVersions);
    ASSERT_TRUE(joined);
    EXPECT_EQ(joined->protocol, "v3.channel.k8s.io");
}

TEST(Negotiation, RefusesAsTheKubeletDoes) {
    auto plain = negotiate(request_with({}), kCommandVersions);
    ASSERT_FALSE(plain);
    EXPECT_EQ(plain.error().response.status, 400);
    auto no_version = negotiate(request_with(spdy_headers({})), kCommandVersions);
    ASSERT_FALSE(no_version);
    EXPECT_EQ(no_version.error().response.status, 400);
    auto none = negotiate(request_with(spdy_headers({"v9.channel.k8s.io"})), kCommandVersions);
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().response.status, 403);
    EXPECT_EQ(none.error().response.headers.find_all("X-Accepted-Stream-Protocol-Versions").size(),
              4U);
    auto put =
        negotiate(request_with(spdy_headers({"v4.channel.k8s.io"}), "PUT"), kCommandVersions);
    ASSERT_FALSE(put);
    EXPECT_EQ(put.error().response.status, 405);
}

TEST(Negotiation, SpeaksWebSocket) {
    for (const auto& [asked, spoken] : std::vector<std::pair<std::string, std::string>>{
             {"", ""},
             {"v5.channel.k8s.io", "v5.channel.k8s.io"},
             {"unknown, v4.base64.channel.k8s.io", "v4.base64.channel.k8s.io"},
             {"base64.channel.k8s.io", "base64.channel.k8s.io"},
             {"channel.k8s.io", "channel.k8s.io"}}) {
        auto upgrade = negotiate(request_with(websocket_headers(asked)), kCommandVersions);
        ASSERT_TRUE(upgrade) << asked;
        EXPECT_EQ(upgrade->carrier, RemoteUpgrade::Carrier::websocket);
        EXPECT_EQ(upgrade->protocol, spoken);
        EXPECT_EQ(upgrade->answer.find("Sec-WebSocket-Accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
    EXPECT_EQ(negotiate(request_with(websocket_headers("v9.channel.k8s.io")), kCommandVersions)
                  .error()
                  .response.status,
              403);
    EXPECT_EQ(negotiate(request_with(websocket_headers(""), "POST"), kCommandVersions)
                  .error()
                  .response.status,
              405);
    http::Headers old = websocket_headers("");
    old.set("Sec-WebSocket-Version", "8");
    auto refused = negotiate(request_with(std::move(old)), kCommandVersions);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().response.status, 400);
    EXPECT_EQ(refused.error().response.headers.find("Sec-WebSocket-Version"), "13");
    auto tunnel = negotiate(request_with(websocket_headers("SPDY/3.1+portforward.k8s.io")),
                            kPortForwardVersions);
    ASSERT_TRUE(tunnel);
    EXPECT_EQ(tunnel->protocol, "SPDY/3.1+portforward.k8s.io");
}

TEST(RemoteStatus, SaysTheExitCodeWhereClientsLook) {
    auto failed = kube::from_json<kube::Status>(format_status(exit_with(3), StatusForm::json));
    ASSERT_TRUE(failed);
    EXPECT_EQ(failed->status, "Failure");
    EXPECT_EQ(failed->reason, "NonZeroExitCode");
    ASSERT_EQ(failed->details->causes.size(), 1U);
    EXPECT_EQ(failed->details->causes[0].reason, "ExitCode");
    EXPECT_EQ(failed->details->causes[0].message, "3");
    auto good = kube::from_json<kube::Status>(format_status(exit_with(0), StatusForm::json));
    ASSERT_TRUE(good);
    EXPECT_EQ(good->status, "Success");
    auto broken = kube::from_json<kube::Status>(
        format_status(fail(Code::not_found, "no such thing"), StatusForm::json));
    ASSERT_TRUE(broken);
    EXPECT_EQ(broken->reason, "InternalError");
    EXPECT_EQ(broken->code, 500);
    EXPECT_NE(broken->message.find("no such thing"), std::string::npos);
}

TEST(RemoteStatus, IsTextOnlyOfFailuresForOldClients) {
    EXPECT_EQ(format_status(exit_with(0), StatusForm::text), "");
    EXPECT_EQ(format_status(exit_with(3), StatusForm::text),
              "command terminated with non-zero exit code: 3");
    for (const char* protocol : {"", "channel.k8s.io", "v2.channel.k8s.io", "v3.channel.k8s.io",
                                 "base64.channel.k8s.io"}) {
        EXPECT_EQ(status_form(protocol), StatusForm::text) << protocol;
    }
    for (const char* protocol :
         {"v4.channel.k8s.io", "v4.base64.channel.k8s.io", "v5.channel.k8s.io"}) {
        EXPECT_EQ(status_form(protocol), StatusForm::json) << protocol;
    }
}

TEST(TerminalSizes, AreReadWhereverTheyAreCut) {
    const std::string text = "{\"Width\":80,\"Height\":24}\n{\"Width\": 100, \"Height\": 40}";
    TerminalSizeReader whole;
    EXPECT_EQ(whole.add(text), (TerminalSize{100, 40}));
    TerminalSizeReader bytewise;
    std::vector<TerminalSize> sizes;
    for (char c : text) {
        if (auto size = bytewise.add(std::string_view(&c, 1))) {
            sizes.push_back(*size);
        }
    }
    EXPECT_EQ(sizes, (std::vector<TerminalSize>{{80, 24}, {100, 40}}));
}

TEST(TerminalSizes, SkipWhatIsNone) {
    for (const char* text :
         {"", "nonsense", "{}", R"({"Width":0,"Height":24})", R"({"Width":80})",
          R"({"Width":65536,"Height":24})", R"({"Width":-1,"Height":24})", R"({"Width":80)"}) {
        TerminalSizeReader reader;
        EXPECT_FALSE(reader.add(text)) << text;
    }
    TerminalSizeReader reader;
    EXPECT_FALSE(reader.add("{" + std::string(100'000, 'x')));
    EXPECT_FALSE(reader.add("}"));
    EXPECT_TRUE(reader.add(R"({"Width":80,"Height":24})"));
}

TEST(PortForward, ReadsPortsAndStreams) {
    auto ports = parse_forward_ports(*parse_target("/portForward/ns/web?port=80,8080&port=443"));
    ASSERT_TRUE(ports);
    EXPECT_EQ(*ports, (std::vector<std::uint16_t>{80, 8080, 443}));
    for (const char* query : {"", "?port=", "?port=0", "?port=65536", "?port=80,", "?port=http"}) {
        auto target = parse_target(std::string("/portForward/ns/web") + query);
        EXPECT_FALSE(parse_forward_ports(*target)) << query;
    }
    std::string many = "/portForward/ns/web?port=1";
    for (int i = 0; i < 64; ++i) {
        many += ",1";
    }
    EXPECT_FALSE(parse_forward_ports(*parse_target(many)));
    EXPECT_TRUE(parse_forward_target(*parse_target("/portForward/ns/web/u-1"))->uid);
    EXPECT_FALSE(parse_forward_target(*parse_target("/portForward/ns")));

    auto data =
        parse_forward_stream({{"streamtype", "data"}, {"port", "80"}, {"requestid", "7"}}, 3);
    ASSERT_TRUE(data);
    EXPECT_EQ(data->port, 80);
    EXPECT_EQ(data->request, "7");
    // Old clients: a data stream belongs to the error stream before it.
    auto old_error = parse_forward_stream({{"streamtype", "error"}, {"port", "80"}}, 5);
    auto old_data = parse_forward_stream({{"streamtype", "data"}, {"port", "80"}}, 7);
    ASSERT_TRUE(old_error && old_data);
    EXPECT_EQ(old_error->request, old_data->request);
    EXPECT_FALSE(parse_forward_stream({{"streamtype", "stdin"}, {"port", "80"}}, 1));
    EXPECT_FALSE(parse_forward_stream({{"streamtype", "data"}, {"port", "0"}}, 1));
    EXPECT_FALSE(parse_forward_stream({{"streamtype", "data"}}, 1));
}

}  // namespace
}  // namespace skiff::server
