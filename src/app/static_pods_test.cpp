// Pods from files and a URL, over fakes of the ports and a store without images.
#include "app/static_pods.h"

#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <fstream>

#include "http/test_server.h"
#include "os/file.h"
#include "pods/fakes.h"

namespace skiff::app {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kManifest = R"(apiVersion: v1
kind: Pod
metadata:
  name: boat
spec:
  containers:
  - name: main
    image: registry.test/hello:1
)";

const ManifestSource kFile{ManifestSource::Kind::file, "/manifests/boat.yaml"};
const ManifestSource kUrl{ManifestSource::Kind::http, "http://pods.test/"};

class StaticPodFiles : public ::testing::Test {
protected:
    StaticPodFiles() {
        std::string pattern = ::testing::TempDir() + "skiff-static-XXXXXX";
        folder = ::mkdtemp(pattern.data());
        manifests = folder / "manifests";
        fs::create_directory(manifests);
        auto opened = async::run_to_end(reactor, images::Store::open(pool, folder / "images"));
        EXPECT_TRUE(opened);
        store = std::move(*opened);
        ports.emplace(node.ports());
        pods = std::make_unique<pods::Pods>(reactor.executor(), clock, random, *ports,
                                            pods::PodsSettings{});
        static_ports.emplace(StaticPorts{*pods, *store, clock, "node-1"});
        files.emplace(*static_ports, manifests);
    }
    ~StaticPodFiles() override {
        async::run_to_end(reactor, pods->stop());
        (void)os::remove_tree(folder);
    }
    void write(const std::string& name, std::string_view text) {
        std::ofstream(manifests / name) << text;
    }
    void scan() {
        async::run_to_end(reactor, files->scan());
        settle();
    }
    void settle() {
        auto turns = []() -> async::Task<void> {
            for (int i = 0; i < 100; ++i) {
                co_await async::yield_now();
            }
        };
        async::run_to_end(reactor, turns());
    }

    fs::path folder;
    fs::path manifests;
    ManualClock clock{SystemClock().wall_now()};  // as the files'
    SeededRandom random{7};
    async::Reactor reactor;
    async::BlockingPool pool{reactor, 1, 16};
    pods::fakes::FakeNode node{clock};
    std::unique_ptr<images::Store> store;
    std::optional<pods::Ports> ports;
    std::unique_ptr<pods::Pods> pods;
    std::optional<StaticPorts> static_ports;
    std::optional<StaticFiles> files;
};

TEST_F(StaticPodFiles, StartAtOnceAndEndWithTheirFile) {
    write("boat.yaml", kManifest);
    scan();
    ASSERT_EQ(node.guests.started.size(), 1U) << "no source was listed yet";
    EXPECT_EQ(node.guests.started[0].pod_name.name, "boat-node-1");
    fs::remove(manifests / "boat.yaml");
    scan();
    EXPECT_EQ(node.guests.running_count(), 0U);
}

TEST_F(StaticPodFiles, AreReadAgainWhenTheyMayHaveChanged) {
    fs::path boat = manifests / "boat.yaml";
    write("boat.yaml", kManifest);
    os::Fd watch(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    ASSERT_GE(::inotify_add_watch(watch.get(), boat.c_str(), IN_OPEN), 0);
    auto opens = [&] {
        char events[4096];
        return ::read(watch.get(), events, sizeof events) > 0;
    };
    auto is_opened = [&] {
        opens();  // by whoever wrote it
        scan();
        return opens();
    };
    EXPECT_TRUE(is_opened());
    EXPECT_TRUE(is_opened()) << "another write would have no other stamp";
    clock.advance(2 * kStampSettles);
    EXPECT_TRUE(is_opened());
    EXPECT_FALSE(is_opened());
    write("boat.yaml", kManifest);
    EXPECT_TRUE(is_opened()) << "it was written";
    EXPECT_EQ(node.guests.started.size(), 1U) << "the same content is no work";
    std::string other(kManifest);
    other.replace(other.find("boat"), 4, "ship");
    write("boat.yaml", other);
    scan();
    ASSERT_EQ(node.guests.started.size(), 2U);
    EXPECT_EQ(node.guests.started[1].pod_name.name, "ship-node-1");
}

TEST(StaticPodManifest, TolerateEveryTaintThatEvicts) {
    auto parsed = parse_static_pods(kManifest, kFile, "node-1", WallTime{});
    ASSERT_TRUE(parsed);
    ASSERT_EQ(parsed->size(), 1U);
    const auto& tolerations = (*parsed)[0].spec.tolerations;
    ASSERT_EQ(tolerations.size(), 1U);
    EXPECT_EQ(tolerations[0].operator_ + " " + tolerations[0].effect, "Exists NoExecute");
    EXPECT_TRUE(tolerations[0].key.empty());
}

TEST(StaticPodManifest, SaysWhereItCameFromAndHasAnUidOfItsOwn) {
    auto of_file = parse_static_pods(kManifest, kFile, "node-1", WallTime{});
    auto of_url = parse_static_pods(kManifest, kUrl, "node-1", WallTime{});
    ASSERT_TRUE(of_file && of_url);
    auto& from_url = (*of_url)[0].metadata;
    EXPECT_EQ((*of_file)[0].metadata.annotations.at("kubernetes.io/config.source"), "file");
    EXPECT_EQ(from_url.annotations.at("kubernetes.io/config.source"), "http");
    EXPECT_EQ(from_url.annotations.at("kubernetes.io/config.hash"), from_url.uid);
    EXPECT_NE((*of_file)[0].metadata.uid, from_url.uid);
}

TEST(StaticPodManifest, MayBeAListOfPods) {
    constexpr std::string_view kList = R"({"kind":"PodList","apiVersion":"v1","items":[
        {"metadata":{"name":"a"},"spec":{"containers":[{"name":"m","image":"r/i:1"}]}},
        {"metadata":{"name":"b"},"spec":{"containers":[{"name":"m","image":"r/i:1"}]}}]})";
    auto parsed = parse_static_pods(kList, kUrl, "node-1", WallTime{});
    ASSERT_TRUE(parsed) << parsed.error().message;
    ASSERT_EQ(parsed->size(), 2U);
    EXPECT_EQ((*parsed)[1].metadata.name, "b-node-1");
    EXPECT_NE((*parsed)[0].metadata.uid, (*parsed)[1].metadata.uid);
}

