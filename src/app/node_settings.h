// The node room's settings, from the configuration.
#pragma once

#include <string>
#include <vector>

#include "config/settings.h"
#include "node/settings.h"
#include "pods/shutdown.h"

namespace skiff::app {

// `settings` were resolved and checked.
[[nodiscard]] node::NodeSettings node_settings(const config::Settings& settings,
                                               std::vector<std::string> node_ips);

// How the node's shutdown goes, from the settings; empty: pods are not waited for.
[[nodiscard]] std::vector<pods::ShutdownGroup> shutdown_groups(const config::Settings& settings);

}  // namespace skiff::app
