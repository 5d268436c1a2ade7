// The real skiff-engine, driven over its socket as the agent drives it.
#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "base/paths_testing.h"
#include "base/sanitizer_testing.h"
#include "base/text.h"
#include "engine/testing.h"
#include "os/capabilities.h"
#include "os/file.h"
#include "sandbox/confinement.h"
#include "wire/paths.h"
#include "wire/powers.h"

namespace skiff::engine {
namespace {

namespace fs = std::filesystem;
using testing::Agent;
using testing::KeeperProcess;
using testing::plain_grant;

class Keeper : public ::testing::Test {
protected:
    static void SetUpTestSuite() {
        // Orphans of a killed keeper become ours, so that a test can wait for them.
        ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    }
    void SetUp() override { SKIFF_NOT_UNDER_THREAD_SANITIZER("the keeper's runners are in cages"); }
};

TEST_F(Keeper, ReportsExitCodesOfCoreModulesAndComponents) {
    KeeperProcess keeper;
    Agent agent(keeper);
    for (const int code : {0, 1, 3, 130, 134, 255}) {
        const auto exited = agent.run(fmt::format("core{}", code), "actor",
                                      plain_grant({"actor", "exit", std::to_string(code)}));
        EXPECT_EQ(exited.kind, wire::ExitKind::exited);
        EXPECT_EQ(exited.exit_code, code) << exited.message;
        EXPECT_GE(exited.finished_ns, exited.started_ns);
    }
    const auto exited =
        agent.run("component", "actor-component", plain_grant({"actor", "print", "hi"}));
    EXPECT_EQ(exited.exit_code, 0);
    EXPECT_EQ(agent.log_of("component"), "hi\n");
}

TEST_F(Keeper, GivesArgumentsEnvironmentAndOutput) {
    KeeperProcess keeper;
    Agent agent(keeper);
    auto grant = plain_grant({"actor", "args", ";", "env", "COLOR", ";", "eprint", "oops"});
    grant.env = {"COLOR=blue"};
    EXPECT_EQ(agent.run("a", "actor", grant).exit_code, 0);
    const std::string log = agent.log_of("a");
    EXPECT_NE(log.find("blue\n"), std::string::npos) << log;
    EXPECT_NE(log.find("stderr: oops\n"), std::string::npos) << log;
}

TEST_F(Keeper, ReportsATrapWithItsBacktrace) {
    KeeperProcess keeper;
    Agent agent(keeper);
    const auto exited = agent.run("a", "actor", plain_grant({"actor", "trap"}));
    EXPECT_EQ(exited.kind, wire::ExitKind::trapped);
    EXPECT_EQ(exited.exit_code, 134);
    EXPECT_NE(exited.message.find("unreachable"), std::string::npos) << exited.message;
}

TEST_F(Keeper, ReportsARefusedGrowthAsOutOfMemory) {
    KeeperProcess keeper;
    Agent agent(keeper);
    auto grant = plain_grant({"actor", "grow", "64"});
    grant.limits.memory_bytes = 16 << 20;
    const auto exited = agent.run("a", "actor", grant);
    EXPECT_EQ(exited.kind, wire::ExitKind::out_of_memory) << exited.message;
    EXPECT_EQ(exited.exit_code, 137);
    EXPECT_FALSE(exited.message.empty());
}

TEST_F(Keeper, JoinsCgroupsAndSeesTheirKiller) {
    const fs::path memory = "/sys/fs/cgroup/memory";
    if (!fs::exists(memory / "memory.limit_in_bytes")) {
        GTEST_SKIP() << "needs the memory controller of cgroup v1";
    }
    const fs::path group = memory / fmt::format("skiff-test-{}", ::getpid());
    fs::create_directory(group);
    ASSERT_TRUE(os::write_kernel_file(group / "memory.limit_in_bytes", "8388608"));
    {
        KeeperProcess keeper;
        Agent agent(keeper);
        auto grant = plain_grant({"actor", "grow", "64"});
        grant.cgroups = {group};
        wire::Start header;
        header.oom_counter = group / "memory.oom_control";
        header.memory_bytes_limit = 8388608;
        agent.start("a", "actor", grant, header);
        const auto exited = agent.expect<wire::Exited>();
        EXPECT_EQ(exited.kind, wire::ExitKind::out_of_memory) << exited.message;
        EXPECT_EQ(exited.exit_code, 137);
        EXPECT_EQ(exited.signal, SIGKILL);
        EXPECT_NE(exited.message.find("8.0 MiB"), std::string::npos) << exited.message;
    }
    EXPECT_EQ(::rmdir(group.c_str()), 0);
}

TEST_F(Keeper, DoesNotPassItsOwnOomScoreOn) {
    KeeperProcess keeper;
    Agent agent(keeper);
    auto grant = plain_grant({"actor", "hold"});
    grant.oom_score_adj = 875;
    agent.start("a", "actor", grant);
    const auto pid = agent.expect<wire::Started>().pid;
    const auto score = os::read_kernel_file(fmt::format("/proc/{}/oom_score_adj", pid));
    ASSERT_TRUE(score);
    EXPECT_EQ(trim(*score), "875");
    const auto own = os::read_kernel_file(fmt::format("/proc/{}/oom_score_adj", keeper.pid()));
    ASSERT_TRUE(own);
    EXPECT_NE(*own, *score);
    agent.send(wire::Kill{"a"});
    agent.expect<wire::Exited>();
}

TEST_F(Keeper, KillsAndStops) {
    KeeperProcess keeper;
    Agent agent(keeper);
    agent.start("a", "actor", plain_grant({"actor", "hold"}));
    EXPECT_GT(agent.expect<wire::Started>().pid, 0U);
    agent.send(wire::Kill{"a"});
    auto exited = agent.expect<wire::Exited>();
    EXPECT_EQ(exited.kind, wire::ExitKind::killed);
    EXPECT_EQ(exited.exit_code, 137);

    agent.start("b", "actor", plain_grant({"actor", "spin"}));
    agent.expect<wire::Started>();
    agent.send(wire::Stop{"b", 30'000});
    exited = agent.expect<wire::Exited>();
    EXPECT_EQ(exited.kind, wire::ExitKind::stopped);
    EXPECT_EQ(exited.exit_code, 143);
}

TEST_F(Keeper, LetsAGuestThatHandlesStoppingFinish) {
    KeeperProcess keeper;
    Agent agent(keeper);
    const fs::path sign = keeper.folder() / "sign";
    fs::create_directory(sign);
    auto grant = plain_grant({"actor", "print", "up", ";", "wait-file", "/run/skiff/terminating",
                              ";", "print", "bye", ";", "exit", "7"});
    grant.stop = wire::StopMode::file;
    wire::Mount mount;
    mount.target = "/run/skiff";
    mount.source = sign;
    grant.mounts = {mount};
    agent.start("a", "actor", grant);
    agent.expect<wire::Started>();
    std::ofstream(sign / "terminating").flush();
    agent.send(wire::Stop{"a", 8'000});
    auto exited = agent.expect<wire::Exited>();
    EXPECT_EQ(exited.kind, wire::ExitKind::exited);
    EXPECT_EQ(exited.exit_code, 7);
    EXPECT_EQ(agent.log_of("a"), "up\nbye\n");

    // One that does not listen is killed when the grace is over.
    grant.args = {"actor", "spin"};
    agent.start("b", "actor", grant);
    agent.expect<wire::Started>();
    agent.send(wire::Stop{"b", 50});
    exited = agent.expect<wire::Exited>();
    EXPECT_EQ(exited.kind, wire::ExitKind::killed);
    EXPECT_EQ(exited.exit_code, 137);
}

TEST_F(Keeper, NamesWhyAStartFailed) {
    KeeperProcess keeper;
    Agent agent(keeper);
    auto grant = plain_grant({"actor"});
    wire::Mount mount;
    mount.target = "/data";
    mount.source = "/no/such/folder";
    grant.mounts = {mount};
    agent.start("a", "actor", grant);
    auto failed = agent.expect<wire::StartFailed>();
    EXPECT_EQ(failed.stage, "mounts");
    EXPECT_NE(failed.message.find("/data"), std::string::npos) << failed.message;
    agent.start("b", "actor", plain_grant({"actor", "hold"}));
    agent.expect<wire::Started>();
    agent.start("b2", "actor", plain_grant({"actor", "hold"}), {});
    agent.expect<wire::Started>();
    wire::Start again;
    again.container_id = "b";
    agent.send(again);
    failed = agent.expect<wire::StartFailed>();
    EXPECT_EQ(failed.stage, "request");
}

TEST_F(Keeper, RefusesAnUnsealedGrantAndAForeignArtifact) {
    KeeperProcess keeper;
    Agent agent(keeper);
    auto grant = plain_grant({"actor"});
    grant.entry = "no_such_function";
    agent.start("a", "actor", grant);
    const auto exited = agent.expect<wire::Exited>();
    EXPECT_EQ(exited.kind, wire::ExitKind::start_failed);
    EXPECT_EQ(exited.exit_code, 128);
    EXPECT_NE(exited.message.find("no_such_function"), std::string::npos) << exited.message;
}

TEST_F(Keeper, RemembersEndsWhileNoAgentIsThere) {
    KeeperProcess keeper;
    std::uint32_t pid = 0;
    {
        Agent agent(keeper);
        agent.start("long", "actor", plain_grant({"actor", "hold"}));
        pid = agent.expect<wire::Started>().pid;
        agent.start("short", "actor", plain_grant({"actor", "exit", "3"}));
        // Gone before it could hear anything: the agent is SIGKILLed.
    }
    const auto file = wire::exit_file(keeper.run_dir(), "short");
    for (int tries = 0; !fs::exists(file) && tries < 1000; ++tries) {
        ::usleep(10'000);
    }
    const auto on_disk = wire::decode_exit_file(*os::read_file(file, 64_KiB));
    ASSERT_TRUE(on_disk);
    EXPECT_EQ(on_disk->exit_code, 3);
    Agent agent(keeper);
    EXPECT_EQ(agent.expect<wire::Exited>(), *on_disk);
    auto running = agent.expect<wire::Running>();
    ASSERT_EQ(running.items.size(), 1U);
    EXPECT_EQ(running.items[0].container_id, "long");
    EXPECT_EQ(running.items[0].pid, pid);
    EXPECT_EQ(running.items[0].start_time, *os::start_time_of(static_cast<pid_t>(pid)));
    agent.send(wire::Forget{"short"});
    Agent second(keeper);
    second.expect<wire::Running>();
    EXPECT_EQ(second.skipped().size(), 1U) << "nothing but Welcome";
    EXPECT_FALSE(fs::exists(file));
}

TEST_F(Keeper, DoesWhatAnAgentAskedForBeforeItDied) {
    KeeperProcess keeper;
    for (int i = 0; i < 20; ++i) {
        // Gone with Welcome unread, which the kernel reports as a reset.
        Agent(keeper).start(fmt::format("c{}", i), "actor", plain_grant({"actor", "hold"}));
    }
    Agent agent(keeper);
    EXPECT_EQ(agent.expect<wire::Running>().items.size(), 20U);
}

TEST_F(Keeper, RunnersOutliveAKilledKeeper) {
    std::optional<KeeperProcess> keeper(std::in_place);
    std::optional<Agent> agent(std::in_place, *keeper);
    agent->start("a", "actor", plain_grant({"actor", "sleep", "0.3", ";", "exit", "9"}));
    const auto pid = static_cast<pid_t>(agent->expect<wire::Started>().pid);
    auto pidfd = *os::open_pidfd(pid);
    keeper->kill();
    EXPECT_FALSE(os::has_ended(pidfd.get()));
    ASSERT_TRUE(os::wait_ended(pidfd.get(), 10'000));
    (void)os::reap(pidfd.get());
    const auto exited = wire::exited_from_page(agent->page_of("a"));
    EXPECT_EQ(exited.kind, wire::ExitKind::exited);
    EXPECT_EQ(exited.exit_code, 9);
}

TEST_F(Keeper, ExecutesItselfAnewWithoutLosingAnything) {
    KeeperProcess keeper({"--starts-max=3"});
    Agent agent(keeper);
    for (int i = 0; i < 10; ++i) {
        agent.start(fmt::format("hold{}", i), "actor", plain_grant({"actor", "hold"}));
        agent.expect<wire::Started>();
    }
    const std::string log = *os::read_file(keeper.folder() / "keeper.log", 1_MiB);
    EXPECT_NE(log.find("executions=3"), std::string::npos) << log;
    EXPECT_EQ(*os::read_kernel_file(fmt::format("/proc/{}/comm", keeper.pid())), "skiff-engine\n");
    agent.send(wire::List{});
    std::size_t count = 0;
    while (count != 10) {
        count = agent.expect<wire::Running>().items.size();
    }
    agent.send(wire::Kill{"hold0"});
    EXPECT_EQ(agent.expect<wire::Exited>().container_id, "hold0");
}

TEST_F(Keeper, EndsWithItsLastRunnerWhenDrained) {
    KeeperProcess keeper;
    Agent agent(keeper);
    agent.start("a", "actor", plain_grant({"actor", "sleep", "0.1"}));
    agent.expect<wire::Started>();
    agent.send(wire::Shutdown{wire::ShutdownMode::when_empty});
    agent.start("b", "actor", plain_grant({"actor"}));
    EXPECT_EQ(agent.expect<wire::StartFailed>().container_id, "b");
    agent.expect<wire::Exited>();
    keeper.wait_ended();
}

TEST_F(Keeper, ServesAgainWhenAnUpgradeIsRolledBack) {
    KeeperProcess keeper;
    Agent agent(keeper);
    agent.start("a", "actor", plain_grant({"actor", "hold"}));
    agent.expect<wire::Started>();
    agent.send(wire::Shutdown{wire::ShutdownMode::when_empty});
    agent.send(wire::Shutdown{wire::ShutdownMode::go_on});
    EXPECT_EQ(agent.run("b", "actor", plain_grant({"actor", "exit", "3"})).exit_code, 3);
}

TEST_F(Keeper, VolumesWorkWithThePodsIds) {
    KeeperProcess keeper;
    Agent agent(keeper);
    const fs::path volume = keeper.folder() / "volume";
    fs::create_directory(volume);
    ASSERT_EQ(::chown(volume.c_str(), 1000, 1000), 0);
    ASSERT_EQ(::chmod(volume.c_str(), 0700), 0);
    ::chmod(keeper.folder().c_str(), 0755);
    auto grant = plain_grant({"actor", "write", "/data/f", "text", ";", "read", "/data/f"});
    wire::Mount mount;
    mount.target = "/data";
    mount.source = volume;
    mount.access = wire::Access::read_write;
    wire::Mount hosts;
    hosts.kind = wire::MountKind::file;
    hosts.target = "/etc/hosts";
    hosts.content = "::1 localhost\n";
    hosts.mode = 0644;
    grant.mounts = {mount, hosts};
    EXPECT_EQ(agent.run("root", "actor", grant).exit_code, 1);
    EXPECT_NE(agent.log_of("root").find("EACCES"), std::string::npos) << agent.log_of("root");
    grant.identity.uid = 1000;
    EXPECT_EQ(agent.run("owner", "actor", grant).exit_code, 0);
    struct stat facts{};
    ASSERT_EQ(::stat((volume / "f").c_str(), &facts), 0);
    EXPECT_EQ(facts.st_uid, 1000U);
    grant.args = {"actor", "read", "/etc/hosts", ";", "ls", "/", ";", "write", "/x", "no"};
    EXPECT_EQ(agent.run("files", "actor-component", grant).exit_code, 1);
    EXPECT_NE(agent.log_of("files").find("::1 localhost"), std::string::npos);
    EXPECT_NE(agent.log_of("files").find("write /x"), std::string::npos) << agent.log_of("files");
}

TEST_F(Keeper, VolumesThatCannotMapIdsWorkWithTheMachines) {
    KeeperProcess keeper;
    Agent agent(keeper);
    ::chmod(keeper.folder().c_str(), 0755);
    const fs::path volume = keeper.folder() / "volume";
    fs::create_directory(volume);
    ASSERT_EQ(::mount("ramfs", volume.c_str(), "ramfs", 0, nullptr), 0);
    const fs::path scratch = keeper.folder() / "scratch";
    fs::create_directory(scratch);
    std::ofstream(volume / "f") << "found";
    for (const fs::path& path : {volume, volume / "f", scratch}) {
        ASSERT_EQ(::chown(path.c_str(), 1000, 1000), 0);
        ASSERT_EQ(::chmod(path.c_str(), 0700), 0);
    }
    wire::Mount data;
    data.target = "/data";
    data.source = volume;
    data.access = wire::Access::read_write;
    data.id_mapping = wire::IdMapping::plain;
    wire::Mount shared = data;
    shared.target = "/scratch";
    shared.source = scratch;
    shared.id_mapping = wire::IdMapping::mapped_or_owned;
    auto grant = plain_grant({"actor", "read", "/data/f", ";", "write", "/data/new", "text", ";",
                              "write", "/scratch/new", "text"});
    grant.identity.uid = grant.identity.gid = 1000;
    grant.identity.files_as = wire::FilesAs::machine;
    grant.mounts = {data, shared};
    EXPECT_EQ(agent.run("owner", "actor", grant).exit_code, 0) << agent.log_of("owner");
    EXPECT_EQ(agent.log_of("owner"), "found\n");
    for (const fs::path& path : {volume / "new", scratch / "new"}) {
        struct stat facts{};
        ASSERT_EQ(::stat(path.c_str(), &facts), 0);
        EXPECT_EQ(facts.st_uid, 1000U);
    }
    grant.identity.uid = 0;
    EXPECT_EQ(agent.run("root", "actor", grant).exit_code, 1);
    EXPECT_NE(agent.log_of("root").find("EACCES"), std::string::npos) << agent.log_of("root");
    ASSERT_EQ(::umount2(volume.c_str(), MNT_DETACH), 0);
}

std::string capabilities_in(pid_t pid, const std::string& name) {
    const std::string status = *os::read_kernel_file(fmt::format("/proc/{}/status", pid));
    return status.substr(status.find(name) + name.size() + 2, 16);
}

os::CapabilitySet keepers_capabilities() {
    os::CapabilitySet wanted;
    for (const int number : wire::kKeeperCapabilities) {
        wanted = wanted | os::CapabilitySet{number};
    }
    return wanted & *os::permitted_capabilities();
}

TEST_F(Keeper, HasTheCapabilitiesOfItsListAndARunnerHasNone) {
    if (!sandbox::can_confine()) {
        GTEST_SKIP() << "needs root";
    }
    KeeperProcess keeper({"--starts-max=1"});
    Agent agent(keeper);
    const std::string all = fmt::format("{:016x}", keepers_capabilities().bits());
    const std::string none(16, '0');
    // Once as it was born, once as it executed itself anew.
    for (const char* id : {"first", "second"}) {
        agent.start(id, "actor", plain_grant({"actor", "hold"}));
        const auto pid = static_cast<pid_t>(agent.expect<wire::Started>().pid);
        for (const char* name : {"CapPrm", "CapEff", "CapBnd"}) {
            EXPECT_EQ(capabilities_in(keeper.pid(), name), all) << name;
            EXPECT_EQ(capabilities_in(pid, name), none) << name;
        }
        for (const char* name : {"CapInh", "CapAmb"}) {
            EXPECT_EQ(capabilities_in(keeper.pid(), name), none) << name;
        }
        agent.send(wire::Kill{id});
        (void)agent.expect<wire::Exited>();
    }
}

TEST_F(Keeper, TheWritableLayerOfAnImageWorksWithThePowersItKept) {
    KeeperProcess keeper;
    Agent agent(keeper);
    ::chmod(keeper.folder().c_str(), 0755);
    const fs::path lower = keeper.folder() / "lower";
    const fs::path rw = keeper.folder() / "rw";
    fs::create_directories(lower / "home/old");
    fs::create_directories(rw / "upper");
    fs::create_directories(rw / "work");
    std::ofstream(lower / "home/log") << "before\n";
    fs::create_directories(lower / "tmp");
    ::chmod((lower / "tmp").c_str(), 01777);
    std::ofstream(lower / "home/gone") << "x";
    std::ofstream(lower / "home/roots") << "x";
    for (const char* path : {"home", "home/log", "home/gone", "home/old"}) {
        ASSERT_EQ(::chown((lower / path).c_str(), 1000, 1000), 0);
    }
    ::chmod((lower / "home").c_str(), 02750);
    ::chmod((lower / "home/log").c_str(), 0600);
    ::chmod((lower / "home/roots").c_str(), 0644);
    auto grant = plain_grant(
        {"actor",    "append",        "/home/log", "after", ";",     "remove",    "/home/gone",
         ";",        "remove",        "/home/old", ";",     "mkdir", "/home/old", ";",
         "write",    "/home/old/new", "x",         ";",     "read",  "/home/log", ";",
         "remove",   "/home/roots",   ";",         "ls",    "/home", ";",         "ls",
         "/home/old"});
    grant.identity.uid = grant.identity.gid = 1000;
    grant.root = wire::Root{wire::RootKind::layers,  {lower}, rw / "upper", rw / "work", 0,
                            wire::Access::read_write};
    EXPECT_EQ(agent.run("layers", "actor", grant).exit_code, 0) << agent.log_of("layers");
    EXPECT_EQ(agent.log_of("layers"), "before\nafter\nlog\nold\nnew\n");
    EXPECT_EQ(*os::read_file(lower / "home/log", 1_KiB), "before\n");
    struct stat facts{};
    ASSERT_EQ(::stat((rw / "upper/home").c_str(), &facts), 0);
    EXPECT_EQ(facts.st_uid, grant.identity.host_base + 1000);
    EXPECT_EQ(facts.st_mode & 07777U, 02750U);
}

// Runs a guest under a keeper that is started by a process with these capabilities; its exit code.
int run_started_by(os::CapabilitySet own, os::CapabilitySet started) {
    (void)testing::guest("actor");
    const pid_t pid = ::fork();
    if (pid == 0) {
        if (!os::keep_capabilities(own, started)) {
            ::_exit(50);
        }
        int code = 0;
        {
            KeeperProcess keeper;
            Agent agent(keeper);
            code = agent.run("a", "actor", plain_grant({"actor", "exit", "5"})).exit_code;
        }
        ::_exit(code);
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(Keeper, ServesAnAgentWithFewerCapabilitiesThanItsOwn) {
    if (!sandbox::can_confine()) {
        GTEST_SKIP() << "needs root";
    }
    // A program that gains some at its execution is not dumpable: /proc is less open to it.
    const os::CapabilitySet agents{CAP_SYS_ADMIN, CAP_CHOWN, CAP_DAC_OVERRIDE};
    EXPECT_EQ(run_started_by(agents, keepers_capabilities()), 5);
}

TEST_F(Keeper, GoesOnWithoutACapabilityThatThisStartDoesNotNeed) {
    if (!sandbox::can_confine()) {
        GTEST_SKIP() << "needs root";
    }
    EXPECT_EQ(run_started_by(keepers_capabilities() - os::CapabilitySet{CAP_SETFCAP}, {}), 5);
}

TEST_F(Keeper, LogsAFloodInOrder) {
    KeeperProcess keeper;
    Agent agent(keeper);
    auto grant = plain_grant({"actor", "flood", "20000", "100"});
    grant.log.slot_bytes_max = 4 << 20;
    EXPECT_EQ(agent.run("a", "actor", grant).exit_code, 0);
    const auto page = agent.page_of("a");
    EXPECT_EQ(page.lines, 20000U);
    EXPECT_EQ(page.lines_lost, 0U);
    const std::string log = agent.log_of("a");
    EXPECT_EQ(std::ranges::count(log, '\n'), 20000);
}

TEST_F(Keeper, DiesWithItsParentIfToldSo) {
    // A parent of its own: a child of this test that starts a keeper, a runner, and is killed.
    auto pipe = *os::make_pipe();
    const pid_t parent = ::fork();
    if (parent == 0) {
        KeeperProcess keeper({"--die-with-parent"});
        Agent agent(keeper);
        agent.start("a", "actor", plain_grant({"actor", "hold"}));
        const pid_t pids[2] = {keeper.pid(), static_cast<pid_t>(agent.expect<wire::Started>().pid)};
        (void)!::write(pipe.write.get(), pids, sizeof pids);
        ::pause();
    }
    pid_t pids[2] = {};
    ASSERT_EQ(::read(pipe.read.get(), pids, sizeof pids), static_cast<ssize_t>(sizeof pids));
    auto keeper = *os::open_pidfd(pids[0]);
    auto runner = *os::open_pidfd(pids[1]);
    ::kill(parent, SIGKILL);
    EXPECT_TRUE(os::wait_ended(runner.get(), 10'000));
    EXPECT_TRUE(os::wait_ended(keeper.get(), 10'000));
    while (::waitpid(-1, nullptr, 0) > 0) {
    }
}

TEST_F(Keeper, ServesAnOrdinaryUser) {
    auto pipe = *os::make_pipe();
    (void)testing::guest("actor");
    const pid_t user = ::fork();
    if (user == 0) {
        if (::setgroups(0, nullptr) < 0 || ::setresgid(12345, 12345, 12345) < 0 ||
            ::setresuid(12345, 12345, 12345) < 0) {
            ::_exit(50);
        }
        if (::access((tests_program_folder() / "skiff-engine").c_str(), X_OK) < 0) {
            ::_exit(77);
        }
        int code = 0;
        {
            KeeperProcess keeper;
            Agent agent(keeper);
            auto grant = plain_grant({"actor", "read", "/etc/motd", ";", "exit", "5"});
            grant.cgroups = {"/sys/fs/cgroup/memory"};
            wire::Mount motd;
            motd.kind = wire::MountKind::file;
            motd.target = "/etc/motd";
            motd.content = "ahoy\n";
            grant.mounts = {motd};
            code = agent.run("a", "actor", grant).exit_code;
            code = agent.log_of("a") == "ahoy\n" ? code : 51;
        }
        ::_exit(code);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(user, &status, 0), user);
    if (WEXITSTATUS(status) == 77) {
        GTEST_SKIP() << "the build folder is closed to other users";
    }
    EXPECT_EQ(WEXITSTATUS(status), 5);
}

}  // namespace
}  // namespace skiff::engine
