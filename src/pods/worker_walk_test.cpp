// A seeded walk of whole pods through whatever can happen.
#include <gtest/gtest.h>

#include <array>

#include "pods/worker_fixture.h"

namespace skiff::pods {
namespace {

// Holds what must be true at every moment, whatever was done to the pod.
class PodWalk : public PodWorker, public ::testing::WithParamInterface<std::uint64_t> {
protected:
    void check() {
        ASSERT_EQ(node.guests.conflicts, 0) << "a container was started twice";
        std::map<std::pair<std::string, std::string>, int> running;
        for (const ContainerRecord& record : node.guests.records) {
            if (!record.exit) {
                int now = ++running[{record.pod.str(), record.name}];
                ASSERT_EQ(now, 1) << record.name << " runs twice";
            }
        }
        for (; checked_ < node.statuses.history.size(); ++checked_) {
            const auto& [uid, status] = node.statuses.history[checked_];
            kube::PodStatus& before = seen_[uid];
            if (before.phase == "Succeeded" || before.phase == "Failed") {
                ASSERT_EQ(status.phase, before.phase) << "a terminal phase changed";
            }
            for (const kube::ContainerStatus& container : status.containerStatuses) {
                for (const kube::ContainerStatus& old : before.containerStatuses) {
                    if (old.name == container.name) {
                        ASSERT_GE(container.restartCount, old.restartCount);
                    }
                }
            }
            if (status.phase == "Succeeded" || status.phase == "Failed") {
                for (const ContainerRecord& record : node.guests.containers(PodUid(uid))) {
                    ASSERT_TRUE(record.exit) << "terminal while a container runs";
                }
            }
            before = status;
        }
        for (const fakes::SeenEvent& event : node.events.seen) {
            ASSERT_EQ(event.message.find("skiff://"), std::string::npos);
        }
    }

    void step() {
        std::uint64_t dice = walk_.next() % 13;
        kube::Pod& pod = walked_[walk_.next() % walked_.size()];
        bool gone = gone_.contains(pod.metadata.uid);
        auto code = static_cast<int>(walk_.next() % 3);
        if (dice < 4) {
            ContainerId id = node.guests.running(code == 2 ? "side" : "main");
            if (!id.empty()) {
                node.guests.end(id, code);
            }
        } else if (dice < 7) {
            advance(seconds(static_cast<std::int64_t>(walk_.next() % 120)));
        } else if (dice == 7) {
            constexpr std::array kCalls = {"start", "compile", "prepare_pod", "stop"};
            std::string call = kCalls[walk_.next() % kCalls.size()];
            node.guests.faults.fail_next(
                call, make_error(Code::unavailable, "RunContainerError", "a fault of the walk"));
        } else if (dice == 8 && !gone) {
            ++pod.metadata.generation;
            pod.spec.containers[0].image = fmt::format("registry.test/hello:{}", code);
            pod.status = node.statuses.latest[PodUid(pod.metadata.uid)];
            apply(pod);
        } else if (dice == 9 && !gone) {
            delete_pod(pod, 5);
        } else if (dice == 12) {
            silence();
        } else if (dice == 10 && pod.metadata.deletionTimestamp) {
            gone_.insert(pod.metadata.uid);
            pods->remove(PodUid(pod.metadata.uid));
        } else {
            for (kube::Pod& each : walked_) {
                each.status = node.statuses.latest[PodUid(each.metadata.uid)];
            }
            restart_agent();
            for (kube::Pod& each : walked_) {
                if (!gone_.contains(each.metadata.uid)) {
                    apply(each);
                }
            }
            pods->sources_ready();
        }
        settle();
    }

    // The keeper stops to answer, or answers all it was asked.
    void silence() {
        if (node.guests.answers.is_set()) {
            node.guests.answers.reset();
            return;
        }
        node.guests.answers.set();
        for (const char* name : {"main", "side"}) {
            for (ContainerId id = node.guests.starting(name); !id.empty();
                 id = node.guests.starting(name)) {
                if (walk_.next() % 2 == 0) {
                    node.guests.begin(id);
                } else {
                    node.guests.refuse(id);
                }
            }
        }
    }

    SeededRandom walk_{GetParam()};
    std::vector<kube::Pod> walked_;
    std::set<std::string> gone_;
    std::map<std::string, kube::PodStatus> seen_;
    std::size_t checked_ = 0;
};

TEST_P(PodWalk, KeepsItsPromises) {
    for (const char* policy : {"Always", "OnFailure", "Never"}) {
        kube::Pod pod = make_pod(fmt::format("pod-{}", policy), fmt::format("uid-{}", policy));
        pod.spec.restartPolicy = policy;
        kube::Container side = pod.spec.containers[0];
        side.name = "side";
        pod.spec.containers.push_back(side);
        walked_.push_back(pod);
        apply(pod);
    }
    pods->sources_ready();
    settle();
    for (int i = 0; i < 60; ++i) {
        step();
        check();
        if (HasFatalFailure()) {
            FAIL() << "seed " << GetParam() << ", step " << i;
        }
    }
    for (kube::Pod& pod : walked_) {
        gone_.insert(pod.metadata.uid);
        pods->remove(PodUid(pod.metadata.uid));
    }
    node.guests.faults = {};
    node.guests.answers.set();
    // Retries wait at most 15 s.
    for (int i = 0; i < 10 && pods->size() > 0; ++i) {
        advance(seconds(20));
    }
    advance(seconds(20));  // and housekeeping looks once more
    EXPECT_EQ(pods->size(), 0U);
    EXPECT_TRUE(node.guests.records.empty());
    EXPECT_TRUE(node.guests.prepared.empty());
    EXPECT_TRUE(node.volumes.present.empty());
}

INSTANTIATE_TEST_SUITE_P(Seeds, PodWalk, ::testing::Range<std::uint64_t>(1, 13));

}  // namespace
}  // namespace skiff::pods
