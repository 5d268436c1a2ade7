// The network namespace of a pod as every kind of network begins with it.
#pragma once

#include <filesystem>

#include "base/result.h"

namespace skiff::network {

// For in_new_namespace(): pins the calling thread's namespace, which is new, and sets what holds in
// a pod whoever gives it its addresses. Its loopback is up, anybody may use ports below 1024, and
// interfaces to come neither ask for IPv6 routers nor wait for duplicates of addresses that are
// given out anyhow.
[[nodiscard]] Result<void> dress_pod_namespace(const std::filesystem::path& pin);

}  // namespace skiff::network
