// The options of `kubectl logs` as the API server sends them (contract §2). Pure.
#pragma once

#include "base/result.h"
#include "base/time.h"
#include "pods/ports.h"
#include "server/request_target.h"

namespace skiff::server {

// Fails with Code::invalid and the kubelet's JSON text as message; Error::reason says which status
// it deserves: "BadRequest" (400, not readable) or "Invalid" (422, readable but not allowed).
[[nodiscard]] Result<pods::LogOptions> parse_log_query(const RequestTarget& target, WallTime now);

}  // namespace skiff::server
