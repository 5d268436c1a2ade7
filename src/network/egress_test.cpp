#include "network/egress.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "network/dns_testing.h"
#include "network/egress_testing.h"
#include "network/nftables.h"

namespace skiff::network {
namespace {

struct Events final : pods::EventSink {
    void emit(const kube::Pod&, std::string_view, pods::EventType, std::string_view reason,
              std::string_view message) override {
        all.push_back(fmt::format("{}: {}", reason, message));
    }
    std::vector<std::string> all;
};

// An agent on the node of the test, whose pod's annotation `egress` is all that it is told.
class Agent {
public:
    explicit Agent(std::filesystem::path pin) : pin_(std::move(pin)) {
        EgressSettings settings;
        settings.node_ports = {10250};
        settings.allowed_of = [](const kube::Pod& pod) -> Result<Egress> {
            auto found = pod.metadata.annotations.find("egress");
            return found == pod.metadata.annotations.end() ? Result<Egress>(Egress{})
                                                           : parse_egress(found->second);
        };
        control_.emplace(EgressControl::Parts{reactor_.executor(), pool_, random_, events},
                         std::move(settings));
    }
    ~Agent() { EXPECT_TRUE(async::run_to_end(reactor_, control_->stop())); }
    Agent(const Agent&) = delete;
    Agent& operator=(const Agent&) = delete;

    Result<void> apply(const std::string& egress, const std::string& table = "") {
        EgressControl::Place place{
            pin_, {"10.1.2.7", "fd00:1::7"}, dns, "192.0.2.9\thosted\n", table};
        const auto pod = pod_with(egress);
        return async::run_to_end(reactor_, control_->apply(*pod, std::move(place)));
    }
    Result<void> update(const std::string& egress) {
        const auto pod = pod_with(egress);
        return async::run_to_end(reactor_, control_->update(*pod));
    }
    Result<void> forget() { return async::run_to_end(reactor_, control_->forget(PodUid("uid"))); }

