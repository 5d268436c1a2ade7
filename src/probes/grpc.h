// The one gRPC call that a probe makes: grpc.health.v1.Health/Check, unary and without TLS, over
// libcurl's HTTP/2. grpc++ would bring threads of its own into the agent's one-reactor world (and
// some 10 MB of library) for a request of one field and an answer of one number; both are written
// and read here. Pure but for check_grpc().
#pragma once

#include <string>
#include <string_view>

#include "async/task.h"
#include "base/result.h"
#include "http/client.h"
#include "probes/outcome.h"

namespace skiff::probes {

// The gRPC message that asks for the health of `service` ("" is the server as a whole).
[[nodiscard]] std::string encode_health_request(std::string_view service);

// HealthCheckResponse.ServingStatus; a number that the protocol does not name stays what it is.
enum class Serving : std::uint64_t {
    unknown = 0,
    serving = 1,
    not_serving = 2,
    service_unknown = 3
};
// Out of the answer's body. Fails with corrupt: not one uncompressed message.
[[nodiscard]] Result<Serving> decode_health_response(std::string_view body);
// "SERVING", "NOT_SERVING", …; else the number.
[[nodiscard]] std::string name_of(Serving serving);

// A grpc-message field, which is percent-encoded.
[[nodiscard]] std::string decode_grpc_message(std::string_view text);

struct GrpcCheck {
    std::string authority;  // host:port
    std::string service;
    std::string user_agent;
    Duration timeout{};
};
// `client` outlives the call. Whatever goes wrong is a failure with the kubelet's words; only
// cancelled is an error.
[[nodiscard]] async::Task<Result<Outcome>> check_grpc(http::Client& client, GrpcCheck check);

}  // namespace skiff::probes
