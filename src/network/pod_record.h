// What is written down of a pod's network for as long as the machine runs: the next agent finds the
// pod's namespace and addresses by it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "network/ip.h"
#include "network/port_map.h"

namespace skiff::network {

struct PodRecord {
    PodName pod;
    std::uint32_t wire = 0;            // the number of its namespace and interface (wire.h)
    std::vector<IpAddress> addresses;  // one or two, the preferred one first
    std::vector<PortMap> ports;        // of the node that lead to it
    friend bool operator==(const PodRecord&, const PodRecord&) = default;
};

// A record's bytes, one field a line, and back. parse fails with Code::corrupt. Pure.
[[nodiscard]] std::string format_pod_record(const PodRecord& record);
[[nodiscard]] Result<PodRecord> parse_pod_record(std::string_view text);

}  // namespace skiff::network
