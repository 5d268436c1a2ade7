// The node room's settings, from the configuration.
#pragma once

#include <string>
#include <vector>

#include "config/settings.h"
#include "node/settings.h"

namespace skiff::app {

// `settings` were resolved and checked.
[[nodiscard]] node::NodeSettings node_settings(const config::Settings& settings,
                                               std::vector<std::string> node_ips);

}  // namespace skiff::app
