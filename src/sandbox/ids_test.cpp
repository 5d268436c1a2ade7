// Volumes on a filesystem that cannot map ids, tried from inside of the cage.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "os/file.h"
#include "sandbox/cage_fixture.h"
#include "sandbox/owners.h"

namespace skiff::sandbox {
namespace {

// A filesystem of memory that has owners and modes, but no idmapped mounts.
class Unmappable : public Cage {
protected:
    void SetUp() override {
        Cage::SetUp();
        if (IsSkipped()) {
            return;
        }
        volume_ = folder_ / "ram";
        fs::create_directory(volume_);
        ASSERT_EQ(::mount("ramfs", volume_.c_str(), "ramfs", 0, nullptr), 0);
        ::chmod(volume_.c_str(), 0755);
    }
    void TearDown() override {
        if (!volume_.empty()) {
            ::umount2(volume_.c_str(), MNT_DETACH);
        }
        Cage::TearDown();
    }
    TreeEntry entry(FileIds ids) const {
        TreeEntry entry;
        entry.target = "/data";
        entry.source = volume_;
        entry.access = Access::read_write;
        entry.ids = ids;
        return entry;
    }
    void make(const std::string& name, std::uint32_t owner, unsigned mode) const {
        std::ofstream(volume_ / name) << "content";
        ASSERT_EQ(::chown((volume_ / name).c_str(), owner, owner), 0);
        ASSERT_EQ(::chmod((volume_ / name).c_str(), mode), 0);
    }
    std::uint32_t owner_of(const std::string& name) const {
        struct stat facts{};
        EXPECT_EQ(::lstat((volume_ / name).c_str(), &facts), 0) << name;
        EXPECT_EQ(facts.st_uid, facts.st_gid);
        return facts.st_uid;
    }
    static int try_open(const char* path, int flags) {
        return failed_with(::open(path, flags | O_CLOEXEC, 0600));
    }

