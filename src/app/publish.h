// `skiff run -p`: a port of the machine that leads to the guest, as podman and docker write it.
// Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "kube/types.h"

namespace skiff::app {

// "8080:80", "127.0.0.1:8080:80", "[::1]:8080:80", each also with "/tcp", "/udp" or "/sctp". Fails
// with invalid, naming the text and what is allowed.
[[nodiscard]] Result<kube::ContainerPort> parse_publish(std::string_view text);

// All of a command line's. Fails also where two lead from the same port of the machine.
[[nodiscard]] Result<std::vector<kube::ContainerPort>> parse_published(
    const std::vector<std::string>& texts);

}  // namespace skiff::app
