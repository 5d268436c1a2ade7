// Hears from systemd-logind that the machine goes down, and holds it back while pods end (contract
// row 64). Reactor thread only.
#pragma once

#include <string>

#include "app/node_shutdown.h"
#include "async/blocking.h"
#include "async/task.h"

namespace skiff::app {

// Until it is cancelled; ends by itself when pods are given no time, or where there is no logind
// (the log says which). `address` is the bus's, empty: the machine's.
[[nodiscard]] async::Task<void> obey_logind(async::BlockingPool& pool, NodeShutdown& shutdown,
                                            std::string address);

}  // namespace skiff::app
