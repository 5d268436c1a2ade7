// Requests to the API server, counted.
#pragma once

#include "app/meters.h"
#include "kube/client_api.h"

namespace skiff::app {

// Counts what `client` does from now on; `meters` outlives it.
void count_requests(kube::ApiClient& client, Meters& meters);

}  // namespace skiff::app
