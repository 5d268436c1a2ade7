// Version 2, which the machines that tests run on often lack: on a fake folder tree, whose files
// keep what was written to them, and on a real unified hierarchy where one is mounted (beside
// version 1, without controllers).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "base/random.h"
#include "base/text.h"
#include "os/cgroup.h"
#include "os/cgroup_hierarchy.h"
#include "os/file.h"
#include "os/machine.h"
#include "os/process.h"

namespace skiff::os {
namespace {

namespace fs = std::filesystem;

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;
using testing::UnorderedElementsAre;

// A kernel's file takes words one by one. A plain file keeps what is longest of each position:
// after
// "+memory", "+cpu" and "+pids" at its start stands "+pidsry".
constexpr std::string_view kAllEnabled = "+pidsry";
// Behind the room for that, what the kernel would answer.
constexpr std::string_view kDelegated = "        cpu memory pids\n";

std::string text_of(const fs::path& path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
}

class FakeV2 : public testing::Test {
protected:
    FakeV2() {
        SystemRandom random;
        parent_ = fs::temp_directory_path() / ("skiff-cgroup-" + random.hex(6));
        base_ = parent_ / "skiff-1";
    }
    ~FakeV2() override { (void)remove_tree(parent_); }

    static void put(const fs::path& path, std::string_view text) {
        fs::create_directories(path.parent_path());
        std::ofstream(path) << text;
    }
    // What the kernel makes in every folder.
    fs::path group(const std::string& name) const {
        fs::path folder = base_ / name;
        for (const char* file :
             {"memory.max", "memory.swap.max", "cpu.weight", "cpu.max", "pids.max", "cgroup.kill",
              "cgroup.procs", "cgroup.subtree_control"}) {
            put(folder / file, "");
        }
        return folder;
    }
    std::unique_ptr<CgroupTree> open_delegated() {
        put(parent_ / "cgroup.subtree_control", kDelegated);
        put(base_ / "cgroup.subtree_control", kDelegated);
        return CgroupTree::reopen({"unified=" + base_.string()});
    }

