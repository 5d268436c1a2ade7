// The ports of pods for `kubectl port-forward`. Reactor thread.
#pragma once

#include "app/rooms.h"
#include "server/pod_ports.h"

namespace skiff::app {

// Pods have the node's network: a port is dialled at the pod's address, and where nobody listens
// there, on the loopback address.
class NodePorts final : public server::PodPorts {
public:
    // `rooms` outlives this object.
    explicit NodePorts(Rooms& rooms) : rooms_(rooms) {}

    [[nodiscard]] Result<void> check(const PodName& pod,
                                     const std::optional<PodUid>& uid) const override;
    [[nodiscard]] async::Task<Result<std::unique_ptr<server::PodConnection>>> dial(
        PodName pod, std::optional<PodUid> uid, std::uint16_t port) override;

private:
    // Where to dial, in this order. Fails as check().
    [[nodiscard]] Result<std::vector<std::string>> addresses(
        const PodName& pod, const std::optional<PodUid>& uid) const;

    Rooms& rooms_;
};

}  // namespace skiff::app
