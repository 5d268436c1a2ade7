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
namespace {

namespace fs = std::filesystem;
using async::Task;

constexpr long kTmpfsMagic = 0x01021994;

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
    std::optional<std::vector<std::shared_ptr<const kube::Service>>> services() const override {
        return std::nullopt;
    }
    Task<Result<std::string>> runtime_handler(std::string /*runtime_class*/) override {
        co_return fail(Code::not_found, "no runtime class");
    }
    void release(const PodUid& /*pod*/) override {}

    std::map<std::string, kube::ConfigMap> config_maps;
    std::map<std::string, kube::Secret> secrets;
};

std::string text_of(const fs::path& path) {
    std::ifstream file(path);
    return std::string(std::istreambuf_iterator<char>(file), {});
}

struct stat stat_of(const fs::path& path) {
    struct stat status{};
    EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
    return status;
}

unsigned mode_of(const fs::path& path) {
    return stat_of(path).st_mode & 07777U;
}

bool is_tmpfs(const fs::path& path) {
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

TEST_F(VolumesTest, ShowsAConfigMapInTheKubeletsLayout) {
    objects.config_maps["cfg"].data = {{"a.conf", "one"}, {"b", ""}};
    objects.config_maps["cfg"].binaryData["bin"] = kube::Base64{std::string("\0\1", 2)};
    add_volume("conf").configMap.emplace().name = "cfg";
    fs::path at = must_set_up("conf");
    EXPECT_EQ(at,
              paths.root_dir / "pods" / pod.metadata.uid / "volumes/kubernetes.io~configmap/conf");
    EXPECT_EQ(text_of(at / "a.conf"), "one");
    EXPECT_EQ(text_of(at / "bin"), std::string("\0\1", 2));
    EXPECT_EQ(fs::read_symlink(at / "a.conf"), "..data/a.conf");
    EXPECT_TRUE(fs::read_symlink(at / "..data").is_relative());
    EXPECT_EQ(mode_of(at / "a.conf"), 0644U);
    EXPECT_FALSE(is_tmpfs(at));
}

TEST_F(VolumesTest, WritesNothingWhileTheContentsStay) {
    objects.config_maps["cfg"].data = {{"k", "one"}};
    add_volume("conf").configMap.emplace().name = "cfg";
    fs::path at = must_set_up("conf");
    fs::path version = fs::read_symlink(at / "..data");
    ino_t inode = stat_of(at / "k").st_ino;
    clock.advance(std::chrono::seconds(60));
    must_set_up("conf");
    EXPECT_EQ(fs::read_symlink(at / "..data"), version);
    EXPECT_EQ(stat_of(at / "k").st_ino, inode);
}

TEST_F(VolumesTest, SwapsToChangedContentsAndForgetsOldKeys) {
    objects.config_maps["cfg"].data = {{"keep", "1"}, {"gone", "1"}};
    add_volume("conf").configMap.emplace().name = "cfg";
    fs::path at = must_set_up("conf");
    fs::path version = fs::read_symlink(at / "..data");
    objects.config_maps["cfg"].data = {{"keep", "2"}, {"new", "1"}};
    must_set_up("conf");
    EXPECT_EQ(text_of(at / "keep"), "2");
    EXPECT_EQ(text_of(at / "new"), "1");
    EXPECT_FALSE(fs::exists(fs::symlink_status(at / "gone")));
    EXPECT_FALSE(fs::exists(at / version));
    EXPECT_EQ(os::list_folder(at)->size(), 4U);
}

TEST_F(VolumesTest, RepairsWhatACrashOrAStrangerLeft) {
    objects.config_maps["cfg"].data = {{"k", "one"}};
    add_volume("conf").configMap.emplace().name = "cfg";
    fs::path at = must_set_up("conf");
    fs::create_directories(at / "..2001_01_01_00_00_00.5/sub");
    fs::create_symlink("..2001_01_01_00_00_00.5", at / "..data_tmp");
    std::ofstream(at / fs::read_symlink(at / "..data") / "k") << "two";
    must_set_up("conf");
    EXPECT_EQ(text_of(at / "k"), "one");
    EXPECT_EQ(os::list_folder(at)->size(), 3U);
}

TEST_F(VolumesTest, SelectsItemsWithPathsAndModes) {
    objects.config_maps["cfg"].data = {{"a", "1"}, {"b", "2"}};
    auto& source = add_volume("conf").configMap.emplace();
    source.name = "cfg";
    source.defaultMode = 0600;
    source.items = {{"a", "deep/er/a", std::nullopt, std::nullopt}, {"b", "b", 0440, std::nullopt}};
    fs::path at = must_set_up("conf");
    EXPECT_EQ(text_of(at / "deep/er/a"), "1");
    EXPECT_EQ(mode_of(at / "deep/er/a"), 0600U);
    EXPECT_EQ(mode_of(at / "b"), 0440U);
    EXPECT_EQ(fs::read_symlink(at / "deep"), "..data/deep");
}

TEST_F(VolumesTest, RefusesPathsThatLeaveTheVolume) {
    objects.config_maps["cfg"].data = {{"a", "1"}};
    auto& source = add_volume("conf").configMap.emplace();
    source.name = "cfg";
    for (const char* path : {"../a", "/a", "x/../../a", "..a", "x//a", "", "./a"}) {
        source.items = {{"a", path, std::nullopt, std::nullopt}};
        auto mounted = set_up();
        ASSERT_FALSE(mounted) << path;
        EXPECT_EQ(mounted.error().code, Code::invalid);
        EXPECT_EQ(mounted.error().reason, "FailedMount");
    }
}

TEST_F(VolumesTest, NamesTheVolumeAndTheMissingObject) {
    add_volume("conf").configMap.emplace().name = "absent";
    auto mounted = set_up();
    ASSERT_FALSE(mounted);
    EXPECT_EQ(mounted.error().reason, "FailedMount");
    EXPECT_EQ(mounted.error().message,
              "MountVolume.SetUp failed for volume \"conf\" : configmaps \"absent\" not found");
    pod.spec.volumes[0].configMap->optional = true;
    fs::path at = must_set_up("conf");
    EXPECT_TRUE(fs::is_directory(at));
    objects.config_maps["absent"].data = {{"late", "1"}};
    must_set_up("conf");
    EXPECT_EQ(text_of(at / "late"), "1");
}

TEST_F(VolumesTest, MissingKeysMatterUnlessOptional) {
    objects.secrets["s"].data = {};
    auto& source = add_volume("sec").secret.emplace();
    source.secretName = "s";
    source.items = {{"password", "password", std::nullopt, std::nullopt}};
    auto mounted = set_up();
    ASSERT_FALSE(mounted);
    EXPECT_EQ(mounted.error().code, Code::not_found);
    source.optional = true;
    EXPECT_TRUE(set_up());
}

TEST_F(VolumesTest, KeepsSecretsInMemoryOnly) {
    objects.secrets["s"].data["password"] = kube::Base64{"hunter2"};
    auto& source = add_volume("sec").secret.emplace();
    source.secretName = "s";
    source.defaultMode = 0400;
    fs::path at = must_set_up("sec");
    EXPECT_TRUE(is_tmpfs(at));
    EXPECT_EQ(text_of(at / "password"), "hunter2");
    EXPECT_EQ(mode_of(at / "password"), 0400U);
    must_set_up("sec");
    EXPECT_EQ(os::mounts_below(at)->size(), 1U);
    ASSERT_TRUE(tear_down());
    EXPECT_FALSE(fs::exists(at));
    EXPECT_FALSE(fs::exists(paths.pod(PodUid(pod.metadata.uid))));
}

TEST_F(VolumesTest, GivesFilesToTheFsGroup) {
    objects.config_maps["cfg"].data = {{"k", "1"}};
    auto& source = add_volume("conf").configMap.emplace();
    source.name = "cfg";
    source.defaultMode = 0400;
    add_volume("scratch").emptyDir.emplace();
    pod.spec.securityContext.emplace().fsGroup = 4711;
    fs::path conf = must_set_up("conf");
    EXPECT_EQ(stat_of(conf / "k").st_gid, 4711U);
    EXPECT_EQ(mode_of(conf / "k"), 0440U);
    fs::path version = fs::read_symlink(conf / "..data");
    fs::path scratch = must_set_up("scratch");
    EXPECT_EQ(fs::read_symlink(conf / "..data"), version);
    EXPECT_EQ(stat_of(scratch).st_gid, 4711U);
    EXPECT_EQ(mode_of(scratch), 02777U);
}

TEST_F(VolumesTest, KeepsAnEmptyDirAcrossResyncs) {
    add_volume("scratch").emptyDir.emplace();
    fs::path at = must_set_up("scratch");
    EXPECT_EQ(mode_of(at), 0777U);
    std::ofstream(at / "file") << "kept";
    ::chmod(at.c_str(), 0700);
    must_set_up("scratch");
    EXPECT_EQ(text_of(at / "file"), "kept");
    EXPECT_EQ(mode_of(at), 0700U);
}

TEST_F(VolumesTest, BoundsAnEmptyDirInMemory) {
    auto& source = add_volume("scratch").emptyDir.emplace();
    source.medium = "Memory";
    source.sizeLimit = *kube::Quantity::parse("1Mi");
    fs::path at = must_set_up("scratch");
    EXPECT_TRUE(is_tmpfs(at));
    struct statfs status{};
    ASSERT_EQ(::statfs(at.c_str(), &status), 0);
    EXPECT_EQ(status.f_blocks * static_cast<std::uint64_t>(status.f_bsize), 1U << 20);
    std::ofstream(at / "file") << "kept";
    must_set_up("scratch");
    EXPECT_EQ(text_of(at / "file"), "kept");
}

TEST_F(VolumesTest, NamesTheFieldOfWhatIsNotSupported) {
    add_volume("claim").persistentVolumeClaim.emplace().claimName = "c";
    auto mounted = set_up();
    ASSERT_FALSE(mounted);
    EXPECT_EQ(mounted.error().code, Code::unsupported);
    EXPECT_EQ(mounted.error().reason, "FailedMount");
    EXPECT_NE(mounted.error().message.find("spec.volumes[0].persistentVolumeClaim"),
              std::string::npos);
    pod.spec.volumes[0] = kube::Volume();
    pod.spec.volumes[0].name = "claim";
    pod.spec.volumes[0].emptyDir.emplace().medium = "HugePages";
    mounted = set_up();
    ASSERT_FALSE(mounted);
    EXPECT_NE(mounted.error().message.find("spec.volumes[0].emptyDir.medium HugePages"),
              std::string::npos);
    pod.spec.containers[0].volumeMounts.clear();
    EXPECT_TRUE(set_up()) << "a volume that nobody mounts is nobody's problem";
}

TEST_F(VolumesTest, ChecksTheTypeOfAHostPath) {
    fs::path host = folder / "host";
    fs::create_directories(host / "dir");
    std::ofstream(host / "file") << "x";
    ASSERT_EQ(::mkfifo((host / "fifo").c_str(), 0600), 0);
    auto& source = add_volume("host").hostPath.emplace();
    struct Case {
        std::string path;
        std::string type;
        std::string problem;  // empty: fine
    };
    const Case cases[] = {
        {"dir", "", ""},
        {"dir", "Directory", ""},
        {"dir", "File", "is not a file"},
        {"file", "File", ""},
        {"file", "Directory", "is not a directory"},
        {"file", "DirectoryOrCreate", "is not a directory"},
        {"file", "Socket", "is not a socket file"},
        {"fifo", "File", "is not a file"},
        {"file", "CharDevice", "is not a character device"},
        {"file", "BlockDevice", "is not a block device"},
        {"absent", "Directory", "hostPath type check failed"},
        {"absent", "File", "is not a file"},
        {"dir", "Directoryy", "is an invalid volume type"},
        {"x/../y", "", "must not contain '..'"},
        {"made/deep", "DirectoryOrCreate", ""},
        {"made/file", "FileOrCreate", ""},
        {"made/untyped", "", ""},
    };
    for (const Case& c : cases) {
        source.path = (host / c.path).string();
        source.type = c.type;
        auto mounted = set_up();
        EXPECT_EQ(mounted.has_value(), c.problem.empty()) << c.path << " " << c.type;
        if (!mounted) {
            EXPECT_NE(mounted.error().message.find(c.problem), std::string::npos)
                << mounted.error().message;
        }
    }
    EXPECT_EQ(mode_of(host / "made/deep"), 0755U);
    EXPECT_EQ(mode_of(host / "made/file"), 0644U);
    source.path = (host / "dir").string();
    source.type = "Directory";
    auto mounted = set_up();
    ASSERT_TRUE(mounted);
    EXPECT_EQ(mounted->at("host").origin, pods::VolumeOrigin::foreign);
    ASSERT_TRUE(tear_down());
    EXPECT_TRUE(fs::exists(host / "file"));
}

TEST_F(VolumesTest, AHostPathThatCannotMapIdsDecidesForThePod) {
    fs::path host = folder / "host";
    fs::create_directories(host / "deep");
    add_volume("host").hostPath.emplace().path = host.string();
    add_volume("scratch").emptyDir.emplace();
    os::IdMapProbe probe = *os::IdMapProbe::create();
    auto with = [&](ForeignVolumes::MachineIds machine_ids) {
        async::run_to_end(reactor, volumes->stop());
        volumes = std::make_unique<PodVolumes>(reactor.executor(), paths, objects, pools, clock,
                                               ForeignVolumes{&probe, machine_ids});
        return set_up();
    };
    auto mounted = with(ForeignVolumes::MachineIds::forbidden);
    ASSERT_TRUE(mounted) << mounted.error().message;
    EXPECT_EQ(mounted->at("host").ids, pods::VolumeIds::of_pod);
    EXPECT_EQ(mounted->at("scratch").ids, pods::VolumeIds::of_pod);
    // Also when it only comes along below the folder.
    ASSERT_EQ(::mount("ramfs", (host / "deep").c_str(), "ramfs", 0, nullptr), 0);
    mounted = with(ForeignVolumes::MachineIds::allowed);
    ASSERT_TRUE(mounted) << mounted.error().message;
    EXPECT_EQ(mounted->at("host").ids, pods::VolumeIds::of_machine);
    EXPECT_EQ(mounted->at("scratch").ids, pods::VolumeIds::of_machine);
    mounted = with(ForeignVolumes::MachineIds::forbidden);
    ASSERT_FALSE(mounted);
    EXPECT_EQ(mounted.error().reason, "FailedMount");
    for (std::string part : {"volume \"host\"", "ramfs", "hostPathMachineIds"}) {
        EXPECT_NE(mounted.error().message.find(part), std::string::npos) << mounted.error().message;
    }
    EXPECT_NE(mounted.error().message.find((host / "deep").string()), std::string::npos);
    ASSERT_TRUE(os::unmount(host / "deep"));
}

TEST_F(VolumesTest, ARefreshedVolumeStaysWithTheRangeItWasGivenTo) {
    constexpr std::uint32_t kBase = 0x70000000;
    auto& source = add_volume("config").configMap.emplace();
    source.name = "settings";
    objects.config_maps["settings"].data = {{"key", "old"}};
    pod.spec.securityContext.emplace().fsGroup = 2000;
    fs::path volume = must_set_up("config");
    // As the runner does it.
    for (const char* name : {"..data/key", ""}) {
        ASSERT_EQ(::chown((volume / name).c_str(), kBase, kBase + 2000), 0);
    }
    auto before = stat_of(volume / "key").st_ino;
    must_set_up("config");
    EXPECT_EQ(stat_of(volume / "key").st_ino, before);
    objects.config_maps["settings"].data = {{"key", "new"}};
    must_set_up("config");
    EXPECT_EQ(text_of(volume / "key"), "new");
    EXPECT_EQ(stat_of(volume / "key").st_uid, kBase);
    EXPECT_EQ(stat_of(volume / "key").st_gid, kBase + 2000);
}

TEST_F(VolumesTest, WritesWhatAPodKnowsOfItself) {
    pod.metadata.labels = {{"app", "web"}, {"quoted", "a\"b\n"}};
    pod.spec.containers[0].resources.limits["cpu"] = *kube::Quantity::parse("1500m");
    facts.allocatable["memory"] = *kube::Quantity::parse("3Gi");
    auto& source = add_volume("self").downwardAPI.emplace();
    auto add_field = [&](const std::string& path, const std::string& field) {
        source.items.emplace_back().path = path;
        source.items.back().fieldRef.emplace().fieldPath = field;
    };
    auto add_resource = [&](const std::string& path, const std::string& resource,
                            const std::string& divisor) {
        source.items.emplace_back().path = path;
        auto& selector = source.items.back().resourceFieldRef.emplace();
        selector.containerName = "main";
        selector.resource = resource;
        selector.divisor = *kube::Quantity::parse(divisor);
    };
    add_field("labels", "metadata.labels");
    add_field("one", "metadata.labels['app']");
    add_field("name", "metadata.name");
    add_resource("cpu", "limits.cpu", "1");
    add_resource("milli", "limits.cpu", "1m");
    add_resource("memory", "limits.memory", "1Mi");
    fs::path at = must_set_up("self");
    EXPECT_EQ(text_of(at / "labels"), "app=\"web\"\nquoted=\"a\\\"b\\n\"");
    EXPECT_EQ(text_of(at / "one"), "web");
    EXPECT_EQ(text_of(at / "name"), "web");
    EXPECT_EQ(text_of(at / "cpu"), "2");
    EXPECT_EQ(text_of(at / "milli"), "1500");
    EXPECT_EQ(text_of(at / "memory"), "3072");
    pod.metadata.labels["app"] = "changed";
    must_set_up("self");
    EXPECT_EQ(text_of(at / "one"), "changed");
    add_field("bad", "spec.nodeName");
    EXPECT_EQ(set_up().error().code, Code::invalid);
}

TEST_F(VolumesTest, ProjectsTheServiceAccountAsTheApiServerAsks) {
    objects.config_maps["kube-root-ca.crt"].data = {{"ca.crt", "CA"}};
    auto& source = add_volume("kube-api-access").projected.emplace();
    source.sources.resize(3);
    auto& token = source.sources[0].serviceAccountToken.emplace();
    token.path = "token";
    token.expirationSeconds = 3607;
    auto& ca = source.sources[1].configMap.emplace();
    ca.name = "kube-root-ca.crt";
    ca.items = {{"ca.crt", "ca.crt", std::nullopt, std::nullopt}};
    auto& self = source.sources[2].downwardAPI.emplace();
    self.items.emplace_back().path = "namespace";
    self.items.back().fieldRef.emplace().fieldPath = "metadata.namespace";
    fs::path at = must_set_up("kube-api-access");
    EXPECT_TRUE(is_tmpfs(at));
    EXPECT_EQ(text_of(at / "token"), "token-" + pod.metadata.uid + "--3607");
    EXPECT_EQ(text_of(at / "ca.crt"), "CA");
    EXPECT_EQ(text_of(at / "namespace"), "default");
    EXPECT_EQ(mode_of(at / "token"), 0644U);

    pod.spec.securityContext.emplace().runAsUser = 1000;
    must_set_up("kube-api-access");
    EXPECT_EQ(mode_of(at / "token"), 0600U);
    EXPECT_EQ(stat_of(at / "token").st_uid, 1000U);
    pod.spec.securityContext->fsGroup = 2000;
    must_set_up("kube-api-access");
    EXPECT_EQ(mode_of(at / "token"), 0640U);
    EXPECT_EQ(stat_of(at / "token").st_gid, 2000U);

    source.sources.emplace_back().clusterTrustBundle.emplace();
    auto mounted = set_up();
    ASSERT_FALSE(mounted);
    EXPECT_NE(
        mounted.error().message.find("spec.volumes[0].projected.sources[3].clusterTrustBundle"),
        std::string::npos);
}

TEST_F(VolumesTest, MountsASubPathThatIsMadeOnDemand) {
    add_volume("scratch").emptyDir.emplace();
    fs::path at = must_set_up("scratch");
    auto sub = resolve(at, "logs/today");
    ASSERT_TRUE(sub) << sub.error().message;
    EXPECT_TRUE(*os::is_mount_point(*sub));
    EXPECT_EQ(mode_of(at / "logs/today"), 0777U);
    std::ofstream(*sub / "x") << "1";
    EXPECT_EQ(text_of(at / "logs/today/x"), "1");
    EXPECT_EQ(*resolve(at, "logs/today"), *sub);
    EXPECT_EQ(os::mounts_below(*sub)->size(), 1U);
    EXPECT_EQ(*resolve(at, ""), at);
    fs::rename(at / "logs", at / "old");
    ASSERT_TRUE(resolve(at, "logs/today"));
    EXPECT_FALSE(fs::exists(*sub / "x")) << "the folder of now, not the one of before";
}

TEST_F(VolumesTest, MountsOneFileOfAConfigMap) {
    objects.config_maps["cfg"].data = {{"a.conf", "one"}};
    add_volume("conf").configMap.emplace().name = "cfg";
    fs::path at = must_set_up("conf");
    auto sub = resolve(at, "a.conf");
    ASSERT_TRUE(sub) << sub.error().message;
    EXPECT_EQ(text_of(*sub), "one");
}

TEST_F(VolumesTest, NeverFollowsASubPathOutOfTheVolume) {
    add_volume("scratch").emptyDir.emplace();
    fs::path at = must_set_up("scratch");
    fs::create_directory(folder / "outside");
    fs::create_symlink(folder / "outside", at / "absolute");
    fs::create_symlink("../../../../../../outside", at / "relative");
    fs::create_directory(at / "inside");
    fs::create_symlink("inside", at / "fine");
    for (const char* path :
         {"absolute", "relative", "absolute/new", "../x", "/etc", "fine/../../x"}) {
        auto sub = resolve(at, path);
        ASSERT_FALSE(sub) << path;
        EXPECT_EQ(sub.error().reason, "CreateContainerConfigError");
    }
    EXPECT_TRUE(fs::is_empty(folder / "outside"));
    ASSERT_TRUE(resolve(at, "fine/new"));
    EXPECT_TRUE(fs::is_directory(at / "inside/new"));
}

TEST_F(VolumesTest, TearDownLeavesForeignFilesAlone) {
    add_volume("scratch").emptyDir.emplace();
    fs::path at = must_set_up("scratch");
    fs::create_directory(folder / "outside");
    std::ofstream(folder / "outside/precious") << "x";
    fs::create_symlink(folder / "outside", at / "link");
    ASSERT_TRUE(resolve(at, "logs"));
    ASSERT_TRUE(tear_down());
    ASSERT_TRUE(tear_down());
    EXPECT_TRUE(fs::exists(folder / "outside/precious"));
    EXPECT_FALSE(fs::exists(at));
    pod.metadata.uid = "../../evil";
    EXPECT_EQ(tear_down().error().code, Code::invalid);
    EXPECT_EQ(set_up().error().code, Code::invalid);
}

TEST_F(VolumesTest, NothingIsRemovedWhileSomebodyElseHasMountedThere) {
    objects.secrets["s"].data["password"] = {"hunter2"};
    add_volume("sec").secret.emplace().secretName = "s";
    add_volume("scratch").emptyDir.emplace();
    auto mounted = set_up();
    ASSERT_TRUE(mounted);
    fs::path secret = mounted->at("sec").path;
    fs::path scratch = mounted->at("scratch").path;
    fs::path inside = scratch / "foreign";
    fs::path beside = paths.pod_volume(PodUid(pod.metadata.uid), "example.com~driver", "data");
    std::ofstream(scratch / "kept") << "x";
    for (const fs::path& foreign : {inside, beside}) {
        fs::create_directories(foreign);
        ASSERT_TRUE(os::mount_tmpfs(foreign, os::TmpfsOptions{}));
        std::ofstream(foreign / "precious") << "x";
        auto refused = tear_down();
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().code, Code::conflict);
        EXPECT_NE(refused.error().message.find(foreign.string()), std::string::npos);
        EXPECT_TRUE(fs::exists(foreign / "precious"));
        EXPECT_TRUE(fs::exists(scratch / "kept"));
        EXPECT_TRUE(is_tmpfs(secret));
        ASSERT_TRUE(os::unmount(foreign));
    }
    ASSERT_TRUE(tear_down());
    EXPECT_FALSE(fs::exists(paths.pod_volumes(PodUid(pod.metadata.uid))));
}

