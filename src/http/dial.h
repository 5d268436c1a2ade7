// A connection for a protocol of the caller's own, made as the client makes its connections.
// Reactor thread only.
#pragma once

#include <memory>

#include "http/client.h"
#include "http/server.h"

namespace skiff::http {

// Connects by the URL, TLS options, proxy and connect timeout of the request; nothing is sent. The
// connection is nobody else's. Fails as Client::open().
[[nodiscard]] async::Task<Result<std::unique_ptr<ByteStream>>> dial(Request request);

}  // namespace skiff::http