    fs::path parent_;
    fs::path base_;
};

TEST_F(FakeV2, EnablesControllersOfParentAndBaseAndStaysWhereItIs) {
    auto tree = open_delegated();
    EXPECT_THAT(tree->warnings(), IsEmpty());
    EXPECT_THAT(tree->bases(), ElementsAre("unified=" + base_.string()));
    EXPECT_THAT(text_of(parent_ / "cgroup.subtree_control"), StartsWith(kAllEnabled));
    EXPECT_THAT(text_of(base_ / "cgroup.subtree_control"), StartsWith(kAllEnabled));
    EXPECT_FALSE(fs::exists(parent_ / "skiff-agent"));
}

TEST_F(FakeV2, MovesIntoALeafWhereItsOwnGroupMayNotHaveControllers) {
    put(parent_ / "cgroup.subtree_control", "");
    put(parent_ / "skiff-agent" / "cgroup.procs", "");
    auto tree = CgroupTree::reopen({"unified=" + base_.string()});
    EXPECT_EQ(text_of(parent_ / "skiff-agent" / "cgroup.procs"), std::to_string(::getpid()));
    EXPECT_THAT(tree->warnings(), ElementsAre(HasSubstr("memory limits are not enforced"),
                                              HasSubstr("cpu limits are not enforced"),
                                              HasSubstr("pids limits are not enforced")));
}

TEST_F(FakeV2, WritesEveryLimitOfAGroupAndEnablesControllersOfItsParent) {
    auto tree = open_delegated();
    auto pod = group("pod1");
    auto container = group("pod1/c");
    CgroupLimits limits;
    limits.memory = 64_MiB;
    limits.cpu_limit_millis = 250;
    limits.cpu_request_millis = 1000;
    limits.pids = 32;
    auto place = tree->create("pod1/c", limits);
    ASSERT_TRUE(place) << format_as(place.error());
    EXPECT_THAT(place->folders, ElementsAre(container));
    EXPECT_EQ(place->oom_counter, container / "memory.events");
    EXPECT_EQ(text_of(container / "memory.max"), "67108864");
    EXPECT_EQ(text_of(container / "memory.swap.max"), "0");
    EXPECT_EQ(text_of(container / "cpu.max"), "25000 100000");
    EXPECT_EQ(text_of(container / "cpu.weight"), "39");
    EXPECT_EQ(text_of(container / "pids.max"), "32");
    EXPECT_EQ(text_of(pod / "cgroup.subtree_control"), kAllEnabled);
    EXPECT_EQ(text_of(pod / "memory.max"), "") << "only the group that was asked for";
}

TEST_F(FakeV2, WithoutLimitsOnlyTheShareIsSet) {
    auto tree = open_delegated();
    auto pod = group("pod1");
    ASSERT_TRUE(tree->create("pod1", {}));
    for (const char* file : {"memory.max", "memory.swap.max", "cpu.max", "pids.max"}) {
        EXPECT_EQ(text_of(pod / file), "") << file;
    }
    EXPECT_EQ(text_of(pod / "cpu.weight"), "1");
}

TEST_F(FakeV2, TheBaseHasAnOrdinaryShareForEachCore) {
    group("");
    (void)CgroupTree::reopen({"unified=" + base_.string()});
    EXPECT_EQ(text_of(base_ / "cpu.weight"), std::to_string(std::min(100 * cpu_count(), 10'000U)));
}

TEST_F(FakeV2, AnIdleGroupHasNoShareButTheLeastWhereTheKernelKnowsNoIdleOnes) {
    auto tree = open_delegated();
    auto pod = group("compile");
    CgroupLimits limits;
    limits.turn = CgroupLimits::Turn::idle;
    ASSERT_TRUE(tree->create("compile", limits));
    EXPECT_EQ(text_of(pod / "cpu.weight"), "1");
    put(pod / "cpu.weight", "");
    put(pod / "cpu.idle", "0");
    ASSERT_TRUE(tree->create("compile", limits));
    EXPECT_EQ(text_of(pod / "cpu.idle"), "1");
    EXPECT_EQ(text_of(pod / "cpu.weight"), "") << "the kernel refuses it then";
}

TEST_F(FakeV2, AQuotaIsNeverLessThanTheKernelTakes) {
    auto tree = open_delegated();
    auto pod = group("pod1");
    CgroupLimits limits;
    limits.cpu_limit_millis = 1;
    ASSERT_TRUE(tree->create("pod1", limits));
    EXPECT_EQ(text_of(pod / "cpu.max"), "1000 100000");
}

TEST_F(FakeV2, MakesAGroupWithoutControllersAndFailsWithoutItsParent) {
    auto tree = open_delegated();
    ASSERT_TRUE(tree->create("pod1", {}));
    EXPECT_TRUE(fs::is_directory(base_ / "pod1"));
    EXPECT_THAT(tree->children(""), ElementsAre("pod1"));
    EXPECT_FALSE(tree->create("absent/c", {}));
}

TEST_F(FakeV2, ReadsUsageAndKills) {
    auto tree = open_delegated();
    auto pod = group("pod1");
    EXPECT_FALSE(tree->usage("pod1")) << "nothing to read";
    put(pod / "cpu.stat", "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n");
    put(pod / "memory.current", "1000000\n");
    put(pod / "memory.stat", "anon 10\ninactive_file 400000\n");
    put(pod / "memory.events", "low 0\noom 3\noom_kill 2\n");
    auto usage = tree->usage("pod1");
    ASSERT_TRUE(usage);
    EXPECT_EQ(usage->cpu, std::chrono::microseconds(1500));
    EXPECT_EQ(usage->working_set, Bytes{600000});
    EXPECT_EQ(tree->oom_kills("pod1"), 2U);
    EXPECT_EQ(tree->oom_kills("absent"), std::nullopt);
    // The kernel may count a cache that is older than what is in use now.
    put(pod / "memory.stat", "inactive_file 2000000\n");
    EXPECT_EQ(tree->usage("pod1")->working_set, Bytes{0});
}

TEST_F(FakeV2, KillsAGroupInOneStepAndListsWhatIsBelow) {
    auto tree = open_delegated();
    auto pod = group("pod1");
    put(pod / "cgroup.procs", "11\n");
    put(group("pod1/c") / "cgroup.procs", "12\n13\n");
    put(group("pod2") / "cgroup.procs", "14\n");
    EXPECT_THAT(tree->processes("pod1"), ElementsAre(11, 12, 13));
    EXPECT_THAT(tree->processes(""), ElementsAre(11, 12, 13, 14));
    EXPECT_THAT(tree->children(""), UnorderedElementsAre("pod1", "pod2"));
    EXPECT_THAT(tree->children("pod1"), ElementsAre("pod1/c"));
    ASSERT_TRUE(tree->kill("pod1"));
    EXPECT_EQ(text_of(pod / "cgroup.kill"), "1");
    EXPECT_EQ(text_of(base_ / "pod2" / "cgroup.kill"), "");
    EXPECT_TRUE(tree->kill("absent"));
}

TEST_F(FakeV2, ATreeThatCannotBeMadeLimitsNothingAndSaysSo) {
    put(parent_, "a file in the way");
    auto tree = CgroupTree::reopen({"unified=" + base_.string()});
    EXPECT_THAT(tree->bases(), IsEmpty());
    EXPECT_THAT(tree->warnings(), ElementsAre(HasSubstr("read-only")));
    auto place = tree->create("pod1", {});
    ASSERT_TRUE(place);
    EXPECT_THAT(place->folders, IsEmpty());
    EXPECT_FALSE(tree->usage("pod1"));
    EXPECT_TRUE(tree->kill("pod1"));
    EXPECT_TRUE(tree->remove("pod1"));
}

// A real unified hierarchy, with or without controllers: what needs none of them.
class LiveV2 : public testing::Test {
protected:
    void SetUp() override {
        auto mountinfo = read_kernel_file("/proc/self/mountinfo");
        auto own = read_kernel_file("/proc/self/cgroup");
        ASSERT_TRUE(mountinfo && own);
        auto found = cgroup::find_hierarchies(*mountinfo, *own, "");
        auto unified = found.find(cgroup::kUnified);
        if (::geteuid() != 0 || unified == found.end() || ::access(unified->second.c_str(), W_OK)) {
            GTEST_SKIP() << "no unified hierarchy can be written here";
        }
        home_ = unified->second;
        SystemRandom random;
        // One level more than needed: that is the group this process is moved out of and back to.
        parent_ = home_ / ("skiff-test-" + random.hex(4));
        ASSERT_TRUE(make_folders(parent_));
        tree_ = CgroupTree::reopen({"unified=" + (parent_ / "skiff-1").string()});
    }
    void TearDown() override {
        if (tree_) {
            EXPECT_TRUE(tree_->remove(""));
            EXPECT_TRUE(write_kernel_file(home_ / "cgroup.procs", std::to_string(::getpid())));
            ::rmdir((parent_ / "skiff-agent").c_str());
            EXPECT_EQ(::rmdir(parent_.c_str()), 0);
        }
    }
    fs::path home_;
    fs::path parent_;
    std::unique_ptr<CgroupTree> tree_;
};

TEST_F(LiveV2, JoinsKillsAndRemovesAGroupWithAnother) {
    ASSERT_TRUE(tree_->create("pod1", {}));
    auto place = tree_->create("pod1/c", {});
    ASSERT_TRUE(place) << format_as(place.error());
    SpawnSpec spec;
    spec.program = "/bin/sleep";
    spec.argv = {"sleep", "1000"};
    spec.cgroup_folders = place->folders;
    auto child = spawn(spec);
    ASSERT_TRUE(child);
    EXPECT_THAT(tree_->processes("pod1"), ElementsAre(child->pid));
    EXPECT_THAT(tree_->children("pod1"), Contains("pod1/c"));
    ASSERT_TRUE(tree_->kill("pod1"));
    ASSERT_TRUE(wait_ended(child->pidfd.get(), 10000));
    EXPECT_EQ((**reap(child->pidfd.get())).shell_code(), 137);
    ASSERT_TRUE(tree_->remove("pod1"));
    EXPECT_THAT(tree_->children(""), IsEmpty());
}

// Version 1, on plain folders.
class FakeV1 : public testing::Test {
protected:
    FakeV1() {
        SystemRandom random;
        top_ = fs::temp_directory_path() / ("skiff-cgroup-" + random.hex(6));
        for (const char* name : {"memory", "cpu", "pids"}) {
            bases_.push_back(fmt::format("{}={}", name, (top_ / name / "skiff-1").string()));
        }
        bases_.push_back("cpuacct=" + (top_ / "cpu/skiff-1").string());
        tree_ = CgroupTree::reopen(bases_);
    }
    ~FakeV1() override { (void)remove_tree(top_); }

    fs::path in(const std::string& hierarchy, const std::string& name) const {
        return top_ / hierarchy / "skiff-1" / name;
    }

    fs::path top_;
    std::vector<std::string> bases_;
    std::unique_ptr<CgroupTree> tree_;
};

TEST_F(FakeV1, TheBaseHasAnOrdinaryShareForEachCore) {
    std::ofstream(in("cpu", "cpu.shares")) << "";
    tree_ = CgroupTree::reopen(bases_);
    EXPECT_EQ(text_of(in("cpu", "cpu.shares")),
              std::to_string(std::min(1024 * cpu_count(), 262'144U)));
}

TEST_F(FakeV1, AParentHasAFolderOnlyWhereItHasALimit) {
    ASSERT_TRUE(tree_->create_parent("pod1", {}));
    auto place = tree_->create("pod1/c", {});
    ASSERT_TRUE(place);
    EXPECT_THAT(place->folders, UnorderedElementsAre(in("cpu", "pod1/c"), in("memory", "pod1:c"),
                                                     in("pids", "pod1:c")));
    EXPECT_EQ(place->oom_counter, in("memory", "pod1:c") / "memory.oom_control");
    for (const auto& folder : place->folders) {
        EXPECT_TRUE(fs::is_directory(folder)) << folder;
    }
    EXPECT_THAT(tree_->children(""), ElementsAre("pod1"));
    EXPECT_THAT(tree_->children("pod1"), ElementsAre("pod1/c"));
}

TEST_F(FakeV1, WhatWasMadeStaysWhereItIsWhenItsParentGetsALimit) {
    ASSERT_TRUE(tree_->create_parent("pod1", {}));
    ASSERT_TRUE(tree_->create("pod1/old", {}));
    CgroupLimits limits;
    limits.memory = 64_MiB;
    ASSERT_TRUE(tree_->create_parent("pod1", limits));
    auto fresh = tree_->create("pod1/fresh", {});
    ASSERT_TRUE(fresh);
    EXPECT_THAT(fresh->folders, Contains(in("memory", "pod1/fresh")));
    EXPECT_THAT(tree_->place("pod1/old").folders, Contains(in("memory", "pod1:old")));
    EXPECT_THAT(tree_->children("pod1"), UnorderedElementsAre("pod1/old", "pod1/fresh"));
}

TEST_F(FakeV1, RemovesAParentWithAllThatLiesBesideIt) {
    for (const char* pod : {"pod1", "pod10"}) {
        ASSERT_TRUE(tree_->create_parent(pod, {}));
        ASSERT_TRUE(tree_->create(std::string(pod) + "/c", {}));
    }
    ASSERT_TRUE(tree_->remove("pod1"));
    EXPECT_THAT(tree_->children(""), ElementsAre("pod10"));
    EXPECT_FALSE(fs::exists(in("memory", "pod1:c")));
    EXPECT_TRUE(fs::exists(in("memory", "pod10:c")));
}

}  // namespace
}  // namespace skiff::os
