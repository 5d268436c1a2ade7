// Checks of the API server: whether it is there, knows us, and has our time.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "app/check.h"
#include "async/task.h"
#include "base/result.h"
#include "base/time.h"
#include "kube/client_config.h"

namespace skiff::app {

// "Thu, 26 Nov 2026 15:40:06 GMT" (RFC 9110's IMF-fixdate); nullopt for anything else. Pure.
[[nodiscard]] std::optional<WallTime> parse_http_date(std::string_view text);

// One answer of the server, and when it came.
struct ServerAnswer {
    int status = 0;
    std::string date;
    std::string body;
    WallTime at;
};

struct ClusterFacts {
    std::string server;
    Result<ServerAnswer> version;  // GET /version
    Result<ServerAnswer> own;      // GET of the own Lease, which no other node may
    enum class Credentials {
        node,
        bootstrap,
        plugin,  // of a program that is not run for a check: `own` was not asked
    } credentials = Credentials::node;
};

// Asks the server, ten seconds at most.
[[nodiscard]] async::Task<ClusterFacts> observe_cluster(kube::ClientConfig client,
                                                        ClusterFacts::Credentials credentials,
                                                        std::string node_name);
[[nodiscard]] Findings judge_cluster(const ClusterFacts& facts);

}  // namespace skiff::app
