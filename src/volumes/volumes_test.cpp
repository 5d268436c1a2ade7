#include "volumes/volumes_fixture.h"

namespace skiff::volumes {
namespace {

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

TEST_F(VolumesTest, KeepsWhatOtherVolumesAreMountedOnInAConfigMap) {
    objects.config_maps["cfg"].data = {{"k", "one"}};
    add_volume("conf").configMap.emplace().name = "cfg";
    add_volume("disk").emptyDir.emplace();
    pod.spec.containers[0].volumeMounts[1].mountPath = "/conf/sub/deep/";
    fs::path at = must_set_up("conf");
    // As the runner makes it when it mounts the one in the other.
    fs::create_directories(at / "sub/deep");
    objects.config_maps["cfg"].data = {{"k", "two"}};
    must_set_up("conf");
    EXPECT_EQ(text_of(at / "k"), "two");
    EXPECT_TRUE(fs::exists(at / "sub/deep"));
    EXPECT_EQ(os::list_folder(at)->size(), 4U);
}

TEST_F(VolumesTest, FindsThePlacesOfOtherMountsInAVolume) {
    add_volume("etc");
    pod.spec.containers[0].volumeMounts[0].mountPath = "/etc";
    add_volume("a");
    pod.spec.containers[0].volumeMounts[1].mountPath = "/etc/app/a";
    add_volume("beside");
    pod.spec.containers[0].volumeMounts[2].mountPath = "/etcetera";
    EXPECT_EQ(nested_mount_points(pod, "etc"),
              (std::set<std::string>{"app", "hosts", "nsswitch.conf", "resolv.conf"}));
    EXPECT_TRUE(nested_mount_points(pod, "a").empty());
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
    add_volume("claim").csi.emplace().driver = "d";
    auto mounted = set_up();
    ASSERT_FALSE(mounted);
    EXPECT_EQ(mounted.error().code, Code::unsupported);
    EXPECT_EQ(mounted.error().reason, "FailedMount");
    EXPECT_NE(mounted.error().message.find("spec.volumes[0].csi"), std::string::npos);
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
    pod.spec.containers[0].resources.limits["memory"] = kube::Quantity();
    must_set_up("self");
    EXPECT_EQ(text_of(at / "memory"), "3072") << "zero is no limit";
    add_resource("gpu", "limits.gpu", "1");
    EXPECT_EQ(set_up().error().code, Code::invalid);
    source.items.pop_back();
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

    source.sources.emplace_back();
    auto mounted = set_up();
    ASSERT_FALSE(mounted);
    EXPECT_NE(mounted.error().message.find("spec.volumes[0].projected.sources[3]"),
              std::string::npos);
}

// Contract row 69.
TEST_F(VolumesTest, ProjectsTrustBundlesAndCertificates) {
    objects.trust_bundles["roots"] = "anchors\n";
    auto& source = add_volume("id").projected.emplace();
    source.sources.resize(3);
    source.sources[0].clusterTrustBundle.emplace().name = "roots";
    source.sources[0].clusterTrustBundle->path = "ca/roots.pem";
    source.sources[1].clusterTrustBundle.emplace().name = "none";
    source.sources[1].clusterTrustBundle->path = "none.pem";
    source.sources[1].clusterTrustBundle->optional = true;
    auto& certificate = source.sources[2].podCertificate.emplace();
    certificate.credentialBundlePath = "bundle.pem";
    certificate.keyPath = "key.pem";
    certificate.certificateChainPath = "chain.pem";
    fs::path at = must_set_up("id");
    EXPECT_EQ(text_of(at / "ca/roots.pem"), "anchors\n");
    EXPECT_EQ(text_of(at / "none.pem"), "");
    EXPECT_EQ(text_of(at / "bundle.pem"), "key of id[2]\nchain\n");
    EXPECT_EQ(text_of(at / "key.pem"), "key of id[2]\n");
    EXPECT_EQ(text_of(at / "chain.pem"), "chain\n");
    EXPECT_EQ(mode_of(at / "key.pem"), 0644U);
    pod.spec.securityContext.emplace().runAsUser = 1000;
    must_set_up("id");
    EXPECT_EQ(mode_of(at / "key.pem"), 0600U);
    EXPECT_EQ(stat_of(at / "ca/roots.pem").st_uid, 1000U);

    source.sources[1].clusterTrustBundle->optional = false;
    EXPECT_EQ(set_up().error().code, Code::not_found);
    source.sources[1].clusterTrustBundle->name.reset();
    EXPECT_EQ(set_up().error().code, Code::invalid);
    source.sources.erase(source.sources.begin() + 1);
    source.sources[1].podCertificate->keyPath = "../key.pem";
    EXPECT_EQ(set_up().error().code, Code::invalid);
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

}  // namespace
}  // namespace skiff::volumes
