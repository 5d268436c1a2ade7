#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "base/random.h"
#include "base/sanitizer_testing.h"
#include "base/text.h"
#include "os/capabilities.h"
#include "os/cgroup.h"
#include "os/cgroup_hierarchy.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/id_map_probe.h"
#include "os/lock.h"
#include "os/machine.h"
#include "os/mount.h"
#include "os/process.h"
#include "os/user_namespace.h"

namespace skiff::os {
namespace {

namespace fs = std::filesystem;

class Os : public testing::Test {
protected:
    Os() {
        SystemRandom random;
        folder_ = fs::temp_directory_path() / ("skiff-os-" + random.hex(6));
        fs::create_directory(folder_);
    }
    ~Os() override { (void)remove_tree(folder_); }
    fs::path folder_;
};

std::string contents(const fs::path& path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
}

TEST_F(Os, AtomicWriteReplacesTheFileAndSetsItsMode) {
    auto path = folder_ / "x";
    ASSERT_TRUE(write_file_atomic(path, "one", 0600, Durability::power));
    ASSERT_TRUE(write_file_atomic(path, "two", 0644, Durability::process));
    EXPECT_EQ(contents(path), "two");
    struct stat status{};
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0644U);
    EXPECT_EQ(list_folder(folder_)->size(), 1U);
}

TEST_F(Os, StaleTemporariesAreRemovedAndNothingElse) {
    std::ofstream(folder_ / ".x.tmp-aabb") << "half";
    std::ofstream(folder_ / "x") << "whole";
    remove_stale_temporaries(folder_);
    EXPECT_EQ(*list_folder(folder_), std::vector<std::string>{"x"});
}

TEST_F(Os, ReadRefusesFifosLinksAndFilesThatAreTooLarge) {
    ASSERT_EQ(::mkfifo((folder_ / "fifo").c_str(), 0600), 0);
    std::ofstream(folder_ / "file") << "12345";
    fs::create_symlink("file", folder_ / "link");
    EXPECT_EQ(read_file(folder_ / "fifo", 1_KiB).error().code, Code::invalid);
    EXPECT_FALSE(read_file(folder_ / "link", 1_KiB));
    EXPECT_EQ(read_file(folder_ / "file", Bytes{4}).error().code, Code::exhausted);
    EXPECT_EQ(*read_file(folder_ / "file", Bytes{5}), "12345");
    EXPECT_EQ(*read_file_head(folder_ / "file", Bytes{3}), "123");
    EXPECT_EQ(read_file(folder_ / "none", 1_KiB).error().code, Code::not_found);
}

TEST_F(Os, RemoveTreeFollowsNoLinks) {
    fs::create_directories(folder_ / "outside");
    std::ofstream(folder_ / "outside/keep") << "x";
    fs::create_directories(folder_ / "tree/a/b");
    fs::create_directory_symlink(folder_ / "outside", folder_ / "tree/a/link");
    std::ofstream(folder_ / "tree/a/b/file") << "x";
    ASSERT_TRUE(remove_tree(folder_ / "tree"));
    EXPECT_FALSE(fs::exists(folder_ / "tree"));
    EXPECT_TRUE(fs::exists(folder_ / "outside/keep"));
    EXPECT_TRUE(remove_tree(folder_ / "tree"));
}

TEST_F(Os, RemoveTreeTakesTreesDeeperThanTheDescriptorsItMayHold) {
    fs::create_directory(folder_ / "tree");
    Fd at = *open(folder_ / "tree", O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < 500; ++i) {
        ASSERT_EQ(::mkdirat(at.get(), "d", 0755), 0);
        at = *open_at(at.get(), "d", O_RDONLY | O_DIRECTORY);
    }
    ASSERT_TRUE(remove_tree(folder_ / "tree"));
    EXPECT_FALSE(fs::exists(folder_ / "tree"));
}

TEST_F(Os, RemoveTreeStopsAtMountPoints) {
    if (::geteuid() != 0) {
        GTEST_SKIP() << "needs root";
    }
    fs::create_directories(folder_ / "tree/mount");
    fs::create_directories(folder_ / "tree/other");
    ASSERT_TRUE(mount_tmpfs(folder_ / "tree/mount", TmpfsOptions{}));
    std::ofstream(folder_ / "tree/mount/keep") << "x";
    EXPECT_TRUE(*is_mount_point(folder_ / "tree/mount"));
    EXPECT_FALSE(*is_mount_point(folder_ / "tree"));
    auto removed = remove_tree(folder_ / "tree");
    ASSERT_FALSE(removed);
    EXPECT_EQ(removed.error().code, Code::conflict);
    EXPECT_TRUE(fs::exists(folder_ / "tree/mount/keep"));
    EXPECT_FALSE(fs::exists(folder_ / "tree/other"));
    EXPECT_EQ(mounts_below(folder_)->size(), 1U);
    ASSERT_TRUE(unmount_below(folder_));
    EXPECT_TRUE(mounts_below(folder_)->empty());
    EXPECT_TRUE(unmount(folder_ / "tree/mount"));
    EXPECT_TRUE(remove_tree(folder_ / "tree"));
}

TEST_F(Os, NamesTheMountThatCannotMapIds) {
    if (::geteuid() != 0) {
        GTEST_SKIP() << "needs root";
    }
    const auto probe = IdMapProbe::create();
    ASSERT_TRUE(probe) << probe.error().message;
    const fs::path tree = folder_ / "tree";
    fs::create_directories(tree / "memory");
    fs::create_directories(tree / "with blank");
    std::ofstream(tree / "file") << "x";
    ASSERT_TRUE(mount_tmpfs(tree / "memory", TmpfsOptions{}));
    EXPECT_FALSE(*probe->find_unmappable(tree));
    EXPECT_FALSE(*probe->find_unmappable(tree / "file"));
    EXPECT_EQ(probe->find_unmappable(tree / "none").error().code, Code::not_found);
    const fs::path bad = tree / "with blank";
    ASSERT_EQ(::mount("ramfs", bad.c_str(), "ramfs", 0, nullptr), 0);
    std::ofstream(bad / "inside") << "x";
    fs::create_symlink(bad, tree / "link");
    for (const fs::path& path : {tree, bad, bad / "inside", tree / "link"}) {
        const auto found = probe->find_unmappable(path);
        ASSERT_TRUE(found && *found) << path;
        EXPECT_EQ((*found)->filesystem, "ramfs") << path;
        EXPECT_EQ((*found)->mount_point, bad) << path;
    }
    EXPECT_FALSE(*IdMapProbe().find_unmappable(bad));
    ASSERT_TRUE(unmount_below(folder_));
}

TEST_F(Os, UserNamespacesHaveTheRangesTheyWereGiven) {
    if (::geteuid() != 0) {
        GTEST_SKIP() << "needs root";
    }
    const IdMaps maps{{{0, 0x20000000, 10}, {10, 0, 1}}, {{0, 0x20000000, 10}, {10, 44, 1}}};
    // Also from a process with threads: the helper shares their memory.
    Result<Fd> made;
    std::thread([&] { made = create_user_namespace(maps); }).join();
    ASSERT_TRUE(made) << made.error().message;
    IdMaps many;
    for (std::uint32_t i = 0; i < 400; ++i) {
        many.users.push_back({i, 0x20000000 + 2 * i, 1});
    }
    EXPECT_EQ(create_user_namespace(many).error().code, Code::exhausted);
    SKIFF_NOT_UNDER_THREAD_SANITIZER("a fork joins the user namespace");
    const pid_t pid = ::fork();
    if (pid == 0) {
        const bool inside = ::setns(made->get(), CLONE_NEWUSER) == 0;
        ::_exit(inside && ::setresgid(10, 10, 10) == 0 && ::setresuid(10, 10, 10) == 0 ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

// One line of /proc/PID/status, and a set as it stands there.
std::string line_of(const std::string& status, const std::string& name) {
    const auto at = status.find(name + ":\t");
    return at == std::string::npos ? "" : status.substr(at + name.size() + 2, 16);
}
std::string hex(CapabilitySet set) {
    return fmt::format("{:016x}", set.bits());
}

// What /proc says of a child that kept `own`, and of the program that it executed then.
struct Kept {
    std::string before;
    std::string after;
};
Kept keep_in_child(CapabilitySet own, CapabilitySet started) {
    auto pipe = *make_pipe();
    const pid_t pid = ::fork();
    if (pid == 0) {
        const auto kept = keep_capabilities(own, started);
        const std::string status = kept ? *read_kernel_file("/proc/self/status") : "failed";
        (void)write_all(pipe.write.get(), status + "\f");
        ::dup2(pipe.write.get(), 1);
        ::execl("/bin/cat", "cat", "/proc/self/status", nullptr);
        ::_exit(1);
    }
    pipe.write.reset();
    const std::string text = *read_all(pipe.read.get(), 64_KiB);
    ::waitpid(pid, nullptr, 0);
    const auto middle = std::min(text.find('\f'), text.size() - 1);
    return {text.substr(0, middle), text.substr(middle + 1)};
}

TEST_F(Os, KeepsTheCapabilitiesOfTheListAndPassesOnNoOthers) {
    const auto had = permitted_capabilities();
    ASSERT_TRUE(had);
    const CapabilitySet own{CAP_CHOWN, CAP_SYS_ADMIN, CAP_SYS_RESOURCE};
    const CapabilitySet started{CAP_SETPCAP, CAP_KILL};
    if (!(CapabilitySet{CAP_CHOWN, CAP_SYS_ADMIN, CAP_SETPCAP, CAP_KILL} - *had).empty()) {
        GTEST_SKIP() << "needs root";
    }
    const Kept kept = keep_in_child(own, started);
    EXPECT_EQ(line_of(kept.before, "CapPrm"), hex(own & *had));
    EXPECT_EQ(line_of(kept.before, "CapEff"), hex(own & *had));
    EXPECT_EQ(line_of(kept.after, "CapEff"), hex((own | started) & *had));
    for (const std::string& status : {kept.before, kept.after}) {
        EXPECT_EQ(line_of(status, "CapBnd"), hex((own | started) & bounding_capabilities()));
        EXPECT_EQ(line_of(status, "CapInh"), hex({}));
        EXPECT_EQ(line_of(status, "CapAmb"), hex({}));
    }
}

TEST_F(Os, NamesCapabilities) {
    EXPECT_EQ(names_of({}), "");
    EXPECT_EQ(names_of({CAP_SYS_ADMIN, CAP_CHOWN, 60}), "CAP_CHOWN, CAP_SYS_ADMIN, 60");
}

TEST_F(Os, FoldersAreMadeWithParents) {
    ASSERT_TRUE(make_folders(folder_ / "a/b/c", 0700));
    ASSERT_TRUE(make_folders(folder_ / "a/b/c", 0700));
    std::ofstream(folder_ / "file") << "x";
    EXPECT_EQ(make_folders(folder_ / "file").error().code, Code::exists);
}

TEST_F(Os, LockNamesItsHolder) {
    auto path = folder_ / "lock";
    auto lock = FileLock::take(path);
    ASSERT_TRUE(lock);
    auto second = FileLock::take(path);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, Code::conflict);
    EXPECT_NE(second.error().message.find(std::to_string(::getpid())), std::string::npos);
}

TEST_F(Os, LockWaitsForAShortLivedHolder) {
    auto path = folder_ / "lock";
    auto lock = FileLock::take(path);
    ASSERT_TRUE(lock);
    std::thread holder([held = std::make_unique<FileLock>(std::move(*lock))]() mutable {
        ::poll(nullptr, 0, 100);
        held.reset();
    });
    EXPECT_TRUE(FileLock::take(path, std::chrono::seconds(20)));
    holder.join();
}

TEST_F(Os, SealedMemoryCannotChange) {
    auto fd = make_sealed_memfd("test", "secret");
    ASSERT_TRUE(fd);
    EXPECT_EQ(*read_all(fd->get(), 1_KiB), "secret");
    EXPECT_LT(::write(fd->get(), "x", 1), 0);
    EXPECT_NE(::ftruncate(fd->get(), 0), 0);
}

TEST_F(Os, SpawnPassesDescriptorsAndNothingElse) {
    auto pipe = make_pipe();
    ASSERT_TRUE(pipe);
    SpawnSpec spec;
    spec.program = "/bin/sh";
    spec.argv = {"sh", "-c", "echo $NAME $(ls /proc/self/fd | tr '\\n' ' ') >&7; exit 3"};
    spec.env = {"NAME=value", "PATH=/bin:/usr/bin"};
    spec.fds = {{pipe->write.get(), 7}};
    spec.session = Session::own;
    spec.schedule = Schedule::idle;
    auto child = spawn(spec);
    ASSERT_TRUE(child);
    pipe->write.reset();
    auto text = read_all(pipe->read.get(), 1_KiB);
    // 3 is `ls` reading the folder (or a pipe of the shell).
    EXPECT_THAT(*text, testing::StartsWith("value 0 1 2 "));
    ASSERT_TRUE(wait_ended(child->pidfd.get(), 10000));
    auto exit = reap(child->pidfd.get());
    ASSERT_TRUE(exit && *exit);
    EXPECT_EQ((*exit)->code, 3);
    EXPECT_EQ(reap(child->pidfd.get()).error().code, Code::not_found);
}

TEST_F(Os, SpawnSaysWhyItFailed) {
    SpawnSpec spec;
    spec.program = "/nonexistent";
    spec.argv = {"x"};
    auto child = spawn(spec);
    ASSERT_FALSE(child);
    EXPECT_EQ(child.error().code, Code::not_found);
}

TEST_F(Os, IdentityTellsProcessesApart) {
    SpawnSpec spec;
    spec.program = "/bin/sleep";
    spec.argv = {"sleep", "1000"};
    auto child = spawn(spec);
    ASSERT_TRUE(child);
    auto identity = identity_of(child->pid);
    ASSERT_TRUE(identity);
    EXPECT_TRUE(open_process(*identity));
    auto other_start = *identity;
    other_start.start_time += 1;
    EXPECT_EQ(open_process(other_start).error().code, Code::not_found);
    auto other_boot = *identity;
    other_boot.boot_id = "another";
    EXPECT_EQ(open_process(other_boot).error().code, Code::not_found);
    EXPECT_FALSE(has_ended(child->pidfd.get()));
    EXPECT_FALSE(reap(child->pidfd.get())->has_value());
    ASSERT_TRUE(send_signal(child->pidfd.get(), SIGKILL));
    ASSERT_TRUE(wait_ended(child->pidfd.get(), 10000));
    EXPECT_EQ((**reap(child->pidfd.get())).shell_code(), 137);
    EXPECT_EQ(open_process(*identity).error().code, Code::not_found);
    EXPECT_TRUE(send_signal(child->pidfd.get(), SIGKILL));
}

TEST(Machine, IsDescribed) {
    EXPECT_EQ(boot_id().size(), 36U);
    EXPECT_GE(cpu_count(), 1U);
    EXPECT_GT(memory()->total.value, memory()->available.value);
    EXPECT_FALSE(kernel().release.empty());
    EXPECT_NE(cpu_features().find('\n'), std::string::npos);
}

TEST(Cgroup, FindsTheHierarchiesOfAHybridMachine) {
    constexpr std::string_view kMounts =
        "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
        "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
        "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:5 - cgroup cgroup rw,memory\n"
        "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
    constexpr std::string_view kOwn = "3:cpu,cpuacct:/\n4:memory:/a/b\n0::/x\n";
    auto found = cgroup::find_hierarchies(kMounts, kOwn, "");
    EXPECT_EQ(found.at("memory"), "/sys/fs/cgroup/memory/a/b");
    EXPECT_EQ(found.at("cpu"), "/sys/fs/cgroup/cpu,cpuacct");
    EXPECT_EQ(found.at("cpuacct"), "/sys/fs/cgroup/cpu,cpuacct");
    EXPECT_EQ(found.at("unified"), "/sys/fs/cgroup/unified/x");
    EXPECT_EQ(found.size(), 4U);
    auto rooted = cgroup::find_hierarchies(kMounts, kOwn, "/skiff");
    EXPECT_EQ(rooted.at("memory"), "/sys/fs/cgroup/memory/skiff");
    EXPECT_EQ(rooted.at("cpu"), "/sys/fs/cgroup/cpu,cpuacct/skiff");
}

TEST(Cgroup, SeesThroughAMountOfASubtree) {
    auto found =
        cgroup::find_hierarchies("32 31 0:29 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n",
                                 "0::/docker/abc/in\n", "");
    EXPECT_EQ(found.at("unified"), "/sys/fs/cgroup/in");
}

TEST(Cgroup, ConvertsRequestsAsKubernetesDoes) {
    EXPECT_EQ(cpu_shares(std::nullopt), 2U);
    EXPECT_EQ(cpu_shares(1000), 1024U);
    EXPECT_EQ(cpu_shares(1), 2U);
    EXPECT_EQ(cpu_weight(std::nullopt), 1U);
    EXPECT_EQ(cpu_weight(1000), 39U);
}

TEST_F(Os, AnOrdinaryUserRemovesFoldersThatForbidTheirOwner) {
    constexpr uid_t kNobody = 65534;
    if (::geteuid() != 0) {
        GTEST_SKIP() << "needs root to become somebody else";
    }
    ASSERT_EQ(::chown(folder_.c_str(), kNobody, kNobody), 0);
    ASSERT_EQ(::seteuid(kNobody), 0);
    fs::create_directories(folder_ / "tree" / "shut" / "in");
    fs::create_directories(folder_ / "tree" / "fixed");
    std::ofstream(folder_ / "tree" / "fixed" / "file") << "x";
    fs::permissions(folder_ / "tree" / "shut", fs::perms::none);
    fs::permissions(folder_ / "tree" / "fixed", fs::perms::owner_read | fs::perms::owner_exec);
    auto removed = remove_tree(folder_ / "tree");
    ASSERT_EQ(::seteuid(0), 0);
    EXPECT_TRUE(removed) << format_as(removed.error());
    EXPECT_FALSE(fs::exists(folder_ / "tree"));
}

class LiveCgroup : public testing::Test {
protected:
    void SetUp() override {
        if (::geteuid() != 0) {
            GTEST_SKIP() << "needs root";
        }
        SystemRandom random;
        CgroupSettings settings;
        settings.instance = "skiff-test-" + random.hex(4);
        tree_ = CgroupTree::open(settings);
        if (tree_->bases().empty()) {
            GTEST_SKIP() << "no cgroup hierarchy can be written here";
        }
    }
    void TearDown() override {
        if (tree_) {
            EXPECT_TRUE(tree_->remove(""));
        }
    }
    std::unique_ptr<CgroupTree> tree_;
};

TEST_F(LiveCgroup, LimitsMeasuresKillsAndRemoves) {
    CgroupLimits limits;
    limits.memory = 64_MiB;
    limits.cpu_limit_millis = 500;
    limits.cpu_request_millis = 100;
    limits.pids = 16;
    ASSERT_TRUE(tree_->create("pod1", limits));
    auto place = tree_->create("pod1/c", limits);
    ASSERT_TRUE(place) << format_as(place.error());
    EXPECT_EQ(tree_->children(""), std::vector<std::string>{"pod1"});
    EXPECT_EQ(tree_->children("pod1"), std::vector<std::string>{"pod1/c"});

    SpawnSpec spec;
    spec.program = "/bin/sleep";
    spec.argv = {"sleep", "1000"};
    spec.cgroup_folders = place->folders;
    auto child = spawn(spec);
    ASSERT_TRUE(child);
    EXPECT_EQ(tree_->processes("pod1"), std::vector<int>{child->pid});
    auto usage = tree_->usage("pod1/c");
    ASSERT_TRUE(usage);
    EXPECT_GT(usage->working_set.value, 0U);
    EXPECT_EQ(tree_->oom_kills("pod1/c"), 0U);

    auto again = CgroupTree::reopen(tree_->bases());
    ASSERT_TRUE(again->kill("pod1"));
    ASSERT_TRUE(wait_ended(child->pidfd.get(), 10000));
    EXPECT_EQ((**reap(child->pidfd.get())).shell_code(), 137);
    ASSERT_TRUE(tree_->remove("pod1"));
    EXPECT_TRUE(tree_->children("").empty());
    EXPECT_TRUE(tree_->remove("pod1"));
    EXPECT_FALSE(tree_->usage("pod1"));
}

TEST_F(LiveCgroup, CountsOomKills) {
    CgroupLimits limits;
    limits.memory = 16_MiB;
    auto place = tree_->create("pod2", limits);
    ASSERT_TRUE(place);
    SpawnSpec spec;
    spec.program = "/usr/bin/tail";  // keeps the whole of a line in memory
    spec.argv = {"tail", "/dev/zero"};
    spec.cgroup_folders = place->folders;
    auto child = spawn(spec);
    ASSERT_TRUE(child);
    ASSERT_TRUE(wait_ended(child->pidfd.get(), 20000));
    EXPECT_EQ((**reap(child->pidfd.get())).signal, SIGKILL);
    EXPECT_GE(tree_->oom_kills("pod2").value_or(0), 1U);
}

}  // namespace
}  // namespace skiff::os
