// Requests to the API server, counted; and what of the node's identity metrics show.
#pragma once

#include <optional>

#include "app/meters.h"
#include "base/time.h"
#include "kube/client_api.h"

namespace skiff::app {

// Counts what `client` does from now on; `meters` outlives it.
void count_requests(kube::ApiClient& client, Meters& meters);

// When the client certificate of `config` ends; nullopt when it has none that can be read.
[[nodiscard]] std::optional<WallTime> client_certificate_end(const kube::ClientConfig& config);

}  // namespace skiff::app
