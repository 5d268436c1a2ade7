// Mirrors of pods that come from files, at a server where people delete things.
#include "status/mirror.h"

#include <gtest/gtest.h>

namespace skiff::status {
namespace {

kube::Pod static_pod(const std::string& uid = "hash-1") {
    kube::Pod pod;
    pod.metadata.name = "web-node-1";
    pod.metadata.namespace_ = "default";
    pod.metadata.uid = uid;
    pod.metadata.generation = 1;
    pod.metadata.labels["app"] = "web";
    pod.metadata.annotations["kubernetes.io/config.source"] = "file";
    pod.metadata.annotations["kubernetes.io/config.hash"] = uid;
    pod.spec.nodeName = "node-1";
    return pod;
}

class FakeServer final : public MirrorApi {
public:
    Task<Result<void>> create_pod(kube::Pod pod) override {
        if (error) {
            co_return fail(Error(*error));
        }
        pod.metadata.uid = "mirror-" + std::to_string(created.size() + 1);
        created.push_back(pod);
        co_return Result<void>();
    }
    Task<Result<void>> delete_pod(PodName, PodUid uid) override {
        deleted.push_back(uid.str());
        co_return Result<void>();
    }
    std::vector<kube::Pod> created;
    std::vector<std::string> deleted;
    std::optional<Error> error;
};

class FakeSink final : public pods::StatusSink {
public:
    void publish(std::shared_ptr<const kube::Pod> pod, kube::PodStatus status) override {
        published.emplace_back(pod->metadata.uid, status.phase);
    }
    void finish(std::shared_ptr<const kube::Pod> pod) override {
        finished.push_back(pod->metadata.uid);
    }
    void forget(const PodUid& pod) override { forgotten.push_back(pod.str()); }
    std::vector<std::pair<std::string, std::string>> published;
    std::vector<std::string> finished;
    std::vector<std::string> forgotten;
};

class Mirrors : public ::testing::Test {
protected:
    ~Mirrors() override { async::run_to_end(reactor, mirrors.stop()); }
    void settle() {
        auto turns = []() -> Task<void> {
            for (int i = 0; i < 20; ++i) {
                co_await async::yield_now();
            }
        };
        async::run_to_end(reactor, turns());
    }
    void publish(const kube::Pod& pod, const std::string& phase) {
        kube::PodStatus status;
        status.phase = phase;
        mirrors.publish(std::make_shared<const kube::Pod>(pod), status);
        settle();
    }
    // The watch tells of what was created last.
    std::shared_ptr<const kube::Pod> see_created() {
        auto mirror = std::make_shared<const kube::Pod>(server.created.back());
        mirrors.seen(mirror);
        settle();
        return mirror;
    }

