// Contract row 61: volumes behind claims.
#include "volumes/volumes_fixture.h"

namespace skiff::volumes {
namespace {

class ClaimTest : public VolumesTest {
protected:
    kube::PersistentVolumeClaimVolumeSource& add_claim(const std::string& name) {
        auto& source = add_volume(name).persistentVolumeClaim.emplace();
        source.claimName = name;
        return source;
    }
    fs::path local(const std::string& claim) {
        fs::path at = folder / claim;
        fs::create_directory(at);
        objects.claims[claim].metadata.name = "pv-" + claim;
        objects.claims[claim].spec.local.emplace().path = at.string();
        return at;
    }
};

TEST_F(ClaimTest, ShowsTheFolderOfAHostPathOrLocalVolume) {
    add_claim("data");
    fs::path at = local("data");
    EXPECT_EQ(must_set_up("data"), at);
    objects.claims["host"].spec.hostPath.emplace().path = (folder / "new").string();
    objects.claims["host"].spec.hostPath->type = "DirectoryOrCreate";
    add_claim("host").readOnly = true;
    auto mounted = set_up();
    ASSERT_TRUE(mounted) << mounted.error().message;
    EXPECT_TRUE(fs::is_directory(folder / "new"));
    EXPECT_EQ(mounted->at("host").access, pods::MountedVolume::Access::read_only);
    EXPECT_EQ(mounted->at("data").access, pods::MountedVolume::Access::read_write);
    EXPECT_EQ(mounted->at("data").origin, pods::VolumeOrigin::foreign);
    ASSERT_TRUE(tear_down());
    EXPECT_TRUE(fs::exists(at)) << "the volume outlives the pod";
}

TEST_F(ClaimTest, WaitsForTheClaimAndNamesTheVolume) {
    add_claim("data");
    auto mounted = set_up();
    ASSERT_FALSE(mounted);
    EXPECT_EQ(mounted.error().code, Code::unavailable);
    EXPECT_EQ(mounted.error().reason, "FailedMount");
    EXPECT_NE(mounted.error().message.find("\"data\""), std::string::npos);
}

TEST_F(ClaimTest, ALocalVolumeMustBeAFolder) {
    add_claim("data");
    fs::path at = local("data");
    fs::remove(at);
    EXPECT_FALSE(set_up());
    EXPECT_FALSE(fs::exists(at)) << "nobody makes it";
    std::ofstream(at) << "a file";
    EXPECT_EQ(set_up().error().code, Code::invalid);
}

TEST_F(ClaimTest, AnotherKindIsNamed) {
    add_claim("data");
    objects.claims["data"].metadata.name = "pv-7";
    objects.claims["data"].spec.csi.emplace();
    auto mounted = set_up();
    ASSERT_FALSE(mounted);
    EXPECT_EQ(mounted.error().code, Code::unsupported);
    EXPECT_NE(mounted.error().message.find("pv-7 is of csi kind"), std::string::npos);
}

TEST_F(ClaimTest, GivesALocalVolumeToFsGroupOnceForEachPod) {
    add_claim("data");
    fs::path at = local("data");
    std::ofstream(at / "x") << "1";
    ::chmod((at / "x").c_str(), 0600);
    fs::create_symlink("/etc/hostname", at / "link");
    pod.spec.securityContext.emplace().fsGroup = 2000;
    must_set_up("data");
    EXPECT_EQ(stat_of(at).st_gid, 2000U);
    EXPECT_EQ(mode_of(at) & 02770U, 02770U);
    EXPECT_EQ(stat_of(at / "x").st_gid, 2000U);
    EXPECT_EQ(mode_of(at / "x"), 0660U);
    EXPECT_EQ(stat_of("/etc/hostname").st_gid, 0U);
    ::chmod((at / "x").c_str(), 0600);
    must_set_up("data");
    EXPECT_EQ(mode_of(at / "x"), 0600U) << "afterwards it is the pod's business";
    ASSERT_TRUE(tear_down());
    must_set_up("data");
    EXPECT_EQ(mode_of(at / "x"), 0660U);
}

TEST_F(ClaimTest, FsGroupChangePolicyOnRootMismatchLooksAtTheRootOnly) {
    add_claim("data");
    fs::path at = local("data");
    std::ofstream(at / "x") << "1";
    ASSERT_EQ(::chown(at.c_str(), 0, 2000), 0);
    ::chmod(at.c_str(), 02770);
    pod.spec.securityContext.emplace().fsGroup = 2000;
    pod.spec.securityContext->fsGroupChangePolicy = "OnRootMismatch";
    must_set_up("data");
    EXPECT_EQ(stat_of(at / "x").st_gid, 0U);
}

TEST_F(ClaimTest, AReadOnlyClaimKeepsItsOwners) {
    add_claim("data").readOnly = true;
    fs::path at = local("data");
    pod.spec.securityContext.emplace().fsGroup = 2000;
    must_set_up("data");
    EXPECT_EQ(stat_of(at).st_gid, 0U);
}

TEST_F(ClaimTest, TheGroupOfAVolumesAnnotationIsTold) {
    add_claim("data");
    local("data");
    objects.claims["data"].metadata.annotations["pv.beta.kubernetes.io/gid"] = "3000";
    EXPECT_EQ(set_up()->at("data").group, 3000U);
    objects.claims["data"].metadata.annotations["pv.beta.kubernetes.io/gid"] = "x";
    EXPECT_FALSE(set_up()->at("data").group);
}

TEST_F(ClaimTest, AnEphemeralVolumeIsTheClaimOfItsName) {
    add_volume("scratch").ephemeral.emplace();
    fs::path at = local("web-scratch");
    EXPECT_EQ(must_set_up("scratch"), at);
}

}  // namespace
}  // namespace skiff::volumes
