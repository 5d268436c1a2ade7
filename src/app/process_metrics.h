// What the agent's own process uses, with the names of Prometheus' client libraries.
#pragma once

#include "server/metrics_text.h"

namespace skiff::app {

void write_process_metrics(server::MetricsText& text);

}  // namespace skiff::app
