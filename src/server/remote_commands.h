// What `kubectl exec`, `attach` and `port-forward` need of the node: commands and connections with
// streams. Implemented outside of this room; the protocols are in remote_channels.h. Reactor
// thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "async/task.h"
#include "base/result.h"
#include "base/types.h"
#include "pods/ports.h"

namespace skiff::server {

using pods::TerminalSize;

// The streams that a caller wants; at least one of the first three. A terminal has no stderr.
struct RemoteStreams {
    bool with_stdin = false;
    bool with_stdout = false;
    bool with_stderr = false;
    bool tty = false;
    friend bool operator==(const RemoteStreams&, const RemoteStreams&) = default;
};

struct RemoteTarget {
    PodName pod;
    std::optional<PodUid> uid;  // the pod must be this one
    std::string container;
    RemoteStreams streams;
};

// A command that runs for a caller, or his view of a container that runs anyway. Destroying the
// session gives it up at once: a command is killed, an attached container goes on.
class RemoteSession {
public:
    using Output = pods::OutputStream;

    virtual ~RemoteSession() = default;
    // All of it; the caller keeps `bytes` alive. One at a time. Fails with unavailable when nobody
    // reads any more (what the caller then sends is dropped), or cancelled.
    [[nodiscard]] virtual async::Task<Result<void>> write_stdin(std::string_view bytes) = 0;
    // Nothing more comes. Once, also after write_stdin() failed; only with `with_stdin`.
    virtual void close_stdin() = 0;
    // At least one byte, or 0 at the end. One reader for each output. Only outputs that were asked
    // for are read; of a terminal everything is `out`.
    [[nodiscard]] virtual async::Task<Result<std::size_t>> read(Output which,
                                                                std::span<char> into) = 0;
    // Of a session with a terminal; nothing otherwise.
    virtual void resize(TerminalSize size) = 0;
    // How it ended, as soon as it has: of a command its exit, of an attached container that its
    // outputs are at their end (then exit_code is 0). Called once, from the beginning, beside the
    // others. Fails with cancelled.
    [[nodiscard]] virtual async::Task<Result<pods::ContainerExit>> wait() = 0;
};

class RemoteCommands {
public:
    virtual ~RemoteCommands() = default;

    // Asked before the connection is upgraded, so that the answer can be a plain status: not_found
    // (no such pod or container) is 404, denied 403, unsupported 501, everything else 500.
    [[nodiscard]] virtual Result<void> check_exec(const RemoteTarget& target) const = 0;
    [[nodiscard]] virtual Result<void> check_attach(const RemoteTarget& target) const = 0;

    // `command` is not empty. A failure is told on the error channel.
    [[nodiscard]] virtual async::Task<Result<std::unique_ptr<RemoteSession>>> exec(
        RemoteTarget target, std::vector<std::string> command) = 0;
    [[nodiscard]] virtual async::Task<Result<std::unique_ptr<RemoteSession>>> attach(
        RemoteTarget target) = 0;
};

}  // namespace skiff::server
