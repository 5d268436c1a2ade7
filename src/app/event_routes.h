// The node's events at the agent's own socket:
//   GET /skiff/events?namespace=NAME&pod=NAME&watch=true
// One event (core/v1) a line, the newest last. With `watch` the answer goes on with what comes.
#pragma once

#include "app/event_ring.h"
#include "server/kubelet_api.h"

namespace skiff::app {

class EventRoutes final : public server::LocalRoutes {
public:
    // `ring` outlives it.
    explicit EventRoutes(EventRing& ring) : ring_(ring) {}
    [[nodiscard]] async::Task<void> serve(http::Exchange& exchange,
                                          const server::RequestTarget& target) override;

private:
    enum class Mode { once, watch };
    [[nodiscard]] async::Task<Result<void>> send(http::Exchange& exchange, EventFilter filter,
                                                 Mode mode);

    EventRing& ring_;
};

}  // namespace skiff::app
