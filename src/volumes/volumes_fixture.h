// A pod's volumes on a temporary folder, for the tests of this room.
#pragma once

#include "volumes/volumes.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <future>

#include "os/file.h"
#include "os/mount.h"
#include "volumes/atomic_writer.h"
#include "volumes/sub_path.h"

namespace skiff::volumes {
namespace fs = std::filesystem;
using async::Task;

inline constexpr long kTmpfsMagic = 0x01021994;

// Objects of a small cluster.
class FakeObjects final : public pods::Objects {
public:
    Task<Result<std::shared_ptr<const kube::ConfigMap>>> config_map(const kube::Pod& /*pod*/,
                                                                    std::string name) override {
        auto found = config_maps.find(name);
        if (found == config_maps.end()) {
            co_return fail(Code::not_found, "configmaps \"{}\" not found", name);
        }
        co_return std::make_shared<const kube::ConfigMap>(found->second);
    }
    Task<Result<std::shared_ptr<const kube::Secret>>> secret(const kube::Pod& /*pod*/,
                                                             std::string name) override {
        auto found = secrets.find(name);
        if (found == secrets.end()) {
            co_return fail(Code::not_found, "secrets \"{}\" not found", name);
        }
        co_return std::make_shared<const kube::Secret>(found->second);
    }
    Task<Result<pods::ServiceAccountToken>> service_account_token(
        const kube::Pod& pod, std::string audience, std::int64_t expiration_seconds) override {
        pods::ServiceAccountToken token;
        token.token = fmt::format("token-{}-{}-{}", pod.metadata.uid, audience, expiration_seconds);
        co_return token;
    }
    Task<Result<std::string>> trust_anchors(
        const kube::Pod& /*pod*/, const kube::ClusterTrustBundleProjection& source) override {
        if (trust_bundles.contains(source.name.value_or(""))) {
            co_return trust_bundles[*source.name];
        }
        if (source.optional.value_or(false)) {
            co_return std::string();
        }
        co_return fail(Code::not_found, "no such bundle");
    }
    Task<Result<pods::PodCredentials>> pod_certificate(const kube::Pod& /*pod*/, std::string volume,
                                                       std::size_t source) override {
        pods::PodCredentials made;
        made.key_pem = fmt::format("key of {}[{}]\n", volume, source);
        made.chain_pem = "chain\n";
        co_return made;
    }
    Task<Result<std::shared_ptr<const kube::PersistentVolume>>> bound_volume(
        const kube::Pod& /*pod*/, std::string claim) override {
        auto found = claims.find(claim);
        if (found == claims.end()) {
            co_return fail(Code::unavailable, "PVC is not bound");
        }
        co_return std::make_shared<const kube::PersistentVolume>(found->second);
    }
    std::optional<std::vector<std::shared_ptr<const kube::Service>>> services() const override {
        return std::nullopt;
    }
    Task<Result<std::string>> runtime_handler(std::string /*runtime_class*/) override {
        co_return fail(Code::not_found, "no runtime class");
    }
    void release(const PodUid& /*pod*/) override {}
    void set_observer(std::function<void(const PodUid&)> /*observer*/) override {}

    std::map<std::string, kube::ConfigMap> config_maps;
    std::map<std::string, kube::Secret> secrets;
    std::map<std::string, std::string> trust_bundles;
    std::map<std::string, kube::PersistentVolume> claims;
};

inline std::string text_of(const fs::path& path) {
    std::ifstream file(path);
    return std::string(std::istreambuf_iterator<char>(file), {});
}

inline struct stat stat_of(const fs::path& path) {
    struct stat status{};
    EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
    return status;
}

inline unsigned mode_of(const fs::path& path) {
    return stat_of(path).st_mode & 07777U;
}

inline bool is_tmpfs(const fs::path& path) {
    struct statfs status{};
    return ::statfs(path.c_str(), &status) == 0 && status.f_type == kTmpfsMagic;
}

class VolumesTest : public ::testing::Test {
protected:
    void SetUp() override {
        if (::geteuid() != 0) {
            GTEST_SKIP() << "tmpfs and ownership need root";
        }
        std::string pattern = ::testing::TempDir() + "skiff-volumes-XXXXXX";
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        folder = pattern;
        paths.root_dir = folder / "root";
        volumes = std::make_unique<PodVolumes>(reactor.executor(), paths, objects, pools, clock);
        pod.metadata.name = "web";
        pod.metadata.namespace_ = "default";
        pod.metadata.uid = "0c3b4f6e-1111-4222-8333-444455556666";
        pod.spec.containers.resize(1);
        pod.spec.containers[0].name = "main";
    }
    void TearDown() override {
        if (volumes) {
            (void)tear_down();
            async::run_to_end(reactor, volumes->stop());
            auto left = os::mounts_below(folder);
            EXPECT_TRUE(left && left->empty());
            (void)os::unmount_below(folder);
            (void)os::remove_tree(folder);
        }
    }
    kube::Volume& add_volume(const std::string& name) {
        kube::VolumeMount mount;
        mount.name = name;
        mount.mountPath = "/" + name;
        pod.spec.containers[0].volumeMounts.push_back(mount);
        kube::Volume volume;
        volume.name = name;
        pod.spec.volumes.push_back(volume);
        return pod.spec.volumes.back();
    }
    Result<std::map<std::string, pods::MountedVolume>> set_up() {
        return async::run_to_end(reactor, volumes->set_up(pod, facts));
    }
    // set_up() that must succeed; the host path of one volume.
    fs::path must_set_up(const std::string& name) {
        auto mounted = set_up();
        EXPECT_TRUE(mounted) << (mounted ? "" : mounted.error().message);
        return mounted ? mounted->at(name).path : fs::path();
    }
    Result<void> tear_down() {
        return async::run_to_end(reactor, volumes->tear_down(PodUid(pod.metadata.uid)));
    }
    Result<fs::path> resolve(const fs::path& volume, const std::string& sub_path) {
        pods::MountedVolume mounted;
        mounted.path = volume;
        return async::run_to_end(reactor, volumes->resolve_mount(pod, mounted, sub_path));
    }

    fs::path folder;
    state::Paths paths;
    FakeObjects objects;
    async::Reactor reactor;
    async::BlockingPool pool{reactor, 2, 64};
    // One call may wait behind the one that runs.
    async::BlockingPool foreign_pool{reactor, 1, 1};
    Pools pools{pool, foreign_pool};
    ManualClock clock{WallTime(std::chrono::hours(500000))};
    pods::PodFacts facts;
    kube::Pod pod;
    std::unique_ptr<PodVolumes> volumes;
};

}  // namespace skiff::volumes
