// The ports of pods for `kubectl port-forward`. Reactor thread.
#pragma once

#include "app/rooms.h"
#include "server/pod_ports.h"

namespace skiff::app {

// A port is dialled on the loopback addresses of the pod's network. Where pods have the node's: at
// the pod's address, and where nobody listens there, on the loopback address.
class NodePorts final : public server::PodPorts {
public:
    // `rooms` outlives this object.
    explicit NodePorts(Rooms& rooms) : rooms_(rooms) {}

    [[nodiscard]] Result<void> check(const PodName& pod,
                                     const std::optional<PodUid>& uid) const override;
    [[nodiscard]] async::Task<Result<std::unique_ptr<server::PodConnection>>> dial(
        PodName pod, std::optional<PodUid> uid, std::uint16_t port) override;

private:
    struct Target {
        std::vector<std::string> addresses;  // to be dialled in this order
        std::filesystem::path name_space;    // in this pinned one; empty: the node's
    };
    // Fails as check().
    [[nodiscard]] Result<Target> target(const PodName& pod, const std::optional<PodUid>& uid) const;

    Rooms& rooms_;
};

}  // namespace skiff::app
