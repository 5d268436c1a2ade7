#include "images/gc.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace skiff::images {
namespace {

using std::chrono::minutes;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ImageGc : public ::testing::Test {
protected:
    GcImage& add(const std::string& reference, std::uint64_t mebibytes) {
        GcImage image;
        image.reference = reference;
        image.size = Bytes{mebibytes << 20};
        images.push_back(image);
        return images.back();
    }
    void see(int minute) { memory.see(images, at(minute)); }
    GcMemory::Choice choose(int minute) {
        return memory.choose(images, settings, disk, at(minute));
    }
    static SteadyTime at(int minute) { return SteadyTime(minutes(1000 + minute)); }

    std::vector<GcImage> images;
    GcMemory memory;
    GcSettings settings;
    DiskFill disk{1000_MiB, 500_MiB};
};

TEST_F(ImageGc, KeepsAllWhileThereIsRoom) {
    add("a", 10);
    see(0);
    EXPECT_THAT(choose(60).references, IsEmpty());
}

TEST_F(ImageGc, FreesUntilTheLowMarkTheLongestUnusedFirst) {
    add("old", 40);
    add("used", 40).use = GcImage::Use::needed;
    add("idle", 40);
    see(0);
    images[2].use = GcImage::Use::needed;
    see(5);
    images[2].use = GcImage::Use::free;
    disk.available = 150_MiB;  // 85 % are in use, 50 MiB too much
    auto choice = choose(10);
    EXPECT_THAT(choice.references, ElementsAre("old", "idle"));
    EXPECT_EQ(choice.wanted, 50_MiB);
    EXPECT_EQ(choice.found, 80_MiB);
    disk.available = 151_MiB;
    EXPECT_THAT(choose(10).references, IsEmpty());
}

TEST_F(ImageGc, LeavesYoungImagesAndSaysWhenTheyWereNotEnough) {
    add("young", 40);
    see(0);
    disk.available = 10_MiB;
    auto choice = choose(1);
    EXPECT_THAT(choice.references, IsEmpty());
    EXPECT_GT(choice.wanted, choice.found);
    EXPECT_THAT(choose(2).references, ElementsAre("young"));
}

TEST_F(ImageGc, DropsWhatNobodyUsedForTooLong) {
    settings.age_max = minutes(30);
    add("a", 10);
    see(0);
    EXPECT_THAT(choose(30).references, IsEmpty());
    EXPECT_THAT(choose(31).references, ElementsAre("a"));
    settings.high = 100;
    disk.available = Bytes{};
    EXPECT_EQ(choose(31).wanted, Bytes{});
}

}  // namespace
}  // namespace skiff::images
