// Contract row 67: volumes of images and artifacts.
#include "volumes/volumes_fixture.h"

namespace skiff::volumes {
namespace {

class ImageVolumeTest : public VolumesTest {
protected:
    fs::path layer(const std::string& name, const std::map<std::string, std::string>& files) {
        fs::path at = folder / name;
        fs::create_directory(at);
        for (const auto& [path, text] : files) {
            fs::create_directories((at / path).parent_path());
            std::ofstream(at / path) << text;
        }
        return at;
    }
    Result<pods::MountedVolume> mount(const pods::Image& image) {
        return async::run_to_end(reactor, volumes->mount_image(pod, "assets", image));
    }
    Result<fs::path> sub_path(const pods::MountedVolume& volume, const std::string& path) {
        return async::run_to_end(reactor, volumes->resolve_mount(pod, volume, path));
    }
};

TEST_F(ImageVolumeTest, ShowsTheLayersOverEachOtherAndReadOnly) {
    pods::Image image;
    image.kind = pods::ImageKind::layered;
    image.layers = {layer("low", {{"data.json", "old"}, {"etc/os-release", "kitten"}}),
                    layer("high", {{"data.json", "new"}})};
    auto shown = mount(image);
    ASSERT_TRUE(shown) << shown.error().message;
    EXPECT_EQ(shown->origin, pods::VolumeOrigin::image);
    EXPECT_EQ(shown->access, pods::MountedVolume::Access::read_only);
    EXPECT_EQ(text_of(shown->path / "data.json"), "new");
    EXPECT_EQ(text_of(shown->path / "etc/os-release"), "kitten");
    EXPECT_NE(::mkdir((shown->path / "x").c_str(), 0755), 0);
    EXPECT_EQ(errno, EROFS);
    auto etc = sub_path(*shown, "etc");
    ASSERT_TRUE(etc) << etc.error().message;
    EXPECT_EQ(text_of(*etc / "os-release"), "kitten");
}

TEST_F(ImageVolumeTest, OneLayerIsShownAsItIs) {
    pods::Image image;
    image.kind = pods::ImageKind::layered;
    image.layers = {layer("only", {{"data.json", "1"}})};
    auto shown = mount(image);
    ASSERT_TRUE(shown) << shown.error().message;
    EXPECT_EQ(text_of(shown->path / "data.json"), "1");
    EXPECT_NE(::mkdir((shown->path / "x").c_str(), 0755), 0);
    auto missing = sub_path(*shown, "none");
    ASSERT_FALSE(missing);
    EXPECT_NE(missing.error().message.find("none does not exist"), std::string::npos);
    EXPECT_FALSE(fs::exists(folder / "only/none")) << "the store is left alone";
}

TEST_F(ImageVolumeTest, ShowsTheFilesOfAnArtifact) {
    fs::path blobs = layer("blobs", {{"aa", "weights"}, {"bb", "words"}});
    pods::Image image;
    image.kind = pods::ImageKind::files;
    image.files = {{"model/weights.bin", blobs / "aa"}, {"vocabulary", blobs / "bb"}};
    auto shown = mount(image);
    ASSERT_TRUE(shown) << shown.error().message;
    EXPECT_EQ(text_of(shown->path / "model/weights.bin"), "weights");
    EXPECT_EQ(text_of(shown->path / "vocabulary"), "words");
    EXPECT_TRUE(mount(image)) << "another container of the pod";
    auto one = sub_path(*shown, "vocabulary");
    ASSERT_TRUE(one) << one.error().message;
    EXPECT_EQ(text_of(*one), "words");
    ASSERT_TRUE(tear_down());
    EXPECT_EQ(text_of(blobs / "aa"), "weights");
}

TEST_F(ImageVolumeTest, WhatIsShownStaysUntilThePodEnds) {
    pods::Image image;
    image.layers = {layer("first", {{"version", "1"}})};
    ASSERT_TRUE(mount(image));
    image.layers = {layer("second", {{"version", "2"}})};
    EXPECT_EQ(text_of(mount(image)->path / "version"), "1");
    ASSERT_TRUE(tear_down());
    EXPECT_EQ(text_of(mount(image)->path / "version"), "2");
}

TEST_F(ImageVolumeTest, ANameThatLeadsOutIsRefused) {
    fs::path blobs = layer("blobs", {{"aa", "x"}});
    pods::Image image;
    image.kind = pods::ImageKind::files;
    for (const char* name : {"../../x", "/etc/x", ".."}) {
        image.files = {{name, blobs / "aa"}};
        auto shown = mount(image);
        ASSERT_FALSE(shown) << name;
        EXPECT_EQ(shown.error().code, Code::invalid);
        EXPECT_EQ(shown.error().reason, "CreateContainerError");
    }
}

TEST_F(ImageVolumeTest, SetUpLeavesImagesToTheContainers) {
    add_volume("assets").image.emplace().reference = "registry.test/assets:1";
    add_volume("scratch").emptyDir.emplace();
    auto mounted = set_up();
    ASSERT_TRUE(mounted) << mounted.error().message;
    EXPECT_FALSE(mounted->contains("assets"));
}

// Contract row 68.
TEST_F(VolumesTest, ReadsAFileThatAGuestLeftButNothingOutside) {
    add_volume("made").emptyDir.emplace();
    pods::MountedVolume volume;
    volume.path = must_set_up("made");
    fs::create_directories(volume.path / "dir");
    std::ofstream(volume.path / "dir/vars") << "A='1'";
    fs::create_symlink("dir/vars", volume.path / "link");
    fs::create_symlink("/etc/hostname", volume.path / "outside");
    ASSERT_EQ(::mkfifo((volume.path / "fifo").c_str(), 0666), 0);
    std::ofstream(volume.path / "large") << std::string(pods::kGuestFileBytesMax.value + 1, 'x');
    auto read = [&](const std::string& path) {
        return async::run_to_end(reactor, volumes->read_file(volume, path));
    };
    EXPECT_EQ(read("dir/vars").value_or("?"), "A='1'");
    EXPECT_EQ(read("link").value_or("?"), "A='1'");
    EXPECT_EQ(read("../../dir/vars").value_or("?"), "A='1'") << "the volume is the root";
    EXPECT_EQ(read("outside").error().code, Code::not_found);
    EXPECT_EQ(read("none").error().code, Code::not_found);
    EXPECT_EQ(read("dir").error().code, Code::invalid);
    EXPECT_EQ(read("fifo").error().code, Code::invalid);
    EXPECT_EQ(read("large").error().code, Code::exhausted);
}

}  // namespace
}  // namespace skiff::volumes
