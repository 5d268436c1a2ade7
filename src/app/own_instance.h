// The private instance of a verb that runs beside the node, if there is one: `skiff run`, `skiff
// inspect`. It keeps images and compiled modules from one run to the next.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "config/settings.h"
#include "state/instance.h"

namespace skiff::app {

// What such a verb takes from its user's home and command line; `plain_http` are registries without
// TLS. Fails as config::resolve().
[[nodiscard]] Result<void> settle_own(config::Settings& settings,
                                      const std::vector<std::string>& plain_http);

// The folder whose numbered folders are the instances' roots: `given`, or the user's own.
[[nodiscard]] std::filesystem::path own_root(const std::filesystem::path& given);

// Locks the first instance below own_root(root) that is free and puts its folders into `settings`.
// Fails with exhausted when too many are in use.
[[nodiscard]] Result<std::unique_ptr<state::Instance>> open_own_instance(
    const std::filesystem::path& root, config::Settings& settings, Random& random);

}  // namespace skiff::app
