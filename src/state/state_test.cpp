#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "base/random.h"
#include "base/text.h"
#include "os/file.h"
#include "os/machine.h"
#include "state/checkpoint.h"
#include "state/digest.h"
#include "state/id_ranges.h"
#include "state/instance.h"
#include "state/pod_mark.h"

namespace skiff::state {
namespace {

class State : public testing::Test {
protected:
    State() {
        SystemRandom random;
        folder_ = fs::temp_directory_path() / ("skiff-state-" + random.hex(6));
        fs::create_directory(folder_);
        paths_.root_dir = folder_ / "root";
        paths_.run_dir = folder_ / "run";
        paths_.pod_log_dir = folder_ / "log/pods";
        paths_.container_log_dir = folder_ / "log/containers";
        ranges_.registry = folder_ / "ids";
        ranges_.blocks = 8;
        ranges_.blocks_per_slot = 2;
    }
    ~State() override { (void)os::remove_tree(folder_); }

    fs::path folder_;
    Paths paths_;
    IdRangeSettings ranges_;
    SystemRandom random_;
};

TEST_F(State, APodIsMarkedUntilTheLastOfItIsGone) {
    PodUid uid("uid-1");
    EXPECT_THAT(marked_pods(paths_), testing::IsEmpty());
    ASSERT_TRUE(mark_pod(paths_, uid));
    ASSERT_TRUE(mark_pod(paths_, uid));
    // A kubelet's pod in the same folder, and what is no uid at all.
    fs::create_directories(paths_.pod_volumes(PodUid("of-a-kubelet")));
    fs::create_directories(paths_.pods() / ".hidden/skiff");
    EXPECT_THAT(marked_pods(paths_), testing::ElementsAre(uid));
    fs::create_directories(paths_.pod_volumes(uid));
    ASSERT_TRUE(unmark_pod(paths_, uid));
    EXPECT_THAT(marked_pods(paths_), testing::IsEmpty());
    EXPECT_TRUE(fs::exists(paths_.pod_volumes(uid))) << "not ours to remove";
    fs::remove(paths_.pod_volumes(uid));
    ASSERT_TRUE(unmark_pod(paths_, uid));
    EXPECT_FALSE(fs::exists(paths_.pod(uid)));
}

TEST_F(State, CheckpointComesBackAsItWas) {
    auto path = folder_ / "x";
    std::string bytes("a\0b\n", 4);
    ASSERT_TRUE(store_checkpoint(path, "test", bytes, os::Durability::power));
    EXPECT_EQ(*load_checkpoint(path, "test"), bytes);
    EXPECT_EQ(load_checkpoint(path, "other").error().code, Code::corrupt);
    EXPECT_EQ(load_checkpoint(folder_ / "y", "test").error().code, Code::not_found);
}

TEST_F(State, EveryFlippedOrMissingByteOfACheckpointIsSeen) {
    auto path = folder_ / "x";
    ASSERT_TRUE(store_checkpoint(path, "test", "some bytes", os::Durability::process));
    std::string whole = *os::read_file(path, 4_KiB);
    for (std::size_t i = 0; i < whole.size(); ++i) {
        std::string flipped = whole;
        flipped[i] = static_cast<char>(flipped[i] ^ 0x10);
        std::ofstream(path, std::ios::trunc) << flipped;
        EXPECT_EQ(load_checkpoint(path, "test").error().code, Code::corrupt) << i;
        std::ofstream(path, std::ios::trunc) << whole.substr(0, i);
        EXPECT_EQ(load_checkpoint(path, "test").error().code, Code::corrupt) << i;
    }
}

TEST_F(State, QuarantineMovesTheFileAway) {
    std::ofstream(folder_ / "bad") << "rotten";
    quarantine(folder_ / "bad", folder_ / "q", "test");
    EXPECT_FALSE(fs::exists(folder_ / "bad"));
    auto names = os::list_folder(folder_ / "q");
    ASSERT_EQ(names->size(), 1U);
    EXPECT_EQ(*os::read_file(folder_ / "q" / names->front(), 4_KiB), "rotten");
}

TEST_F(State, SecondAgentOnTheSameFoldersIsRefusedAndToldWhy) {
    auto first = Instance::open(paths_, random_);
    ASSERT_TRUE(first) << format_as(first.error());
    auto second = Instance::open(paths_, random_);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, Code::conflict);
    EXPECT_THAT(second.error().message, testing::HasSubstr(std::to_string(::getpid())));
    Paths other_root = paths_;
    other_root.root_dir = folder_ / "other";
    EXPECT_FALSE(Instance::open(other_root, random_));
}

TEST_F(State, InstanceKeepsItsIdAndReplacesACorruptOne) {
    std::string id = (*Instance::open(paths_, random_))->id();
    EXPECT_EQ(id.size(), 8U);
    EXPECT_EQ((*Instance::open(paths_, random_))->id(), id);
    std::ofstream(paths_.instance(), std::ios::trunc) << "garbage";
    auto again = Instance::open(paths_, random_);
    ASSERT_TRUE(again);
    EXPECT_EQ((*again)->id().size(), 8U);
    EXPECT_EQ(os::list_folder(paths_.quarantine())->size(), 1U);
}

TEST_F(State, AStartRemovesTheFoldersOfPodsThatHoldNothing) {
    const PodUid uid("marked");
    ASSERT_TRUE(mark_pod(paths_, uid));
    fs::create_directories(paths_.pod_volumes(PodUid("of-a-kubelet")));
    fs::create_directories(paths_.pod(PodUid("empty")));
    ASSERT_TRUE(Instance::open(paths_, random_));
    EXPECT_TRUE(fs::exists(paths_.pod_mark(uid)));
    EXPECT_TRUE(fs::exists(paths_.pod_volumes(PodUid("of-a-kubelet"))));
    EXPECT_FALSE(fs::exists(paths_.pod(PodUid("empty"))));
}

TEST_F(State, LinksOnTheWayToFoldersAreFollowed) {
    const Paths real = (*Instance::open(paths_, random_))->paths();
    const fs::path link = folder_ / "link";
    fs::create_directory_symlink(folder_, link);
    Paths linked;
    linked.root_dir = link / "root";
    linked.run_dir = link / "run";
    linked.pod_log_dir = link / "log/pods";
    linked.container_log_dir = link / "log/containers";
    auto instance = Instance::open(linked, random_);
    ASSERT_TRUE(instance) << format_as(instance.error());
    EXPECT_EQ((*instance)->paths().root_dir, real.root_dir);
    EXPECT_EQ((*instance)->paths().run_dir, real.run_dir);
    EXPECT_EQ((*instance)->paths().pod_log_dir, real.pod_log_dir);
    instance->reset();
    fs::create_directory_symlink(real.root_dir, folder_ / "other");
    linked.root_dir = folder_ / "other";
    EXPECT_FALSE(Instance::open(linked, random_)) << "not the folder itself: anybody's in /tmp";
}

TEST_F(State, RunDirOfAnotherBootIsWiped) {
    ASSERT_TRUE(Instance::open(paths_, random_));
    std::ofstream(paths_.container_records() / "abc") << "x";
    ASSERT_TRUE(Instance::open(paths_, random_));
    EXPECT_TRUE(fs::exists(paths_.container_records() / "abc"));
    std::ofstream(paths_.boot(), std::ios::trunc) << "another-boot\n";
    ASSERT_TRUE(Instance::open(paths_, random_));
    EXPECT_FALSE(fs::exists(paths_.container_records() / "abc"));
    EXPECT_TRUE(fs::exists(paths_.container_records()));
}

TEST_F(State, PodsNeverShareIds) {
    IdRanges ranges(ranges_, folder_ / "a");
    std::set<std::uint32_t> given;
    for (int i = 0; i < 8; ++i) {
        auto first = ranges.allocate();
        ASSERT_TRUE(first);
        EXPECT_EQ(*first % kIdsPerPod, 0U);
        EXPECT_TRUE(given.insert(*first).second);
    }
    EXPECT_EQ(ranges.allocate().error().code, Code::exhausted);
    ranges.release(*given.begin());
    EXPECT_EQ(*ranges.allocate(), *given.begin());
}

TEST_F(State, InstancesShareTheMachinesIds) {
    fs::create_directories(folder_ / "a/pods");
    std::ofstream(folder_ / "a/pods/x") << "";
    IdRanges a(ranges_, folder_ / "a");
    auto of_a = a.allocate();
    IdRanges b(ranges_, folder_ / "b");
    auto of_b = b.allocate();
    EXPECT_NE(*of_a, *of_b);
    // A restarted agent finds its own slot again and adopts what its pods have.
    IdRanges a_again(ranges_, folder_ / "a");
    EXPECT_TRUE(a_again.adopt(*of_a));
    EXPECT_FALSE(a_again.adopt(*of_b));
    EXPECT_NE(*a_again.allocate(), *of_a);
}

TEST_F(State, SlotsOfADeadInstanceWithoutPodsAreTakenOver) {
    fs::create_directories(folder_ / "a/pods");
    std::ofstream(folder_ / "a/pods/x") << "";
    std::vector<std::uint32_t> of_a;
    IdRanges a(ranges_, folder_ / "a");
    for (int i = 0; i < 8; ++i) {
        of_a.push_back(*a.allocate());
    }
    IdRanges b(ranges_, folder_ / "b");
    EXPECT_EQ(b.allocate().error().code, Code::exhausted);
    fs::remove(folder_ / "a/pods/x");
    EXPECT_TRUE(b.allocate());
}

TEST_F(State, DigestsAreTheKnownOnes) {
    constexpr std::string_view kOfAbc =
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    EXPECT_EQ(sha256_hex("abc"), kOfAbc);
    std::ofstream(folder_ / "abc") << "abc";
    auto fd = os::open_regular(folder_ / "abc");
    ASSERT_TRUE(fd);
    for (int i = 0; i < 2; ++i) {  // the offset does not move
        auto hash = hash_file(fd->get());
        ASSERT_TRUE(hash);
        EXPECT_EQ(hash->hex, kOfAbc);
        EXPECT_EQ(hash->size, Bytes{3});
    }
    Hasher longer(HashKind::sha512);
    longer.update("ab");
    longer.update("c");
    EXPECT_TRUE(to_hex(longer.finish()).starts_with("ddaf35a193617abacc417349ae204131"));
    EXPECT_EQ(hash_file(-1).error().message.empty(), false);
}

TEST(FileNames, HoldNothingThatLeadsElsewhere) {
    for (std::string_view good : {"a", "web-0", "0c3b4f6e-1111-4222-8333-444455556666", "a.b_C"}) {
        EXPECT_TRUE(can_name_a_file(good)) << good;
    }
    for (std::string_view bad :
         {"", ".", "..", ".hidden", "a/b", "../x", "a b", "a\n", "\xc3\xa9"}) {
        EXPECT_FALSE(can_name_a_file(bad)) << bad;
    }
    EXPECT_FALSE(can_name_a_file(std::string_view("a\0b", 3)));
    EXPECT_TRUE(can_name_a_file(std::string(253, 'a')));
    EXPECT_FALSE(can_name_a_file(std::string(254, 'a')));
}

}  // namespace
}  // namespace skiff::state
