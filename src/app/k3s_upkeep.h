// What a node of k3s or RKE2 needs beside the rest: tunnels to its servers, and certificates that
// are renewed by its supervisor. At rest on a node of another cluster.
#pragma once

#include "app/rooms.h"
#include "async/scope.h"
#include "config/settings.h"
#include "kube/client_api.h"
#include "node/settings.h"
#include "node/tunnels.h"

namespace skiff::app {

// `settings` were resolved and checked.
[[nodiscard]] node::TunnelSettings tunnel_settings(const config::Settings& settings,
                                                   const node::NodeSettings& node);

class K3sUpkeep {
public:
    // All that it is given outlives it.
    K3sUpkeep(Base& base, const config::Settings& settings, const node::NodeSettings& node,
              kube::ApiClient& client);

    void start();
    [[nodiscard]] async::Task<void> stop();
    [[nodiscard]] const node::Tunnels& tunnels() const { return tunnels_; }

private:
    Base& base_;
    const node::NodeSettings& node_;
    kube::ApiClient& client_;
    node::Tunnels tunnels_;
    async::Scope scope_;
};

}  // namespace skiff::app