TEST_F(VolumesTest, TearDownWaitsForWorkThatWasCancelled) {
    objects.secrets["s"].data["k"] = kube::Base64{"v"};
    add_volume("sec").secret.emplace().secretName = "s";
    auto begin = [](PodVolumes& v, const kube::Pod& p, const pods::PodFacts& f) -> Task<void> {
        auto mounted = co_await v.set_up(p, f);
    };
    auto body = [&]() -> Task<void> {
        async::Scope scope(reactor.executor());
        scope.spawn("set up", begin(*volumes, pod, facts));
        for (int i = 0; i < 4; ++i) {
            co_await async::yield_now();
        }
        co_await scope.stop();
        PodUid uid(pod.metadata.uid);
        auto gone = co_await volumes->tear_down(uid);
        EXPECT_TRUE(gone);
    };
    async::run_to_end(reactor, body());
    EXPECT_FALSE(fs::exists(paths.pod(PodUid(pod.metadata.uid))));
}

TEST_F(VolumesTest, AHostPathThatHangsFailsOnlyThePodsThatMountIt) {
    // As on a mount whose server is gone: the only thread for foreign paths does not come back.
    std::promise<void> server;
    std::atomic<bool> hangs = false;
    std::function<Result<int>()> hang = [&, back = server.get_future().share()]() -> Result<int> {
        hangs = true;
        back.wait();
        return 1;
    };
    auto touch = [](async::BlockingPool& its, std::function<Result<int>()> work) -> Task<void> {
        (void)co_await its.run(std::move(work));
    };
    auto body = [&]() -> Task<void> {
        async::Scope scope(reactor.executor());
        scope.spawn("hang", touch(foreign_pool, hang));
        while (!hangs) {
            (void)co_await async::sleep_for(std::chrono::milliseconds(1));
        }
        add_volume("scratch").emptyDir = kube::EmptyDirVolumeSource();
        EXPECT_TRUE(co_await volumes->set_up(pod, facts));
        kube::Pod other = pod;
        add_volume("nfs").hostPath = kube::HostPathVolumeSource{folder.string(), {}};
        Pools hasty{pool, foreign_pool, std::chrono::milliseconds(20)};
        PodVolumes impatient(reactor.executor(), paths, objects, hasty, clock);
        // The second try joins the call that the first one made.
        for (int i = 0; i < 2; ++i) {
            auto failed = co_await impatient.set_up(pod, facts);
            EXPECT_EQ(failed.error().code, Code::timeout) << failed.error().message;
            EXPECT_EQ(failed.error().reason, "FailedMount");
            EXPECT_NE(failed.error().message.find("does not answer within 20ms"),
                      std::string::npos);
        }
        pods::MountedVolume foreign;
        foreign.path = folder;
        foreign.origin = pods::VolumeOrigin::foreign;
        auto below = co_await impatient.resolve_mount(pod, foreign, "below");
        EXPECT_EQ(below.error().code, Code::timeout);
        EXPECT_TRUE(co_await volumes->set_up(other, facts));
        EXPECT_TRUE(co_await impatient.tear_down(PodUid(pod.metadata.uid)));
        server.set_value();
        EXPECT_TRUE(co_await scope.join());
        co_await impatient.stop();
        while (foreign_pool.longest_wait() > Duration::zero()) {
            (void)co_await async::sleep_for(std::chrono::milliseconds(1));
        }
        EXPECT_TRUE(co_await volumes->set_up(pod, facts));
    };
    async::run_to_end(reactor, body());
}

}  // namespace
}  // namespace skiff::volumes
