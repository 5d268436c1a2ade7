#include "pods/node_affinity.h"

#include <gtest/gtest.h>

#include "pods/fakes.h"
#include "pods/pods.h"

namespace skiff::pods {
namespace {

using fakes::make_pod;
using std::chrono::seconds;

const NodeLabels kLabels = {{"kubernetes.io/arch", "wasm32-wasi"}, {"zone", "a"}, {"cores", "4"}};

kube::PodSpec required(std::vector<kube::NodeSelectorTerm> terms) {
    kube::PodSpec spec;
    kube::NodeSelector selector;
    selector.nodeSelectorTerms = std::move(terms);
    kube::NodeAffinity affinity;
    affinity.requiredDuringSchedulingIgnoredDuringExecution = std::move(selector);
    spec.affinity.emplace().nodeAffinity = std::move(affinity);
    return spec;
}

kube::NodeSelectorTerm labels(std::vector<kube::NodeSelectorRequirement> list) {
    kube::NodeSelectorTerm term;
    term.matchExpressions = std::move(list);
    return term;
}

TEST(NodeAffinity, NodeSelectorNeedsEveryLabel) {
    kube::PodSpec spec;
    EXPECT_TRUE(wants_node(spec, "n1", kLabels));
    spec.nodeSelector = {{"kubernetes.io/arch", "wasm32-wasi"}, {"zone", "a"}};
    EXPECT_TRUE(wants_node(spec, "n1", kLabels));
    spec.nodeSelector["zone"] = "b";
    EXPECT_FALSE(wants_node(spec, "n1", kLabels));
    spec.nodeSelector = {{"gpu", ""}};
    EXPECT_FALSE(wants_node(spec, "n1", kLabels));
}

TEST(NodeAffinity, OperatorsFollowTheScheduler) {
    auto one = [](const char* key, const char* how, std::vector<std::string> values) {
        return wants_node(required({labels({{key, how, std::move(values)}})}), "n1", kLabels);
    };
    EXPECT_TRUE(one("zone", "In", {"x", "a"}));
    EXPECT_FALSE(one("zone", "In", {"x"}));
    EXPECT_FALSE(one("gpu", "In", {""}));
    EXPECT_FALSE(one("zone", "NotIn", {"a"}));
    EXPECT_TRUE(one("gpu", "NotIn", {"a"}));
    EXPECT_TRUE(one("zone", "Exists", {}));
    EXPECT_FALSE(one("zone", "DoesNotExist", {}));
    EXPECT_TRUE(one("gpu", "DoesNotExist", {}));
    EXPECT_TRUE(one("cores", "Gt", {"3"}));
    EXPECT_FALSE(one("cores", "Lt", {"4"}));
    EXPECT_FALSE(one("zone", "Gt", {"3"}));
    EXPECT_FALSE(one("zone", "Like", {"a"}));
}

TEST(NodeAffinity, OneTermIsEnoughAndAnEmptyOneSelectsNothing) {
    auto wrong = labels({{"zone", "In", {"b"}}});
    auto right = labels({{"zone", "In", {"a"}}, {"cores", "Exists", {}}});
    EXPECT_TRUE(wants_node(required({wrong, right}), "n1", kLabels));
    EXPECT_FALSE(wants_node(required({wrong}), "n1", kLabels));
    EXPECT_FALSE(wants_node(required({}), "n1", kLabels));
    EXPECT_FALSE(wants_node(required({kube::NodeSelectorTerm{}}), "n1", kLabels));
    // As a DaemonSet's controller names its node.
    kube::NodeSelectorTerm named;
    named.matchFields = {{"metadata.name", "In", {"n1"}}};
    EXPECT_TRUE(wants_node(required({named}), "n1", kLabels));
    EXPECT_FALSE(wants_node(required({named}), "n2", kLabels));
}

// --- admission on the node ----------------------------------------------------------------------

class AffinityAdmission : public ::testing::Test {
protected:
    AffinityAdmission() : clock(WallTime(seconds(1'800'000'000))), random(7), node(clock) {
        settings.node.node_name = "n1";
        settings.node_labels.known = [this] { return known; };
        settings.node_labels.fetch = [this] { return fetch(); };
        pod.spec.nodeSelector = {{"zone", "a"}};
        make_pods();
    }
    ~AffinityAdmission() override { stop(); }
    void make_pods() {
        ports.emplace(node.ports());
        pods = std::make_unique<Pods>(reactor.executor(), clock, random, *ports, settings);
    }
    void stop() {
        if (pods) {
            async::run_to_end(reactor, pods->stop());
            pods.reset();
        }
    }
    Task<Result<NodeLabels>> fetch() {
        ++fetches;
        co_await async::yield_now();
        co_return on_server;
    }
    void settle() {
        auto turns = []() -> Task<void> {
            for (int i = 0; i < 100; ++i) {
                co_await async::yield_now();
            }
        };
        async::run_to_end(reactor, turns());
    }
    kube::PodStatus run() {
        pods->apply(std::make_shared<const kube::Pod>(pod));
        pods->sources_ready();
        settle();
        return node.statuses.latest[PodUid(pod.metadata.uid)];
    }

    ManualClock clock;
    SeededRandom random;
    async::Reactor reactor;
    fakes::FakeNode node;
    PodsSettings settings;
    std::optional<NodeLabels> known = NodeLabels{{"zone", "b"}};
    Result<NodeLabels> on_server = NodeLabels{{"zone", "b"}};
    int fetches = 0;
    kube::Pod pod = make_pod("web");
    std::optional<Ports> ports;
    std::unique_ptr<Pods> pods;
};

TEST_F(AffinityAdmission, RejectsInTheKubeletsWords) {
    auto status = run();
    EXPECT_EQ(status.phase, "Failed");
    EXPECT_EQ(status.reason, "NodeAffinity");
    EXPECT_EQ(status.message,
              "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node "
              "affinity/selector");
    EXPECT_EQ(node.events.count("NodeAffinity"), 1U);
    EXPECT_EQ(fetches, 1);
    EXPECT_TRUE(node.guests.started.empty());
}

// The scheduler may know of a label before the node's own watch does.
TEST_F(AffinityAdmission, AsksTheServerBeforeItRejects) {
    on_server = NodeLabels{{"zone", "a"}};
    EXPECT_EQ(run().phase, "Running");
    EXPECT_EQ(fetches, 1);
}

TEST_F(AffinityAdmission, RejectsNobodyWhileTheServerCannotBeAsked) {
    on_server = fail(Code::unavailable, "away");
    EXPECT_EQ(run().phase, "");
    EXPECT_EQ(node.events.count("NodeAffinity"), 0U);
    on_server = NodeLabels{{"zone", "a"}};
    clock.advance(std::chrono::minutes(2));
    auto deadline = std::chrono::steady_clock::now() + seconds(20);
    while (node.guests.started.empty() && std::chrono::steady_clock::now() < deadline) {
        settle();
    }
    EXPECT_EQ(node.guests.started.size(), 1U);
}

TEST_F(AffinityAdmission, LabelsThatAreNotKnownRefuseNobody) {
    known.reset();
    EXPECT_EQ(run().phase, "Running");
    EXPECT_EQ(fetches, 0);
}

TEST_F(AffinityAdmission, WhatRunsIsNotJudgedAgainByTheNextAgent) {
    known = NodeLabels{{"zone", "a"}};
    EXPECT_EQ(run().phase, "Running");
    pod.status = node.statuses.latest[PodUid(pod.metadata.uid)];
    stop();
    known = NodeLabels{{"zone", "b"}};
    make_pods();
    EXPECT_EQ(run().phase, "Running");
    EXPECT_EQ(fetches, 0);
}

}  // namespace
}  // namespace skiff::pods
