// The kubelet API: what the API server, monitors and the node's own command line ask of a node
// (contract §3).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/time.h"
#include "http/server.h"
#include "kube/types.h"
#include "pods/ports.h"
#include "server/authentication.h"
#include "server/authorization.h"
#include "server/metrics_routes.h"
#include "server/request_target.h"
#include "server/stats.h"

namespace skiff::server {

class StreamingRoutes;

// What the routes show of the node. Reactor thread.
class NodeView {
public:
    virtual ~NodeView() = default;
    // Every pod of the node with its present status.
    [[nodiscard]] virtual std::vector<std::shared_ptr<const kube::Pod>> pods() const = 0;
    // Fails when the loop that decides about pods has stood still too long (contract row 57); the
    // message is for operators.
    [[nodiscard]] virtual Result<void> sync_loop_health() const = 0;
    // What node and pods use now; what was found within the last seconds may be told again. Fails
    // when the machine cannot be looked at.
    [[nodiscard]] virtual async::Task<Result<NodeStats>> stats(StatsScope scope) const = 0;
};

// Routes below /skiff/ that only the private UNIX socket has: on the other doors they are unknown
// paths like any other.
class LocalRoutes {
public:
    virtual ~LocalRoutes() = default;
    // Answers the request, as http::Handler::handle().
    [[nodiscard]] virtual async::Task<void> serve(http::Exchange& exchange,
                                                  const RequestTarget& target) = 0;
};

enum class DebugHandlers { enabled, disabled };
// Whether bearer tokens are asked of the API server.
enum class TokenReviews { enabled, disabled };

struct KubeletApiSettings {
    std::string node_name;
    Anonymous anonymous = Anonymous::refused;
    AuthorizationMode authorization = AuthorizationMode::webhook;
    DebugHandlers debug_handlers = DebugHandlers::enabled;
    TokenReviews token_reviews = TokenReviews::enabled;
    // How long a token that identifies somebody is not asked about again.
    Duration token_lifetime = std::chrono::minutes(2);
    AnswerLifetimes answer_lifetimes;
    std::string configz = "{}";  // the answer of /configz
};

// One handler for three doors: TLS (10250) asks who and whether; the private UNIX socket belongs to
// root, who may do all; plain HTTP (127.0.0.1:10248) offers /healthz and nothing else.
class KubeletApi final : public http::Handler {
public:
    // `reviews` may be null (no cluster): then nobody but the UNIX socket gets in by TLS. All
    // outlive this object.
    KubeletApi(const Clock& clock, const NodeView& node, pods::LogSource& logs, Reviews* reviews,
               KubeletApiSettings settings);
    [[nodiscard]] async::Task<void> handle(http::Exchange& exchange) override;
    // Offers `routes` at /skiff/NAME and below; they outlive this object.
    void offer(std::string name, LocalRoutes& routes) { local_routes_[std::move(name)] = &routes; }
    // The same for /metrics.
    void offer(MetricsPages& pages) { metrics_.offer(pages); }
    void offer(StreamingRoutes& routes) { streaming_ = &routes; }

private:
    [[nodiscard]] async::Task<Result<void>> admit(const http::ServerRequest& request,
                                                  Result<RequestTarget>& target);
    [[nodiscard]] async::Task<void> route(http::Exchange& exchange, const RequestTarget& target);
    [[nodiscard]] async::Task<void> serve_logs(http::Exchange& exchange,
                                               const RequestTarget& target);
    [[nodiscard]] async::Task<void> serve_summary(http::Exchange& exchange,
                                                  const RequestTarget& target);
    [[nodiscard]] http::ServerResponse health(const RequestTarget& target) const;
    [[nodiscard]] http::ServerResponse pod_list() const;

    const Clock& clock_;
    const NodeView& node_;
    pods::LogSource& logs_;
    MetricsRoutes metrics_;
    KubeletApiSettings settings_;
    Authenticator authenticator_;
    Authorizer authorizer_;
    std::map<std::string, LocalRoutes*> local_routes_;
    StreamingRoutes* streaming_ = nullptr;
};

}  // namespace skiff::server
