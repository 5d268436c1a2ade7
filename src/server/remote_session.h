// A command or an attached container on one side, a caller's channels on the other, until either
// ends. Written once for every protocol. Reactor thread.
#pragma once

#include "async/event.h"
#include "async/task.h"
#include "base/result.h"
#include "pods/ports.h"
#include "server/remote_channels.h"
#include "server/remote_commands.h"

namespace skiff::server {

// Carries the streams until the command has ended and its outputs were sent, and returns how it
// ended. Fails with unavailable when `caller_left` was set before (whoever owns the session then
// destroys it, which ends the command), or with cancelled. All outlive the task.
[[nodiscard]] async::Task<Result<pods::ContainerExit>> carry_session(RemoteChannels& channels,
                                                                     RemoteSession& session,
                                                                     RemoteStreams streams,
                                                                     async::Event& caller_left);

}  // namespace skiff::server
