// The path and query of a request, decoded once: what is authorised is what is served. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace skiff::server {

struct RequestTarget {
    // "/containerLogs/ns/pod/c" → {"containerLogs", "ns", "pod", "c"}; one trailing slash is
    // dropped.
    std::vector<std::string> segments;
    std::vector<std::pair<std::string, std::string>> query;

    // The first segment, empty for "/".
    [[nodiscard]] std::string_view route() const {
        return segments.empty() ? std::string_view() : std::string_view(segments.front());
    }
    // The first parameter of that name.
    [[nodiscard]] std::optional<std::string> find(std::string_view name) const;
};

// Fails with Code::invalid for everything that two readers could understand differently: no leading
// slash, an empty, `.` or `..` segment, an encoded slash, a bad escape, control characters, bytes
// that are no UTF-8 (the kubelet's router would normalise some of these; nothing that talks to a
// kubelet sends them).
[[nodiscard]] Result<RequestTarget> parse_target(std::string_view target);

}  // namespace skiff::server