    DnsConfig dns{{"192.0.2.10"}, {}, {"timeout:1", "attempts:1"}};
    Events events;

private:
    static std::shared_ptr<kube::Pod> pod_with(const std::string& egress) {
        auto pod = std::make_shared<kube::Pod>();
        pod->metadata.uid = "uid";
        pod->metadata.name = "web";
        if (!egress.empty()) {
            pod->metadata.annotations["egress"] = egress;
        }
        return pod;
    }
    std::filesystem::path pin_;
    SeededRandom random_{7};
    async::Reactor reactor_;
    async::BlockingPool pool_{reactor_, 2, 64};
    std::optional<EgressControl> control_;
};

TEST(EgressControl, ClosesTheAgentsPortAtEveryAddressOfTheNode) {
    SKIFF_NEEDS_ROOT();
    beside_a_pod([](const auto& pod) {
        Agent agent(pod);
        auto applied = agent.apply("");
        ASSERT_TRUE(applied) << applied.error().message;
        for (const std::string& address : addresses_of_test_node()) {
            EXPECT_EQ(reach(pod, address, 10250), Reached::refused) << address;
        }
        EXPECT_EQ(reach(pod, "192.0.2.9", 80), Reached::yes);
        EXPECT_TRUE(agent.events.all.empty());
    });
}

TEST(EgressControl, TakesWhatWasLaidAheadIfItIsWhatThePodNeeds) {
    SKIFF_NEEDS_ROOT();
    beside_a_pod([](const auto& pod) {
        auto laid = close_ahead(pod, {10250});
        ASSERT_TRUE(laid) << laid.error().message;
        EXPECT_EQ(reach(pod, "192.0.2.9", 10250), Reached::refused);
        EXPECT_EQ(reach(pod, "169.254.169.254", 80), Reached::refused);
        EXPECT_EQ(reach(pod, "192.0.2.9", 80), Reached::yes);
        ASSERT_TRUE(in_namespace(*open_pinned(pod), [] {
            // Only a new table would close these again.
            return run_nft("flush chain inet skiff-egress out\n");
        }));
        Agent agent(pod);
        ASSERT_TRUE(agent.apply("", *laid));
        EXPECT_EQ(reach(pod, "192.0.2.9", 10250), Reached::yes) << "taken as it is";
        ASSERT_TRUE(agent.apply("", *laid + "# of another node\n"));
        EXPECT_EQ(reach(pod, "192.0.2.9", 10250), Reached::refused) << "another one";
        ASSERT_TRUE(agent.apply("none", *laid));
        EXPECT_EQ(reach(pod, "192.0.2.9", 80), Reached::refused) << "a pod with a policy";
        ASSERT_TRUE(agent.update(""));
        EXPECT_EQ(reach(pod, "192.0.2.9", 80), Reached::yes) << "no longer what was laid";
        agent.dns.nameservers = {"169.254.169.254"};
        ASSERT_TRUE(agent.apply("", *laid));
        EXPECT_EQ(reach(pod, "169.254.169.254", 53), Reached::yes) << "a cloud's name server";
    });
}

TEST(EgressControl, LooksNamesUpBeforeThePodStarts) {
    SKIFF_NEEDS_ROOT();
    beside_a_pod([](const auto& pod) {
        TestNameServer server(ip("192.0.2.10"));
        server.set("db.example", {"198.51.100.4", "fd99::4", "169.254.169.254"});
        Agent agent(pod);
        ASSERT_TRUE(agent.apply("db.example:80, hosted:81"));
        EXPECT_EQ(reach(pod, "198.51.100.4", 80), Reached::yes);
        EXPECT_EQ(reach(pod, "fd99::4", 80), Reached::yes);
        EXPECT_EQ(reach(pod, "198.51.100.4", 81), Reached::refused);
        EXPECT_EQ(reach(pod, "192.0.2.9", 81), Reached::yes) << "by the pod's hosts file";
        EXPECT_EQ(reach(pod, "169.254.169.254", 80), Reached::refused) << "whatever DNS says";
        EXPECT_TRUE(agent.events.all.empty());
    });
}

TEST(EgressControl, StartsThePodWithoutNamesThatNobodyKnowsAndSaysSo) {
    SKIFF_NEEDS_ROOT();
    beside_a_pod([](const auto& pod) {
        Agent agent(pod);
        {
            TestNameServer server(ip("192.0.2.10"));
            server.set("db.example", {"198.51.100.4"});
            ASSERT_TRUE(agent.apply("db.example, nosuch.example"));
            EXPECT_EQ(reach(pod, "198.51.100.4", 80), Reached::yes);
        }
        ASSERT_EQ(agent.events.all.size(), 1U);
        EXPECT_EQ(agent.events.all[0].find("EgressNameUnresolved: "), 0U) << agent.events.all[0];
        EXPECT_NE(agent.events.all[0].find("nosuch.example (there is no such name)"),
                  std::string::npos);
        EXPECT_EQ(agent.events.all[0].find("db.example ("), std::string::npos);
        ASSERT_TRUE(agent.update("silent.example"));
        ASSERT_EQ(agent.events.all.size(), 2U) << "a server that is gone";
        EXPECT_NE(agent.events.all[1].find("silent.example ("), std::string::npos);
        EXPECT_EQ(reach(pod, "198.51.100.4", 80), Reached::refused) << "no longer listed";
    });
}

TEST(EgressControl, FollowsTheAnnotationOfThePod) {
    SKIFF_NEEDS_ROOT();
    beside_a_pod([](const auto& pod) {
        Agent agent(pod);
        EXPECT_TRUE(agent.update("none")) << "of a pod that is not known";
        ASSERT_TRUE(agent.apply("none"));
        EXPECT_EQ(reach(pod, "192.0.2.9", 80), Reached::refused);
        ASSERT_TRUE(agent.update("192.0.2.9"));
        EXPECT_EQ(reach(pod, "192.0.2.9", 80), Reached::yes);
        ASSERT_TRUE(agent.update("*.example:80"));
        EXPECT_EQ(reach(pod, "192.0.2.9", 81), Reached::refused);
        ASSERT_EQ(agent.events.all.size(), 1U);
        EXPECT_NE(agent.events.all[0].find("*.example:80"), std::string::npos);
        ASSERT_TRUE(agent.forget());
        EXPECT_TRUE(agent.forget()) << "again";
    });
}

TEST(EgressControl, TheNextAgentKeepsWhatTheLastOneHadLookedUp) {
    SKIFF_NEEDS_ROOT();
    beside_a_pod([](const auto& pod) {
        TestNameServer server(ip("192.0.2.10"));
        server.set("db.example", {"198.51.100.4"});
        {
            Agent first(pod);
            ASSERT_TRUE(first.apply("db.example"));
        }
        EXPECT_EQ(reach(pod, "198.51.100.4", 80), Reached::yes) << "no agent";
        EXPECT_EQ(reach(pod, "192.0.2.9", 80), Reached::refused) << "no agent";
        server.set("db.example", {"192.0.2.9"});
        Agent second(pod);
        ASSERT_TRUE(second.apply("db.example"));
        EXPECT_EQ(reach(pod, "198.51.100.4", 80), Reached::yes) << "an old answer";
        EXPECT_EQ(reach(pod, "192.0.2.9", 80), Reached::yes);
        EXPECT_EQ(reach(pod, "192.0.2.10", 80), Reached::refused);
    });
}

TEST(EgressControl, PutsPoliciesIntoForceAgainAndAgain) {
    SKIFF_NEEDS_ROOT();
    beside_a_pod([](const auto& pod) {
        Agent agent(pod);
        std::vector<std::chrono::nanoseconds> took;
        for (int i = 0; i < 50; ++i) {
            const auto start = std::chrono::steady_clock::now();
            ASSERT_TRUE(agent.apply(i % 2 == 0 ? "" : "192.0.2.9"));
            took.push_back(std::chrono::steady_clock::now() - start);
        }
        EXPECT_EQ(reach(pod, "192.0.2.10", 80), Reached::refused);
        std::ranges::sort(took);
        // In the report, for whoever wonders what it costs.
        RecordProperty("apply_us_p50", static_cast<int>(took[25].count() / 1000));
    });
}

TEST(EgressControl, APolicyThatCannotBeKeptIsAFailure) {
    Agent agent("/nowhere/pinned");
    auto applied = agent.apply("none");
    ASSERT_FALSE(applied);
    EXPECT_EQ(applied.error().reason, "FailedCreatePodSandBox");
    EXPECT_NE(applied.error().message.find("egress policy"), std::string::npos);
    auto wrong = agent.apply("a b/");
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().reason, "FailedCreatePodSandBox");
}

}  // namespace
}  // namespace skiff::network
