#include "volumes/volumes_fixture.h"

namespace skiff::volumes {
namespace {

class VolumeUsageTest : public VolumesTest {
protected:
    std::vector<pods::VolumeUsage> usage() {
        auto found = async::run_to_end(reactor, volumes->usage(pod));
        EXPECT_TRUE(found) << (found ? "" : found.error().message);
        return found.value_or(std::vector<pods::VolumeUsage>{});
    }
};

TEST_F(VolumeUsageTest, TellsWhatEachOwnVolumeHoldsWithMediumAndLimit) {
    objects.config_maps["cfg"].data = {{"k", std::string(50'000, 'x')}};
    add_volume("conf").configMap.emplace().name = "cfg";
    auto& disk = add_volume("disk").emptyDir.emplace();
    disk.sizeLimit = kube::Quantity::of_bytes(1 << 20);
    add_volume("memory").emptyDir.emplace().medium = "Memory";
    auto& host = add_volume("host").hostPath.emplace();
    host.path = (folder / "host").string();
    auto mounted = set_up();
    ASSERT_TRUE(mounted);
    std::ofstream(mounted->at("disk").path / "x") << std::string(200'000, 'x');
    std::ofstream(mounted->at("memory").path / "x") << std::string(300'000, 'x');
    std::ofstream(mounted->at("host").path / "x") << std::string(400'000, 'x');
    auto told = usage();
    ASSERT_EQ(told.size(), 3U);
    EXPECT_EQ(told[0].name, "conf");
    EXPECT_EQ(told[0].medium, Medium::disk);
    EXPECT_GE(told[0].use.bytes.value, 50'000U);
    EXPECT_EQ(told[1].name, "disk");
    EXPECT_EQ(told[1].limit, Bytes{1 << 20});
    EXPECT_GE(told[1].use.bytes.value, 200'000U);
    EXPECT_EQ(told[1].use.inodes, 2U);
    EXPECT_EQ(told[2].medium, Medium::memory);
    EXPECT_GE(told[2].use.bytes.value, 300'000U);
    EXPECT_FALSE(told[2].limit);
}

TEST_F(VolumeUsageTest, APodThatIsNotSetUpHoldsNothing) {
    add_volume("disk").emptyDir.emplace();
    EXPECT_TRUE(usage().empty());
    must_set_up("disk");
    ASSERT_TRUE(tear_down());
    EXPECT_TRUE(usage().empty());
}

}  // namespace
}  // namespace skiff::volumes
