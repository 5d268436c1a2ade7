// Pods from files, over fakes of the ports and a store without images.
#include "app/static_pods.h"

#include <gtest/gtest.h>

#include <fstream>

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
        files = std::make_unique<StaticPods>(*pods, *store, clock, manifests, "node-1");
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
        auto turns = []() -> async::Task<void> {
            for (int i = 0; i < 100; ++i) {
                co_await async::yield_now();
            }
        };
        async::run_to_end(reactor, turns());
    }

    fs::path folder;
    fs::path manifests;
    ManualClock clock{WallTime(std::chrono::seconds(1'800'000'000))};
    SeededRandom random{7};
    async::Reactor reactor;
    async::BlockingPool pool{reactor, 1, 16};
    pods::fakes::FakeNode node{clock};
    std::unique_ptr<images::Store> store;
    std::optional<pods::Ports> ports;
    std::unique_ptr<pods::Pods> pods;
    std::unique_ptr<StaticPods> files;
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

TEST(StaticPodManifest, TolerateEveryTaintThatEvicts) {
    auto parsed = parse_static_pods(kManifest, "/manifests/boat.yaml", "node-1", WallTime{});
    ASSERT_TRUE(parsed);
    ASSERT_EQ(parsed->size(), 1U);
    const auto& tolerations = (*parsed)[0].spec.tolerations;
    ASSERT_EQ(tolerations.size(), 1U);
    EXPECT_EQ(tolerations[0].operator_ + " " + tolerations[0].effect, "Exists NoExecute");
    EXPECT_TRUE(tolerations[0].key.empty());
}

TEST_F(StaticPodFiles, MayOwnWhatTheirUnreadableFilesDescribe) {
    write("boat.yaml", kManifest);
    auto parsed = parse_static_pods(kManifest, manifests / "boat.yaml", "node-1", WallTime{});
    ASSERT_TRUE(parsed);
    PodUid own((*parsed)[0].metadata.uid);
    PodUid of_the_api("0c3b4f6e-1111-4222-8333-444455556666");
    EXPECT_TRUE(files->may_own(own)) << "nothing was read yet";
    EXPECT_FALSE(files->may_own(of_the_api));
    scan();
    EXPECT_FALSE(files->may_own(own));
    for (std::string_view broken : {"kind: [", "apiVersion: v1\nkind: Deployment\n"}) {
        write("other.yaml", broken);
        scan();
        EXPECT_TRUE(files->may_own(own)) << broken;
        EXPECT_FALSE(files->may_own(of_the_api));
    }
    write("other.yaml", "");
    scan();
    EXPECT_FALSE(files->may_own(own));
    fs::remove_all(manifests);
    scan();
    EXPECT_FALSE(files->may_own(own)) << "no folder has no files";
}

}  // namespace
}  // namespace skiff::app
