// Connections to the ports of pods, for `kubectl port-forward`. Implemented outside of this room.
// Reactor thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "async/task.h"
#include "base/result.h"
#include "base/types.h"
#include "http/server.h"

namespace skiff::server {

// A TCP connection to a pod. Destroying it closes it. One reader, one writer.
class PodConnection : public http::ByteStream {
public:
    // Resolves when a read would not wait. Fails with cancelled or internal.
    [[nodiscard]] virtual async::Task<Result<void>> wait_readable() = 0;
    // Nothing more is written: the pod reads the end, and may still answer.
    virtual void end_writing() = 0;
};

class PodPorts {
public:
    virtual ~PodPorts() = default;
    // Asked before the connection is upgraded: not_found (no such pod), or conflict (it does not
    // run).
    [[nodiscard]] virtual Result<void> check(const PodName& pod,
                                             const std::optional<PodUid>& uid) const = 0;
    // Connects to the port as a process of the pod would on 127.0.0.1. Fails with unavailable
    // (nobody listens), timeout, or as check().
    [[nodiscard]] virtual async::Task<Result<std::unique_ptr<PodConnection>>> dial(
        PodName pod, std::optional<PodUid> uid, std::uint16_t port) = 0;
};

}  // namespace skiff::server
