// Which build of skiff-engine this is.
#pragma once

#include <string>

namespace skiff::engine {

// Sixteen hexadecimal digits of the executable's build id: changes with every change of its code.
// Keepers, sockets and artifacts belong to one of them.
[[nodiscard]] const std::string& build_id();

}  // namespace skiff::engine
