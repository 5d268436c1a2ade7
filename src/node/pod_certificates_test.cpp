// Certificates of pods, against a scripted API server whose signer the test is.
#include "node/pod_certificates.h"

#include <gtest/gtest.h>

#include "http/test_server.h"
#include "node/certificates.h"

namespace skiff::node {
namespace {

using async::Task;
using http::testing::TestRequest;
using http::testing::TestResponse;
using http::testing::TestServer;
using std::chrono::hours;
using std::chrono::minutes;

class Events final : public pods::EventSink {
public:
    void emit(const kube::Pod&, std::string_view, pods::EventType, std::string_view reason,
              std::string_view) override {
        reasons.emplace_back(reason);
    }
    std::vector<std::string> reasons;
};

// The steady clock is the system's, for deadlines; wall time is the test's.
class TestClock final : public Clock {
public:
    [[nodiscard]] WallTime wall_now() const override { return now; }
    [[nodiscard]] SteadyTime steady_now() const override { return system.steady_now(); }
    WallTime now{hours(500000)};
    SystemClock system;
};

// The server and the signer: answers each request with the condition that is asked for.
class PodCertificatesTest : public testing::Test {
protected:
    PodCertificatesTest()
        : certificate(make_self_signed("pod", {"x.test"}, {}, clock.now).value().certificate_pem),
          server([this](const TestRequest& request) { return answer(request); }) {
        kube::ClientConfig config;
        config.server = "http://" + server.authority();
        config.proxy = "";
        config.token = "secret";
        client.emplace(reactor.executor(), clock, config);
        kube::ReflectorPace pace;
        pace.back_off_min = std::chrono::milliseconds(1);
        pace.back_off_max = std::chrono::milliseconds(2);
        certificates.emplace(PodCertificates::Parts{reactor.executor(), *client, clock, random,
                                                    pool, events, "node-1", pace});
        certificates->set_observer([this](const PodUid& uid) { told.push_back(uid.str()); });
        pod.metadata.name = "web";
        pod.metadata.namespace_ = "ns";
        pod.metadata.uid = "uid-1";
        kube::Volume volume;
        volume.name = "id";
        kube::VolumeProjection part;
        part.podCertificate.emplace().signerName = "example.com/signer";
        part.podCertificate->keyType = "ECDSAP256";
        volume.projected.emplace().sources.push_back(part);
        pod.spec.volumes.push_back(volume);
    }
    ~PodCertificatesTest() override { async::run_to_end(reactor, certificates->stop()); }

    TestResponse answer(const TestRequest& request) {
        TestResponse response;
        if (request.method == "POST") {
            std::lock_guard lock(mutex);
            auto created = kube::from_json<kube::PodCertificateRequest>(request.body);
            EXPECT_TRUE(created);
            created->metadata.name = fmt::format("req-{}", ++posts);
            response.status = 201;
            response.body = kube::to_json(*created);
            created->metadata.uid = created->metadata.name;
            created->metadata.resourceVersion = std::to_string(10 + posts);
            kube::Condition condition;
            condition.type = verdict;
            condition.status = "True";
            condition.reason = "Why";
            condition.message = "because";
            if (!verdict.empty()) {
                created->status.conditions.push_back(condition);
            }
            created->status.certificateChain = "# by the signer\n" + certificate;
            created->status.beginRefreshAt = kube::Time(clock.now + hours(1));
            created->status.notAfter = kube::Time(clock.now + hours(2));
            objects.push_back(std::move(*created));
        } else if (request.target.find("watch=true") != std::string::npos) {
            // It ends at once: the reflector asks again and again.
            std::lock_guard lock(mutex);
            for (const auto& object : objects) {
                response.body += R"({"type":"MODIFIED","object":)" + kube::to_json(object) + "}\n";
            }
        } else if (request.target.find("podcertificaterequests") != std::string::npos) {
            response.body = R"({"metadata":{"resourceVersion":"5"},"items":[]})";
        } else {
            response.body = R"({"metadata":{"name":"x","uid":"its-uid"}})";
        }
        return response;
    }
    Result<pods::PodCredentials> get() {
        return async::run_to_end(reactor, certificates->get(pod, "id", 0));
    }
    // Lets what is on the way arrive.
    void wait_for(const std::function<bool()>& condition) {
        auto rest = []() -> Task<void> {
            auto slept = co_await async::sleep_for(std::chrono::milliseconds(1));
            (void)slept;
        };
        for (int i = 0; i < 5000 && !condition(); ++i) {
            async::run_to_end(reactor, rest());
        }
        EXPECT_TRUE(condition());
    }

