// Whole pods over fakes of every port, for worker_*test.cpp.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>

#include "pods/fakes.h"
#include "pods/pods.h"

namespace skiff::pods {

using fakes::make_error;
using fakes::make_pod;
using std::chrono::seconds;

// The pods' clock begins at the epoch, so every timer of the reactor is due at once and the workers
// look at the clock again and again: time passes only by advance(). settle() lets all that can
// happen now happen.
class PodWorker : public ::testing::Test {
protected:
    PodWorker() : clock(WallTime(seconds(1'800'000'000))), random(7), node(clock) {
        settings.node.node_name = "node-1";
        settings.node.host_ips = {"192.168.1.5"};
        settings.node.allocatable["cpu"] = kube::Quantity::of_units(2);
        settings.node.allocatable["memory"] = kube::Quantity::of_bytes(1 << 30);
        restart_agent();
    }
    ~PodWorker() override { stop_agent(); }

    void stop_agent() {
        if (pods) {
            async::run_to_end(reactor(), pods->stop());
            pods.reset();
        }
    }
    void restart_agent() {
        stop_agent();
        reactor_ = std::make_unique<async::Reactor>();
        ports.emplace(node.ports());
        pods = std::make_unique<Pods>(reactor().executor(), clock, random, *ports, settings);
    }
    async::Reactor& reactor() { return *reactor_; }
    void settle() {
        auto turns = []() -> Task<void> {
            for (int i = 0; i < 100; ++i) {
                co_await async::yield_now();
            }
        };
        async::run_to_end(reactor(), turns());
    }
    void advance(Duration by) {
        clock.advance(by);
        settle();
    }
    void apply(const kube::Pod& pod) { pods->apply(std::make_shared<const kube::Pod>(pod)); }
    void run_pod(const kube::Pod& pod) {
        apply(pod);
        pods->sources_ready();
        settle();
    }
    const kube::PodStatus& published(const std::string& uid = "uid-1") {
        return node.statuses.latest[PodUid(uid)];
    }
    void delete_pod(kube::Pod pod, std::int64_t grace) {
        pod.metadata.deletionTimestamp = kube::Time(clock.wall_now() + seconds(grace));
        pod.metadata.deletionGracePeriodSeconds = grace;
        pod.status = node.statuses.latest[PodUid(pod.metadata.uid)];
        apply(pod);
        settle();
    }

    ManualClock clock;
    SeededRandom random;
    fakes::FakeNode node;
    PodsSettings settings;
    std::unique_ptr<async::Reactor> reactor_;
    std::optional<Ports> ports;
    std::unique_ptr<Pods> pods;
};

}  // namespace skiff::pods
