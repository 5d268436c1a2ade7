#include "probes/grpc.h"

#include <optional>

#include "base/text.h"

namespace skiff::probes {

namespace {

constexpr std::string_view kMethod = "/grpc.health.v1.Health/Check";
// The answer is a few bytes.
constexpr std::uint64_t kAnswerBytesMax = 4096;
// A frame of gRPC: a flag (compressed or not) and a length of four bytes before the message.
constexpr std::size_t kFrameHead = 5;
// Protocol buffers: field 1, length-delimited; field 1, varint.
constexpr char kServiceTag = 0x0A;
constexpr std::uint64_t kStatusTag = 0x08;
// Statuses of gRPC that have their own words.
constexpr std::string_view kDeadlineExceeded = "4";
constexpr std::string_view kUnimplemented = "12";

void append_varint(std::string& out, std::uint64_t number) {
    while (number >= 0x80) {
        out += static_cast<char>(number | 0x80);
        number >>= 7;
    }
    out += static_cast<char>(number);
}

std::optional<std::uint64_t> take_varint(std::string_view& text) {
    std::uint64_t number = 0;
    for (unsigned shift = 0; shift < 64 && !text.empty(); shift += 7) {
        const auto byte = static_cast<unsigned char>(text.front());
        text.remove_prefix(1);
        number |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
        if ((byte & 0x80) == 0) {
            return number;
        }
    }
    return std::nullopt;
}

// Steps over the value of a field that is not ours. False for what cannot be one.
bool skip_value(std::string_view& text, std::uint64_t tag) {
    std::uint64_t bytes = 0;
    switch (tag & 7) {
        case 0:
            return take_varint(text).has_value();
        case 1:
            bytes = 8;
            break;
        case 2: {
            auto length = take_varint(text);
            if (!length) {
                return false;
            }
            bytes = *length;
            break;
        }
        case 5:
            bytes = 4;
            break;
        default:
            return false;
    }
    if (bytes > text.size()) {
        return false;
    }
    text.remove_prefix(bytes);
    return true;
}

Error corrupt(std::string_view what) {
    return fail(Code::corrupt, "the answer {}", what).value();
}

http::Request request_of(const GrpcCheck& check) {
    http::Request request;
    request.method = "POST";
    request.url = "http://" + check.authority + std::string(kMethod);
    request.headers.add("Content-Type", "application/grpc");
    request.headers.add("TE", "trailers");
    request.headers.add("User-Agent", check.user_agent);
    auto left = std::chrono::ceil<std::chrono::milliseconds>(check.timeout).count();
    request.headers.add("grpc-timeout",
                        left < 100'000'000
                            ? fmt::format("{}m", left)
                            : fmt::format("{}S", std::min<std::int64_t>(left / 1000, 99'999'999)));
    request.omitted = {"Accept"};
    request.body = encode_health_request(check.service);
    request.timeouts = http::Timeouts{check.timeout, check.timeout, check.timeout};
    request.version = http::Version::kHttp2Only;
    request.connection = http::Connection::kOwn;
    request.proxy = "";
    return request;
}

struct Answer {
    int http_status = 0;
    std::string grpc_status;
    std::string grpc_message;
    std::string body;
};

async::Task<Result<Answer>> ask(http::Client& client, http::Request request) {
    SKIFF_CO_TRY(auto stream, co_await client.open(std::move(request)));
    Answer answer;
    answer.http_status = stream->status();
    SKIFF_CO_TRY(answer.body, co_await stream->read_all(kAnswerBytesMax));
    // An answer without a body has its status in the head.
    for (const http::Headers* fields : {&stream->headers(), &stream->trailers()}) {
        answer.grpc_status = fields->find("grpc-status").value_or(answer.grpc_status);
        answer.grpc_message = fields->find("grpc-message").value_or(answer.grpc_message);
    }
    answer.grpc_message = decode_grpc_message(answer.grpc_message);
    co_return std::move(answer);
}

Outcome judge(const Answer& answer, const GrpcCheck& check) {
    if (answer.http_status != 200) {
        return Outcome::failed(
            fmt::format("error: health rpc probe failed: HTTP status {} instead "
                        "of 200",
                        answer.http_status));
    }
    if (answer.grpc_status == kUnimplemented) {
        return Outcome::failed(
            "error: this server does not implement the grpc health protocol "
            "(grpc.health.v1.Health): " +
            answer.grpc_message);
    }
    if (answer.grpc_status == kDeadlineExceeded) {
        return Outcome::failed(fmt::format("timeout: health rpc did not complete within {}",
                                           format_duration(check.timeout)));
    }
    if (answer.grpc_status != "0") {
        return Outcome::failed(fmt::format(
            "error: health rpc probe failed: rpc error: code = {} desc = {}",
            answer.grpc_status.empty() ? "none" : answer.grpc_status, answer.grpc_message));
    }
    auto serving = decode_health_response(answer.body);
    if (!serving) {
        return Outcome::failed("error: health rpc probe failed: " + serving.error().message);
    }
    if (*serving != Serving::serving) {
        return Outcome::failed(
            fmt::format("service unhealthy (responded with \"{}\")", name_of(*serving)));
    }
    return Outcome{Outcome::Kind::success, "service healthy"};
}

}  // namespace

std::string encode_health_request(std::string_view service) {
    std::string message;
    if (!service.empty()) {
        message += kServiceTag;
        append_varint(message, service.size());
        message += service;
    }
    std::string frame(kFrameHead, '\0');
    for (std::size_t i = 0; i < 4; ++i) {
        frame[1 + i] = static_cast<char>(message.size() >> (8 * (3 - i)));
    }
    return frame + message;
}

Result<Serving> decode_health_response(std::string_view body) {
    if (body.size() < kFrameHead) {
        return fail(corrupt("is no gRPC message"));
    }
    if (body[0] != 0) {
        return fail(corrupt("is compressed, which nobody asked for"));
    }
    std::size_t length = 0;
    for (char byte : body.substr(1, 4)) {
        length = length << 8 | static_cast<unsigned char>(byte);
    }
    std::string_view message = body.substr(kFrameHead);
    if (length != message.size()) {
        return fail(corrupt("is not exactly one gRPC message"));
    }
    std::uint64_t status = 0;
    while (!message.empty()) {
        auto tag = take_varint(message);
        std::optional<std::uint64_t> value;
        if (tag == kStatusTag) {
            value = take_varint(message);
            status = value.value_or(0);
        }
        const bool fine =
            tag && (tag == kStatusTag ? value.has_value() : skip_value(message, *tag));
        if (!fine) {
            return fail(corrupt("is no HealthCheckResponse"));
        }
    }
    return static_cast<Serving>(status);
}

std::string name_of(Serving serving) {
    switch (serving) {
        case Serving::unknown:
            return "UNKNOWN";
        case Serving::serving:
            return "SERVING";
        case Serving::not_serving:
            return "NOT_SERVING";
        case Serving::service_unknown:
            return "SERVICE_UNKNOWN";
    }
    return std::to_string(static_cast<std::uint64_t>(serving));
}

std::string decode_grpc_message(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool whole = text[i] == '%' && i + 2 < text.size();
        const int high = whole ? hex_digit(text[i + 1]) : -1;
        const int low = whole ? hex_digit(text[i + 2]) : -1;
        if (high < 0 || low < 0) {
            out += text[i];
            continue;
        }
        out += static_cast<char>(high << 4 | low);
        i += 2;
    }
    return out;
}

async::Task<Result<Outcome>> check_grpc(http::Client& client, GrpcCheck check) {
    auto answer = co_await ask(client, request_of(check));
    if (answer) {
        co_return judge(*answer, check);
    }
    const Error& error = answer.error();
    if (error.code == Code::cancelled) {
        co_return fail(std::move(answer.error()));
    }
    if (error.code == Code::timeout) {
        co_return Outcome::failed(fmt::format(
            "timeout: failed to connect service \"{}\" within {}: context deadline exceeded",
            check.authority, format_duration(check.timeout)));
    }
    co_return Outcome::failed(fmt::format("error: failed to connect service at \"{}\": {}",
                                          check.authority, error.message));
}

}  // namespace skiff::probes