    fs::path volume_;
};

TEST_F(Unmappable, NamesTheVolumeThatMustBeMapped) {
    auto builder = plain();
    const Ending ending = run(*builder.add(entry(FileIds::mapped)).build(), [] { return 0; });
    EXPECT_TRUE(ending.error.starts_with("mounts: mount /data: map the ids")) << ending.error;
}

TEST_F(Unmappable, GivesTheAgentsVolumesToThePod) {
    fs::create_directory(volume_ / "deep");
    make("deep/mine", 1000, 0600);
    make("of-a-real-user", 100000, 0600);
    std::ofstream(folder_ / "outside") << "x";
    fs::create_symlink(folder_ / "outside", volume_ / "link");
    const auto act = [] {
        return try_open("/data/deep/mine", O_RDWR) + try_open("/data/new", O_WRONLY | O_CREAT);
    };
    const auto policy_for = [&](std::uint32_t base, Access access) {
        PolicyBuilder builder;
        TreeEntry owned = entry(FileIds::mapped_or_owned);
        owned.access = access;
        builder.map_ids({base, 65536}).run_as({1000, 1000, {}}).use_empty_root(0).add(owned);
        return *builder.build();
    };
    ::chown(volume_.c_str(), 1000, 1000);
    Ending ending = run(policy_for(kBase, Access::read_write), act);
    EXPECT_EQ(ending.error, "");
    EXPECT_EQ(ending.code, 0);
    EXPECT_EQ(owner_of("deep/mine"), kBase + 1000);
    EXPECT_EQ(owner_of("new"), kBase + 1000);
    EXPECT_EQ(owner_of("link"), kBase);
    EXPECT_EQ(owner_of("of-a-real-user"), 100000U);
    struct stat facts{};
    ASSERT_EQ(::stat((folder_ / "outside").c_str(), &facts), 0);
    EXPECT_EQ(facts.st_uid, 0U);
    // After a boot the pod has another range; a read-only mount is no hindrance.
    constexpr std::uint32_t kOther = kBase + 7 * 65536;
    ending = run(policy_for(kOther, Access::read_only),
                 [] { return try_open("/data/deep/mine", O_RDONLY); });
    EXPECT_EQ(ending.error, "");
    EXPECT_EQ(ending.code, 0);
    EXPECT_EQ(owner_of("deep/mine"), kOther + 1000);
    EXPECT_EQ(owner_of("."), kOther + 1000);
    // And with the machine's ids for files it is as if it had never been given away.
    auto builder = PolicyBuilder();
    builder.map_ids({kBase, 65536}).run_as({1000, 1000, {}}).use_empty_root(0);
    builder.open_files_as_machine(MachineFileIds{}).add(entry(FileIds::mapped_or_owned));
    ending = run(*builder.build(), act);
    EXPECT_EQ(ending.error, "");
    EXPECT_EQ(ending.code, 0);
    EXPECT_EQ(owner_of("deep/mine"), 1000U);
    EXPECT_EQ(owner_of("link"), 0U);
}

TEST_F(Unmappable, AGivenVolumeGoesBackWhereItCanBeMapped) {
    const fs::path given = folder_ / "given";
    fs::create_directory(given);
    std::ofstream(given / "f") << "x";
    ASSERT_EQ(::chown((given / "f").c_str(), kBase + 65536 + 5, kBase + 65536 + 6), 0);
    ASSERT_EQ(::chown(given.c_str(), kBase + 65536, kBase + 65536), 0);
    TreeEntry data = entry(FileIds::mapped_or_owned);
    data.source = given;
    auto builder = plain();
    builder.run_as({5, 6, {}}).add(data);
    const Ending ending = run(*builder.build(), [] { return try_open("/data/f", O_RDWR); });
    EXPECT_EQ(ending.error, "");
    EXPECT_EQ(ending.code, 0);
    struct stat facts{};
    ASSERT_EQ(::stat((given / "f").c_str(), &facts), 0);
    EXPECT_EQ(facts.st_uid, 5U);
    EXPECT_EQ(facts.st_gid, 6U);
}

TEST_F(Unmappable, OpensFilesAsTheMachinesUser) {
    ::chmod(volume_.c_str(), 0777);
    make("mine", 1000, 0600);
    make("roots", 0, 0600);
    make("readable", 0, 0644);
    make("group", 0, 0640);
    ASSERT_EQ(::chown((volume_ / "group").c_str(), 0, 44), 0);
    make("second-group", 0, 0640);
    ASSERT_EQ(::chown((volume_ / "second-group").c_str(), 0, 1500), 0);
    auto builder = plain();
    builder.run_as({1000, 1001, {44, 1500, 44, 1001}}).open_files_as_machine(MachineFileIds{});
    builder.add(entry(FileIds::plain));
    const Policy policy = *builder.build();
    EXPECT_NE(dump(policy).find("files opened with the machine's ids\n"), std::string::npos);
    const Ending ending = run(policy, [] {
        int wrong = 0;
        wrong += try_open("/data/mine", O_RDWR) != 0 ? 1 : 0;
        wrong += try_open("/data/new", O_WRONLY | O_CREAT) != 0 ? 2 : 0;
        wrong += try_open("/data/readable", O_RDONLY) != 0 ? 4 : 0;
        wrong += try_open("/data/readable", O_WRONLY) != EACCES ? 8 : 0;
        wrong += try_open("/data/roots", O_RDONLY) != EACCES ? 16 : 0;
        wrong += try_open("/data/group", O_RDONLY) != 0 ? 32 : 0;
        wrong += try_open("/data/second-group", O_RDONLY) != 0 ? 64 : 0;
        return wrong;
    });
    EXPECT_EQ(ending.error, "");
    EXPECT_EQ(ending.code, 0);
    struct stat facts{};
    ASSERT_EQ(::stat((volume_ / "new").c_str(), &facts), 0);
    EXPECT_EQ(facts.st_uid, 1000U);
    EXPECT_EQ(facts.st_gid, 1001U);
}

TEST_F(Unmappable, RootOfTheContainerIsRootForFilesAndForNothingElse) {
    make("roots", 0, 0600);
    make("others", 1000, 0600);
    SyscallFilter filter = *SyscallFilter::build(SyscallProfile::command);
    auto builder = plain();
    builder.open_files_as_machine(MachineFileIds{}).add(entry(FileIds::plain));
    const Policy policy = *builder.build();
    auto pipe = *os::make_pipe();
    auto reply = *os::make_pipe();
    const pid_t pid = ::fork();
    if (pid == 0) {
        Confinement confinement(policy, shared_, filter);
        const bool done = confinement.build() && confinement.enter() && confinement.lock();
        const bool right = done && try_open("/data/roots", O_RDWR) == 0 &&
                           try_open("/data/others", O_RDONLY) == EACCES;
        char byte = right ? 'k' : 'x';
        (void)!::write(pipe.write.get(), &byte, 1);
        (void)!::read(reply.read.get(), &byte, 1);
        ::_exit(0);
    }
    char byte = 0;
    ASSERT_EQ(::read(pipe.read.get(), &byte, 1), 1);
    EXPECT_EQ(byte, 'k');
    const std::string status = *os::read_kernel_file(fmt::format("/proc/{}/status", pid));
    EXPECT_NE(status.find(fmt::format("Uid:\t{0}\t{0}\t{0}\t0\n", kBase)), std::string::npos)
        << status;
    EXPECT_NE(status.find(fmt::format("Gid:\t{0}\t{0}\t{0}\t0\n", kBase)), std::string::npos);
    for (const char* line : {"CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n",
                             "CapBnd:\t0000000000000000\n", "NoNewPrivs:\t1\n"}) {
        EXPECT_NE(status.find(line), std::string::npos) << line << status;
    }
    (void)!::write(reply.write.get(), &byte, 1);
    ::waitpid(pid, nullptr, 0);
}

TEST_F(Unmappable, WillNotChangeOwnersWithoutEnd) {
    fs::path at = volume_;
    for (std::size_t i = 0; i <= kOwnedDepthMax; ++i) {
        at /= "d";
        ASSERT_TRUE(fs::create_directory(at));
    }
    auto builder = plain();
    const Ending ending =
        run(*builder.add(entry(FileIds::mapped_or_owned)).build(), [] { return 0; });
    EXPECT_NE(ending.error.find("nested deeper than 256"), std::string::npos) << ending.error;
}

}  // namespace
}  // namespace skiff::sandbox