    TestClock clock;
    std::string certificate;
    std::mutex mutex;
    std::string verdict = "Issued";
    int posts = 0;
    std::vector<kube::PodCertificateRequest> objects;
    SeededRandom random{1};
    TestServer server;
    async::Reactor reactor;
    async::BlockingPool pool{reactor, 1, 8};
    std::optional<kube::ApiClient> client;
    Events events;
    std::vector<std::string> told;
    kube::Pod pod;
    std::optional<PodCertificates> certificates;
};

// Contract row 69.
TEST_F(PodCertificatesTest, AsksForOneAndKeepsItUntilItIsTimeToRenew) {
    auto made = get();
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_EQ(made->chain_pem, certificate);
    EXPECT_TRUE(made->key_pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
    const auto& spec = objects[0].spec;
    EXPECT_EQ(spec.signerName, "example.com/signer");
    EXPECT_EQ(spec.podUID, "uid-1");
    EXPECT_EQ(spec.serviceAccountName, "default");
    EXPECT_EQ(spec.serviceAccountUID, "its-uid");
    EXPECT_EQ(spec.nodeName, "node-1");
    EXPECT_EQ(spec.nodeUID, "its-uid");
    EXPECT_EQ(objects[0].metadata.ownerReferences.at(0).uid, "uid-1");
    clock.now += minutes(59);
    EXPECT_EQ(get()->key_pem, made->key_pem);
    EXPECT_EQ(posts, 1);
}

TEST_F(PodCertificatesTest, RenewsInTimeAndGivesTheOldOneMeanwhile) {
    auto first = get();
    ASSERT_TRUE(first);
    clock.now += minutes(66);
    EXPECT_EQ(get()->key_pem, first->key_pem);
    wait_for([&] { return get()->key_pem != first->key_pem; });
    EXPECT_EQ(posts, 2);
    EXPECT_EQ(told.size(), 2U);
    EXPECT_TRUE(events.reasons.empty());
}

TEST_F(PodCertificatesTest, ARefusalIsToldAndNotAskedForAgain) {
    verdict = "Denied";
    auto refused = get();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::denied);
    EXPECT_EQ(refused.error().message,
              "PodCertificateRequest ns/req-1 was denied by the signer example.com/signer: Why: "
              "because");
    EXPECT_FALSE(get());
    EXPECT_EQ(posts, 1);
}

TEST_F(PodCertificatesTest, TellsOnceThatRenewalIsOverdueAndOnceThatItHasExpired) {
    ASSERT_TRUE(get());
    verdict = "";  // the signer sleeps
    clock.now += minutes(80);
    EXPECT_TRUE(get());
    EXPECT_TRUE(get());
    EXPECT_EQ(events.reasons, (std::vector<std::string>{"CertificateOverdueForRefresh"}));
    clock.now += hours(2);
    EXPECT_TRUE(get());
    EXPECT_TRUE(get());
    EXPECT_EQ(events.reasons,
              (std::vector<std::string>{"CertificateOverdueForRefresh", "CertificateExpired"}));
}

TEST_F(PodCertificatesTest, APodThatIsGoneIsForgotten) {
    auto first = get();
    ASSERT_TRUE(first);
    certificates->release(PodUid("uid-1"));
    auto second = get();
    ASSERT_TRUE(second);
    EXPECT_NE(second->key_pem, first->key_pem);
}

}  // namespace
}  // namespace skiff::node
