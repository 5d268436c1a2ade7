#include "app/k3s_upkeep.h"

#include "base/log.h"
#include "node/k3s.h"

namespace skiff::app {

namespace {

// Where a process of this machine reaches what listens at `address`.
std::string local_url(const std::string& address, std::int64_t port) {
    if (address == "0.0.0.0") {
        return fmt::format("http://127.0.0.1:{}", port);
    }
    if (address == "::") {
        return fmt::format("http://[::1]:{}", port);
    }
    const bool is_v6 = address.find(':') != std::string::npos;
    return fmt::format("http://{}:{}", is_v6 ? "[" + address + "]" : address, port);
}

}  // namespace

node::TunnelSettings tunnel_settings(const config::Settings& settings,
                                     const node::NodeSettings& node) {
    using Expected = node::TunnelSettings::Expected;
    node::TunnelSettings its;
    its.port = node.port;
    its.hosts = node.ips;
    its.kubelet_url = local_url(settings.address, settings.port);
    if (settings.k3s_tunnel == "off") {
        its.expected = Expected::never;
        return its;
    }
    if (settings.k3s_tunnel != "auto") {
        its.endpoint = settings.k3s_tunnel;
        its.expected = Expected::surely;
        return its;
    }
    auto cluster = node::find_k3s_cluster(node);
    if (!cluster) {
        log::warn("file of the cluster not read", log::kv("error", format_as(cluster.error())));
    } else if (*cluster) {
        its.endpoint = (*cluster)->url("connect");
        its.expected = Expected::surely;
    }
    return its;
}

K3sUpkeep::K3sUpkeep(Base& base, const config::Settings& settings, const node::NodeSettings& node,
                     kube::ApiClient& client)
    : base_(base),
      node_(node),
      client_(client),
      tunnels_(
          base.reactor.executor(), [&client] { return client.config(); }, base.random,
          tunnel_settings(settings, node)),
      scope_(base.reactor.executor()) {}

void K3sUpkeep::start() {
    tunnels_.start();
    scope_.spawn("k3s certificates",
                 node::keep_k3s_certificates(node_, client_, base_.clock, base_.random));
}

async::Task<void> K3sUpkeep::stop() {
    co_await tunnels_.stop();
    co_await scope_.stop();
}

}  // namespace skiff::app
