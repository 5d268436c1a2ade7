// The pages that Prometheus reads: /metrics and those below it. Reactor thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "async/task.h"
#include "base/result.h"
#include "base/time.h"
#include "http/server.h"
#include "server/metrics_text.h"
#include "server/request_target.h"

namespace skiff::server {

class NodeView;

enum class MetricsPage {
    node,        // /metrics
    containers,  // /metrics/cadvisor
    probes,      // /metrics/probes
};

// What is on the pages, but for those that NodeView is enough for.
class MetricsPages {
public:
    virtual ~MetricsPages() = default;
    // Fails when the machine cannot be looked at.
    [[nodiscard]] virtual async::Task<Result<void>> write(MetricsPage page, MetricsText& text) = 0;
};

// /metrics/slis: whether the node was healthy whenever somebody asked.
class HealthMetrics {
public:
    // Looks anew.
    void write(const NodeView& node, MetricsText& text);

private:
    metrics::Counters checks_{
        {"kubernetes_healthchecks_total", "Results of health checks", {"name", "status", "type"}}};
};

class MetricsRoutes {
public:
    explicit MetricsRoutes(const NodeView& node) : node_(node) {}
    // Without these there are only /metrics/resource and /metrics/slis. They outlive this object.
    void offer(MetricsPages& pages) { pages_ = &pages; }
    // Answers a request whose path begins with /metrics.
    [[nodiscard]] async::Task<void> serve(http::Exchange& exchange, const RequestTarget& target);

private:
    // Status, and the page in `text`; 404 for a path that is none.
    [[nodiscard]] async::Task<int> write(const RequestTarget& target, MetricsText& text);

    const NodeView& node_;
    MetricsPages* pages_ = nullptr;
    HealthMetrics health_;
};

}  // namespace skiff::server
