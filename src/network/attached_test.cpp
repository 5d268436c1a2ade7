// NodeNetwork where pods have addresses of their own.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <set>

#include "async/scope.h"
#include "network/network.h"
#include "os/file.h"

namespace skiff::network {
namespace {

namespace fs = std::filesystem;

class FakeAttacher final : public PodAttacher {
public:
    async::Task<Result<Attachment>> attach(std::shared_ptr<const kube::Pod> pod) override {
        if (failure) {
            co_return fail(*failure);
        }
        attached.insert(PodUid(pod->metadata.uid));
        Attachment attachment;
        attachment.name_space = "/run/netns/7";
        attachment.addresses = {"10.1.2.7", "fd00::7"};
        co_return attachment;
    }
    async::Task<Result<void>> detach(PodUid pod) override {
        if (failure) {
            co_return fail(*failure);
        }
        attached.erase(pod);
        co_return Result<void>{};
    }
    bool serves(const PodUid& pod) const override { return is_open || attached.contains(pod); }
    std::optional<Attachment> find(const PodUid&) const override { return std::nullopt; }
    std::vector<PodUid> list() const override { return {attached.begin(), attached.end()}; }
    Result<void> ready() const override { return {}; }
    async::Task<Result<void>> stop() override { co_return Result<void>{}; }

    bool is_open = true;
    std::set<PodUid> attached;
    std::optional<Error> failure;
};

struct NoEvents final : pods::EventSink {
    void emit(const kube::Pod&, std::string_view, pods::EventType, std::string_view,
              std::string_view) override {}
};

class AttachedTest : public ::testing::Test {
protected:
    void SetUp() override {
        std::string pattern = ::testing::TempDir() + "skiff-attached-XXXXXX";
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        folder = pattern;
        paths.root_dir = folder / "root";
        NetworkSettings settings;
        settings.node_ips = {"198.51.100.4"};
        settings.node_hostname = "node";
        settings.resolv_conf = folder / "resolv.conf";
        settings.node_hosts = folder / "hosts";
        settings.attacher = &attacher;
        network = std::make_unique<NodeNetwork>(reactor.executor(), settings, paths, pool, events);
        pod.metadata.name = "web";
        pod.metadata.namespace_ = "shop";
        pod.metadata.uid = "uid-web";
        pod.spec.containers.resize(1);
        pod.spec.containers[0].name = "main";
    }
    void TearDown() override {
        EXPECT_TRUE(async::run_to_end(reactor, network->stop()));
        (void)os::remove_tree(folder);
    }
    Result<pods::PodNetwork> set_up() { return async::run_to_end(reactor, network->set_up(pod)); }
    Result<pods::NetworkMode> mode(bool opens_sockets) {
        return async::run_to_end(reactor,
                                 network->mode_for(pod, pod.spec.containers[0], opens_sockets));
    }

    fs::path folder;
    state::Paths paths;
    NoEvents events;
    FakeAttacher attacher;
    async::Reactor reactor;
    async::BlockingPool pool{reactor, 2, 16};
    std::unique_ptr<NodeNetwork> network;
    kube::Pod pod;
};

TEST_F(AttachedTest, APodHasAddressesAndANamespaceOfItsOwn) {
    auto made = set_up();
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_EQ(made->pod_ips, (std::vector<std::string>{"10.1.2.7", "fd00::7"}));
    EXPECT_EQ(made->netns, "/run/netns/7");
    auto hosts = os::read_file(made->hosts_file, 4_KiB);
    ASSERT_TRUE(hosts);
    EXPECT_NE(hosts->find("10.1.2.7\tweb\n"), std::string::npos) << *hosts;
    EXPECT_EQ(hosts->find("198.51.100.4"), std::string::npos) << *hosts;
    EXPECT_EQ(*mode(true), pods::NetworkMode::pod);
    EXPECT_EQ(*mode(false), pods::NetworkMode::pod);
    PodUid uid(pod.metadata.uid);
    ASSERT_TRUE(async::run_to_end(reactor, network->tear_down(uid)));
    EXPECT_TRUE(attacher.list().empty());
}

TEST_F(AttachedTest, APodOfTheHostsNetworkHasNone) {
    pod.spec.hostNetwork = true;
    auto made = set_up();
    ASSERT_TRUE(made);
    EXPECT_EQ(made->pod_ips, std::vector<std::string>{"198.51.100.4"});
    EXPECT_TRUE(made->netns.empty());
    EXPECT_TRUE(attacher.list().empty());
    EXPECT_EQ(*mode(true), pods::NetworkMode::host);
}

TEST_F(AttachedTest, APodThatTheAttacherDoesNotServeHasTheNodesNetwork) {
    attacher.is_open = false;
    auto made = set_up();
    ASSERT_TRUE(made);
    EXPECT_EQ(made->pod_ips, std::vector<std::string>{"198.51.100.4"});
    EXPECT_TRUE(made->netns.empty());
    EXPECT_EQ(*mode(true), pods::NetworkMode::host);
    attacher.attached.insert(PodUid(pod.metadata.uid));  // of an agent before
    made = set_up();
    ASSERT_TRUE(made);
    EXPECT_EQ(made->netns, "/run/netns/7");
    EXPECT_EQ(*mode(true), pods::NetworkMode::pod);
}

TEST_F(AttachedTest, WhatTheAttacherSaysIsPassedOn) {
    auto failure = fail_because(Code::unavailable, "FailedCreatePodSandBox", "no range");
    attacher.failure = failure.value();
    auto made = set_up();
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().reason, "FailedCreatePodSandBox");
    EXPECT_EQ(made.error().message, "no range");
    EXPECT_FALSE(fs::exists(paths.pod_hosts(PodUid(pod.metadata.uid)))) << "nothing is half made";
    EXPECT_FALSE(async::run_to_end(reactor, network->tear_down(PodUid(pod.metadata.uid))));
}

TEST_F(AttachedTest, OnlyPortsOfTheNodeMustBeFree) {
    os::Fd holder(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in at{};
    at.sin_family = AF_INET;
    socklen_t size = sizeof(at);
    ASSERT_EQ(::bind(holder.get(), reinterpret_cast<sockaddr*>(&at), size), 0);
    ASSERT_EQ(::listen(holder.get(), 1), 0);
    ::getsockname(holder.get(), reinterpret_cast<sockaddr*>(&at), &size);
    auto& port = pod.spec.containers[0].ports.emplace_back();
    port.containerPort = ntohs(at.sin_port);
    port.protocol = "TCP";
    EXPECT_EQ(*mode(true), pods::NetworkMode::pod) << "its own namespace is its own";
    port.hostPort = port.containerPort;
    port.containerPort = 80;
    auto taken = mode(true);
    ASSERT_FALSE(taken);
    EXPECT_EQ(taken.error().reason, "CreateContainerError");
    EXPECT_NE(taken.error().message.find("of the node is taken by network_test"),
              std::string::npos);
}

}  // namespace
}  // namespace skiff::network
