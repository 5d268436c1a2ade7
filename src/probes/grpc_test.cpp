#include "probes/grpc.h"

#include <gtest/gtest.h>

#include "probes/fixture.h"
#include "probes/raw_server.h"

namespace skiff::probes {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::RawServer;

std::string message_of(std::string_view message) {
    return std::string("\0\0\0\0", 4) + static_cast<char>(message.size()) + std::string(message);
}

TEST(ProbeGrpc, EncodesTheRequest) {
    EXPECT_EQ(encode_health_request(""), std::string(5, '\0'));
    EXPECT_EQ(encode_health_request("db"), message_of("\x0A\x02"
                                                      "db"));
    std::string longer = encode_health_request(std::string(200, 's'));
    EXPECT_EQ(longer.substr(0, 8), std::string("\0\0\0\0\xCB\x0A\xC8\x01", 8));
}

TEST(ProbeGrpc, DecodesTheAnswer) {
    EXPECT_EQ(*decode_health_response(message_of("\x08\x01")), Serving::serving);
    EXPECT_EQ(*decode_health_response(message_of("")), Serving::unknown);
    EXPECT_EQ(name_of(*decode_health_response(message_of("\x08\x02"))), "NOT_SERVING");
    EXPECT_EQ(name_of(*decode_health_response(message_of("\x08\x63"))), "99");
    // Fields that a later version may add: a varint, eight bytes, a text, four bytes.
    std::string later =
        "\x10\x07\x19" + std::string(8, 'a') + "\x22\x01z\x2D" + std::string(4, 'b') + "\x08\x01";
    EXPECT_EQ(*decode_health_response(message_of(later)), Serving::serving);
}

TEST(ProbeGrpc, RefusesWhatIsNoAnswer) {
    for (const std::string& body :
         {std::string(), std::string("\0\0\0\0", 4), "\1" + message_of("\x08\x01").substr(1),
          message_of("\x08\x01") + "x", message_of("\x08"), message_of("\x22\x09z"),
          message_of("\x0B"), message_of(std::string(11, '\xFF'))}) {
        auto decoded = decode_health_response(body);
        ASSERT_FALSE(decoded);
        EXPECT_EQ(decoded.error().code, Code::corrupt);
    }
}

TEST(ProbeGrpc, ReadsPercentEncodedMessages) {
    EXPECT_EQ(decode_grpc_message("unknown service%20%2Fx%"), "unknown service /x%");
    EXPECT_EQ(decode_grpc_message("%zz%2"), "%zz%2");
}

// Just enough HTTP/2 of a server (RFC 9113): fixed frames once the request has ended.
std::string frame(char type, char flags, int stream, std::string_view payload) {
    std::string head(9, '\0');
    head[2] = static_cast<char>(payload.size());
    head[3] = type;
    head[4] = flags;
    head[8] = static_cast<char>(stream);
    return head + std::string(payload);
}
// A field that no table knows (RFC 7541 §6.2.2).
std::string field(std::string_view name, std::string_view value) {
    return std::string(1, '\0') + static_cast<char>(name.size()) + std::string(name) +
           static_cast<char>(value.size()) + std::string(value);
}
constexpr char kStatus200 = '\x88';

// Whether the stream's last frame from the client has come: DATA with END_STREAM.
bool request_ended(const std::string& received) {
    constexpr std::size_t kPreface = 24;
    for (std::size_t at = kPreface; at + 9 <= received.size();) {
        auto byte = [&](std::size_t i) { return static_cast<unsigned char>(received[at + i]); };
        const std::size_t length = byte(0) << 16 | byte(1) << 8 | byte(2);
        if (at + 9 + length > received.size()) {
            return false;
        }
        if (byte(3) == 0 && (byte(4) & 1) != 0) {
            return true;
        }
        at += 9 + length;
    }
    return false;
}

class ProbeGrpcCall : public ::testing::Test {
protected:
    std::string told(std::string answer, Duration timeout = seconds(10)) {
        bool sent = false;
        RawServer server([&](const std::string& received) {
            seen = received;
            RawServer::Reply reply;
            if (!sent && request_ended(received)) {
                sent = true;
                reply.bytes = frame(4, 0, 0, "") + frame(4, 1, 0, "") + answer;
            }
            return reply;
        });
        return told_by(server.port(), timeout);
    }
    std::string told_by(std::uint16_t port, Duration timeout) {
        GrpcCheck its{fmt::format("127.0.0.1:{}", port), "db", "kube-probe/1.37", timeout};
        auto outcome = async::run_to_end(reactor, check_grpc(client, its));
        if (!outcome) {
            return "error: " + outcome.error().message;
        }
        return (outcome->kind == Outcome::Kind::success ? "success: " : "failure: ") +
               outcome->text;
    }
    static std::string with_body(std::string_view message, const std::string& status) {
        return frame(1, 4, 1, kStatus200 + field("content-type", "application/grpc")) +
               frame(0, 0, 1, message_of(message)) + frame(1, 5, 1, field("grpc-status", status));
    }

    async::Reactor reactor;
    http::Client client{reactor.executor(), "test"};
    std::string seen;
};

TEST_F(ProbeGrpcCall, AServerThatServesIsHealthy) {
    EXPECT_EQ(told(with_body("\x08\x01", "0")), "success: service healthy");
    EXPECT_NE(seen.find("PRI * HTTP/2.0"), std::string::npos);
    EXPECT_NE(seen.find(encode_health_request("db")), std::string::npos);
}

TEST_F(ProbeGrpcCall, AServerThatDoesNotServeIsNot) {
    EXPECT_EQ(told(with_body("\x08\x02", "0")),
              "failure: service unhealthy (responded with \"NOT_SERVING\")");
    EXPECT_EQ(told(with_body("\x08", "0")),
              "failure: error: health rpc probe failed: the answer is no HealthCheckResponse");
}

TEST_F(ProbeGrpcCall, AnErrorInTheHeadIsRead) {
    const std::string head = kStatus200 + field("content-type", "application/grpc");
    EXPECT_EQ(
        told(frame(1, 5, 1,
                   head + field("grpc-status", "12") + field("grpc-message", "unknown%20service"))),
        "failure: error: this server does not implement the grpc health protocol "
        "(grpc.health.v1.Health): unknown service");
    EXPECT_EQ(
        told(frame(1, 5, 1, head + field("grpc-status", "5") + field("grpc-message", "what db"))),
        "failure: error: health rpc probe failed: rpc error: code = 5 desc = what db");
    EXPECT_EQ(told(frame(1, 5, 1, head + field("grpc-status", "4"))),
              "failure: timeout: health rpc did not complete within 10s");
    EXPECT_EQ(told(frame(1, 5, 1, "\x8D")),
              "failure: error: health rpc probe failed: HTTP status 404 instead of 200");
}

TEST_F(ProbeGrpcCall, AServerThatSaysNothingFails) {
    auto text = told("", milliseconds(100));
    EXPECT_NE(text.find("failure: timeout: failed to connect service \"127.0.0.1:"),
              std::string::npos)
        << text;
    EXPECT_NE(text.find("\" within 100ms: context deadline exceeded"), std::string::npos) << text;
    std::uint16_t port = 0;
    {
        RawServer gone([](const std::string&) { return RawServer::Reply{}; });
        port = gone.port();
    }
    EXPECT_NE(told_by(port, seconds(10)).find("Connection refused"), std::string::npos);
}

}  // namespace
}  // namespace skiff::probes
