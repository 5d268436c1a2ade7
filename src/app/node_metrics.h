// The pages of metrics over what a node has: /metrics, /metrics/cadvisor, /metrics/probes. Reactor
// thread.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "app/container_metrics.h"
#include "app/rooms.h"
#include "async/scope.h"
#include "node/identity_record.h"
#include "node/tunnels.h"
#include "server/http_meter.h"
#include "server/metrics_routes.h"

namespace skiff::app {

class NodeMetrics final : public server::MetricsPages {
public:
    // All outlive it.
    struct Parts {
        Base& base;
        Rooms& rooms;
        const server::HttpMeter& http;
        const http::Server& server;
    };
    NodeMetrics(Parts parts, std::string node_name);

    // Of a node with an identity: what is known of its certificates, which outlives this object.
    void set_identity(const node::IdentityRecord& identity) { identity_ = &identity; }
    void set_tunnels(const node::Tunnels& tunnels) { tunnels_ = &tunnels; }

    // Looks at the reactor once a second, for ever.
    [[nodiscard]] async::Task<void> watch_reactor();
    [[nodiscard]] async::Task<Result<void>> write(server::MetricsPage page,
                                                  server::MetricsText& text) override;

private:
    [[nodiscard]] async::Task<Result<void>> write_node(server::MetricsText& text);
    [[nodiscard]] async::Task<Result<void>> write_containers(server::MetricsText& text);
    void write_volumes(const std::vector<pods::PodSnapshot>& snapshots,
                       server::MetricsText& text) const;
    [[nodiscard]] async::Task<void> write_claims(std::vector<pods::PodSnapshot> snapshots,
                                                 server::MetricsText& text);
    void write_certificates(server::MetricsText& text) const;
    void write_tunnels(server::MetricsText& text) const;
    [[nodiscard]] async::Task<void> write_cache(server::MetricsText& text);

    Parts parts_;
    std::string node_name_;
    const node::IdentityRecord* identity_ = nullptr;
    const node::Tunnels* tunnels_ = nullptr;
    // The cache of compiled modules as it was found last: a walk of a folder.
    struct Cache {
        std::size_t entries = 0;
        std::uint64_t bytes = 0;
        SteadyTime at{};
    };
    std::optional<Cache> cache_;
};

// The kubelet's name of the plugin behind a volume.
[[nodiscard]] std::string_view plugin_of(const kube::Volume& volume);
// Pods and containers as they are now: kubelet_running_pods and its kin. Pure.
void write_pod_counts(const std::vector<pods::PodSnapshot>& snapshots, server::MetricsText& text);
// The page of probes. Pure.
void write_probe_metrics(const std::vector<probes::ProbeSample>& samples,
                         server::MetricsText& text);

}  // namespace skiff::app