    async::Reactor reactor;
    FakeServer server;
    FakeSink sink;
    std::optional<std::string> node_uid = "node-uid";
    MirrorPods mirrors{reactor.executor(), server, sink, "node-1", [this] { return node_uid; }};
};

TEST_F(Mirrors, ShowAPodOfAFileWhoseStatusGoesToThem) {
    mirrors.sources_ready();
    publish(static_pod(), "Pending");
    ASSERT_EQ(server.created.size(), 1U);
    const kube::Pod& mirror = server.created[0];
    EXPECT_EQ(mirror.metadata.annotations.at("kubernetes.io/config.mirror"), "hash-1");
    EXPECT_EQ(mirror.metadata.labels.at("app"), "web");
    ASSERT_EQ(mirror.metadata.ownerReferences.size(), 1U);
    const kube::OwnerReference& owner = mirror.metadata.ownerReferences[0];
    EXPECT_EQ(owner.kind + " " + owner.name + " " + owner.uid, "Node node-1 node-uid");
    EXPECT_TRUE(owner.controller.value_or(false));
    EXPECT_FALSE(owner.blockOwnerDeletion.has_value());
    EXPECT_TRUE(sink.published.empty());
    see_created();
    publish(static_pod(), "Running");
    ASSERT_EQ(sink.published.size(), 2U);
    EXPECT_EQ(sink.published[0], std::pair(std::string("mirror-1"), std::string("Pending")));
    EXPECT_EQ(sink.published[1], std::pair(std::string("mirror-1"), std::string("Running")));
}

TEST_F(Mirrors, AreNotMadeBeforeEverySourceWasListed) {
    publish(static_pod(), "Running");
    EXPECT_TRUE(server.created.empty());
    mirrors.sources_ready();
    settle();
    EXPECT_EQ(server.created.size(), 1U);
}

TEST_F(Mirrors, AreAdoptedByTheNextAgent) {
    kube::Pod mirror = mirror_of(static_pod(), "node-1", "node-uid");
    mirror.metadata.uid = "mirror-of-before";
    mirrors.seen(std::make_shared<const kube::Pod>(mirror));
    publish(static_pod(), "Running");
    mirrors.sources_ready();
    settle();
    EXPECT_TRUE(server.created.empty());
    EXPECT_TRUE(server.deleted.empty());
    ASSERT_FALSE(sink.published.empty());
    EXPECT_EQ(sink.published.back().first, "mirror-of-before");
}

TEST_F(Mirrors, ThatAreBeingDeletedGoAtOnce) {
    mirrors.sources_ready();
    publish(static_pod(), "Running");
    kube::Pod leaving = *see_created();
    // The worker of the first request still rests; a new one would not be needed.
    leaving.metadata.deletionTimestamp = kube::Time(WallTime(std::chrono::seconds(1)));
    mirrors.seen(std::make_shared<const kube::Pod>(leaving));
    mirrors.gone(leaving);
    settle();
    EXPECT_EQ(sink.forgotten, std::vector<std::string>{"mirror-1"});
}

TEST_F(Mirrors, OfNothingAreRemoved) {
    kube::Pod stray = mirror_of(static_pod(), "node-1", "node-uid");
    stray.metadata.uid = "stray";
    mirrors.seen(std::make_shared<const kube::Pod>(stray));
    settle();
    EXPECT_TRUE(server.deleted.empty());
    mirrors.sources_ready();
    settle();
    EXPECT_EQ(server.deleted, std::vector<std::string>{"stray"});
}

TEST_F(Mirrors, OfAnEditedFileAreReplaced) {
    kube::Pod old = mirror_of(static_pod("hash-1"), "node-1", "node-uid");
    old.metadata.uid = "old";
    mirrors.seen(std::make_shared<const kube::Pod>(old));
    publish(static_pod("hash-2"), "Pending");
    mirrors.sources_ready();
    settle();
    EXPECT_EQ(server.deleted, std::vector<std::string>{"old"});
    EXPECT_TRUE(sink.published.empty());
}

TEST_F(Mirrors, GoWithTheFile) {
    kube::Pod mirror = mirror_of(static_pod(), "node-1", "node-uid");
    mirror.metadata.uid = "mirror";
    mirrors.seen(std::make_shared<const kube::Pod>(mirror));
    mirrors.sources_ready();
    publish(static_pod(), "Running");
    mirrors.forget(PodUid("hash-1"));
    settle();
    EXPECT_EQ(server.deleted, std::vector<std::string>{"mirror"});
}

TEST_F(Mirrors, LeaveOrdinaryPodsToTheSinkBelow) {
    kube::Pod pod;
    pod.metadata.name = "web";
    pod.metadata.uid = "uid-1";
    mirrors.sources_ready();
    publish(pod, "Running");
    mirrors.finish(std::make_shared<const kube::Pod>(pod));
    mirrors.forget(PodUid("uid-1"));
    EXPECT_EQ(sink.published.size(), 1U);
    EXPECT_EQ(sink.finished, std::vector<std::string>{"uid-1"});
    EXPECT_EQ(sink.forgotten, std::vector<std::string>{"uid-1"});
    EXPECT_TRUE(server.created.empty());
}

}  // namespace
}  // namespace skiff::status
