// /metrics/cadvisor: what containers, pods and the machine use, with cAdvisor's names and labels,
// and what Skiff counts of each container beyond. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "app/container_looks.h"
#include "base/time.h"
#include "server/metrics_text.h"
#include "server/stats.h"

namespace skiff::app {

// One running container.
struct ContainerSample {
    std::string id;
    std::string name;
    std::string image;
    PodName pod;
    WallTime started;
    ContainerLook look;
    std::optional<server::FsStats> fs;  // of its writable layer
};

// One pod: the CPU time of all its containers, those that have ended, too.
struct PodSample {
    PodName name;
    PodUid uid;
    std::chrono::nanoseconds cpu{};
    std::vector<server::LinkStats> links{};
};

struct MachineSample {
    unsigned cores = 0;
    Bytes memory;
    Bytes swap;
    std::string boot_id;
    std::string machine_id;
    std::string system_uuid;
    std::chrono::nanoseconds cpu{};
    Bytes memory_working_set;
    std::vector<server::LinkStats> links;
};

struct ContainersSample {
    WallTime at;
    MachineSample machine;
    std::vector<PodSample> pods;
    std::vector<ContainerSample> containers;
};

void write_container_metrics(const ContainersSample& sample, server::MetricsText& text);

}  // namespace skiff::app