TEST_F(StaticPodFiles, MayOwnWhatTheirUnreadableFilesDescribe) {
    config::Settings settings;
    settings.static_pod_path = manifests;
    settings.node_name = "node-1";
    StaticPods both(reactor.executor(), StaticPorts{*pods, *store, clock, "node-1"}, settings);
    async::Scope scope(reactor.executor());
    write("boat.yaml", kManifest);
    ManifestSource source{ManifestSource::Kind::file, (manifests / "boat.yaml").string()};
    auto parsed = parse_static_pods(kManifest, source, "node-1", WallTime{});
    ASSERT_TRUE(parsed);
    PodUid own((*parsed)[0].metadata.uid);
    PodUid of_the_api("0c3b4f6e-1111-4222-8333-444455556666");
    EXPECT_TRUE(both.may_own(own)) << "nothing was read yet";
    EXPECT_FALSE(both.may_own(of_the_api));
    async::run_to_end(reactor, both.start(scope));
    EXPECT_FALSE(both.may_own(own));
    async::run_to_end(reactor, scope.stop());
    EXPECT_FALSE(files->applied()) << "nothing was read yet";
    scan();
    EXPECT_TRUE(files->applied());
    for (std::string_view broken : {"kind: [", "apiVersion: v1\nkind: Deployment\n"}) {
        write("other.yaml", broken);
        scan();
        EXPECT_FALSE(files->applied()) << broken;
    }
    write("other.yaml", "");
    scan();
    EXPECT_TRUE(files->applied());
    fs::remove_all(manifests);
    scan();
    EXPECT_TRUE(files->applied()) << "no folder has no files";
}

// What a server of manifests says; the header that it wants to see.
class StaticPodUrl : public StaticPodFiles {
protected:
    StaticPodUrl() {
        StaticUrlSettings settings;
        settings.url = server.url("/pods");
        settings.headers.add("X-Token", "secret");
        url.emplace(*static_ports, client, std::move(settings));
    }
    void poll(int status, std::string body) {
        answer.status = status;
        answer.body = std::move(body);
        async::run_to_end(reactor, url->poll());
        settle();
    }

    http::testing::TestResponse answer;
    http::testing::TestServer server{[this](const http::testing::TestRequest& request) {
        auto refused = http::testing::TestResponse();
        refused.status = 403;
        return request.headers.find("X-Token") == "secret" ? answer : refused;
    }};
    http::Client client{reactor.executor(), "test"};
    std::optional<StaticUrl> url;
};

TEST_F(StaticPodUrl, StartsWhatItSaysAndLeavesItAloneWhileItFails) {
    EXPECT_FALSE(url->applied());
    poll(200, std::string(kManifest));
    EXPECT_TRUE(url->applied());
    ASSERT_EQ(node.guests.started.size(), 1U);
    ASSERT_EQ(node.guests.running_count(), 1U);
    for (int status : {500, 404, 302}) {
        poll(status, "");
        EXPECT_EQ(node.guests.running_count(), 1U) << status;
        EXPECT_TRUE(url->applied()) << "the last answer is what counts";
    }
    poll(200, "kind: Deployment\napiVersion: apps/v1\n");
    EXPECT_EQ(node.guests.running_count(), 1U);
    EXPECT_FALSE(url->applied());
    poll(200, std::string(kManifest));
    EXPECT_EQ(node.guests.started.size(), 1U) << "it is the same pod";
    poll(200, "");
    EXPECT_EQ(node.guests.running_count(), 0U) << "an empty answer has no pods";
}

}  // namespace
}  // namespace skiff::app
