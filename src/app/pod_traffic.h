// What went through the networks of node and pods, for the routes of metrics. Reactor thread.
#pragma once

#include <string>
#include <vector>

#include "async/blocking.h"
#include "async/task.h"
#include "network/pod_attacher.h"
#include "pods/pods.h"
#include "server/stats.h"

namespace skiff::app {

class PodTraffic {
public:
    // Both outlive it. `attacher`: nullptr where pods have the node's addresses. Interfaces of the
    // node whose names begin with `wires` are ends of pods'.
    PodTraffic(const network::PodAttacher* attacher, std::string wires, async::BlockingPool& pool)
        : attacher_(attacher), wires_(std::move(wires)), pool_(pool) {}

    // Adds what the kernel counts now to `stats`, whose pods are those of `snapshots`: to pods with
    // addresses of their own theirs, to running ones with hostNetwork the node's. What cannot be
    // read is left out.
    [[nodiscard]] async::Task<void> add_to(const std::vector<pods::PodSnapshot>& snapshots,
                                           server::NodeStats& stats) const;

private:
    const network::PodAttacher* attacher_;
    std::string wires_;
    async::BlockingPool& pool_;
};

}  // namespace skiff::app
