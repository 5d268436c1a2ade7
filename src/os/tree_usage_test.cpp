#include "os/tree_usage.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/random.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/mount.h"

namespace skiff::os {
namespace {

namespace fs = std::filesystem;

class TreeUsageTest : public testing::Test {
protected:
    TreeUsageTest() {
        SystemRandom random;
        folder = fs::temp_directory_path() / ("skiff-usage-" + random.hex(6));
        fs::create_directory(folder);
    }
    ~TreeUsageTest() override {
        (void)unmount_below(folder);
        (void)remove_tree(folder);
    }
    void write(const fs::path& path, std::size_t bytes) {
        auto fd = open(path, O_WRONLY | O_CREAT, 0600);
        ASSERT_TRUE(fd);
        ASSERT_TRUE(write_all(fd->get(), std::string(bytes, 'x')));
    }
    TreeUsage usage(std::uint64_t names_max = kTreeNamesMax) {
        auto found = tree_usage(folder, names_max);
        EXPECT_TRUE(found) << (found ? "" : found.error().message);
        return found.value_or(TreeUsage{});
    }
    fs::path folder;
};

TEST_F(TreeUsageTest, CountsBlocksAndInodesOfWhatIsBelow) {
    auto before = usage();
    EXPECT_EQ(before.inodes, 1U);
    fs::create_directories(folder / "a/b");
    write(folder / "a/b/x", 100'000);
    auto after = usage();
    EXPECT_EQ(after.inodes, 4U);
    EXPECT_GE(after.bytes.value - before.bytes.value, 100'000U);
    EXPECT_LT(after.bytes.value - before.bytes.value, 200'000U);
    EXPECT_EQ(after.counted, TreeUsage::Counted::all);
}

TEST_F(TreeUsageTest, AHoleInAFileTakesNothingAndAHardLinkNothingMore) {
    write(folder / "sparse", 1);
    ASSERT_EQ(::truncate((folder / "sparse").c_str(), 1 << 30), 0);
    write(folder / "x", 100'000);
    auto before = usage();
    EXPECT_LT(before.bytes.value, 1U << 20);
    fs::create_hard_link(folder / "x", folder / "y");
    EXPECT_EQ(usage().bytes, before.bytes);
    EXPECT_EQ(usage().inodes, before.inodes);
}

TEST_F(TreeUsageTest, NeitherFollowsLinksNorEntersMounts) {
    fs::create_directories(folder / "in/mount");
    fs::create_directories(folder / "out");
    write(folder / "out/x", 1'000'000);
    fs::create_symlink(folder / "out", folder / "in/link");
    auto found = tree_usage(folder / "in");
    ASSERT_TRUE(found);
    EXPECT_EQ(found->inodes, 3U);
    if (::geteuid() != 0) {
        GTEST_SKIP() << "mounts need root";
    }
    ASSERT_TRUE(mount_bind(folder / "out", folder / "in/mount", BindAccess::read_write));
    found = tree_usage(folder / "in");
    ASSERT_TRUE(found);
    EXPECT_LT(found->bytes.value, 100'000U);
}

TEST_F(TreeUsageTest, AMissingFolderHoldsNothing) {
    auto found = tree_usage(folder / "none");
    ASSERT_TRUE(found);
    EXPECT_EQ(found->inodes, 0U);
}

TEST_F(TreeUsageTest, SaysWhenThereIsMoreThanItLooksAt) {
    for (int i = 0; i < 20; ++i) {
        write(folder / std::to_string(i), 1);
    }
    EXPECT_EQ(usage(10).counted, TreeUsage::Counted::part);
    // Names, not inodes: a file may have millions.
    for (int i = 1; i < 20; ++i) {
        fs::remove(folder / std::to_string(i));
        fs::create_hard_link(folder / "0", folder / std::to_string(i));
    }
    EXPECT_EQ(usage(10).counted, TreeUsage::Counted::part);
    EXPECT_EQ(usage().inodes, 2U);
}

TEST_F(TreeUsageTest, FindsWhatLiesDeeperThanAPathMayBeLong) {
    auto at = open(folder, O_RDONLY | O_DIRECTORY);
    ASSERT_TRUE(at);
    const std::string name(250, 'd');
    constexpr int kDepth = 40;  // 10,000 bytes of path
    for (int i = 0; i < kDepth; ++i) {
        ASSERT_EQ(::mkdirat(at->get(), name.c_str(), 0700), 0);
        at = open_at(at->get(), name, O_RDONLY | O_DIRECTORY);
        ASSERT_TRUE(at);
    }
    auto file = open_at(at->get(), "x", O_WRONLY | O_CREAT, 0600);
    ASSERT_TRUE(file && write_all(file->get(), std::string(1'000'000, 'x')));
    auto found = usage();
    EXPECT_EQ(found.counted, TreeUsage::Counted::all);
    EXPECT_GE(found.bytes.value, 1'000'000U);
    EXPECT_EQ(found.inodes, kDepth + 2U);
}

}  // namespace
}  // namespace skiff::os
