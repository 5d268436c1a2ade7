// YAML text as nodes of yaml-cpp, for this room and config. Pure.
#pragma once

#include <yaml-cpp/yaml.h>

#include <cstddef>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace skiff::kube {

// The documents of `text`. Fails with Code::invalid: longer than `bytes_max`, syntax, too many
// documents; the message names the line. Everybody loads YAML by this: YAML::LoadAll alone never
// ends on some texts.
[[nodiscard]] Result<std::vector<YAML::Node>> load_yaml(std::string_view text,
                                                        std::size_t bytes_max);

}  // namespace skiff::kube
