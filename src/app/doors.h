// The doors of the agent: port 10250, the health port, the local sockets.
#pragma once

#include <memory>

#include "app/event_routes.h"
#include "app/exec_door.h"
#include "app/image_routes.h"
#include "app/image_service.h"
#include "app/node_metrics.h"
#include "app/node_ports.h"
#include "app/remote_exec.h"
#include "app/rooms.h"
#include "async/scope.h"
#include "http/server.h"
#include "node/identity_record.h"
#include "node/serving.h"
#include "node/settings.h"
#include "server/kubelet_api.h"
#include "server/streaming.h"

namespace skiff::app {

// Made and used by the node, on the reactor thread. All that it is given outlives it.
class Doors {
public:
    // `reviews` may be null: without an API server nobody but the UNIX sockets gets in.
    Doors(Base& base, Rooms& rooms, server::Reviews* reviews, const config::Settings& settings,
          const node::NodeSettings& node);

    // What the pages of metrics show.
    [[nodiscard]] NodeMetrics& metrics() { return metrics_; }
    // Fails when a port is taken or a certificate cannot be used; close() is needed all the same.
    [[nodiscard]] Result<void> open(const state::Paths& paths);
    // With serverTLSBootstrap: has the cluster sign the certificate of port 10250 from now on. What
    // it is given outlives close().
    void have_certificate_signed(kube::ApiClient& client, node::CertificateRecord& record);
    // Ends what was asked for through them.
    [[nodiscard]] async::Task<void> close();

private:
    Base& base_;
    const config::Settings& settings_;
    const node::NodeSettings& node_;
    node::ServingTls tls_;
    ImageService images_;
    ImageRoutes image_routes_;
    EventRoutes event_routes_;
    RemoteExec remote_exec_;
    NodePorts node_ports_;
    server::StreamingRoutes streaming_;
    server::KubeletApi api_;
    server::HttpMeter metered_api_;
    http::Server server_;
    NodeMetrics metrics_;
    ExecDoor exec_;
    async::Scope scope_;
};

}  // namespace skiff::app
