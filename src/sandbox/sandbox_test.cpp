// The cage, tried from inside: each case is a child that confines itself exactly as a runner does
// and then misbehaves natively, as a guest would that broke out of its engine.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <functional>

#include "os/file.h"
#include "os/mount.h"
#include "os/process.h"
#include "sandbox/cage_fixture.h"
#include "sandbox/landlock.h"
#include "sandbox/user_namespace.h"

namespace skiff::sandbox {
namespace {

TEST_F(Cage, LetsAnHonestGuestWork) {
    const Ending ending = run(*plain().build(), [] {
        void* memory =
            ::mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return memory == MAP_FAILED ? 1 : 7;
    });
    EXPECT_EQ(ending.error, "");
    EXPECT_EQ(ending.code, 7);
}

TEST_F(Cage, KillsWhoStartsAProgramOrAProcess) {
    expect_killed("execve", [] { return failed_with(::execl("/bin/true", "true", nullptr)); });
    expect_killed("execveat", [] {
        return failed_with(::syscall(SYS_execveat, 0, "", nullptr, nullptr, AT_EMPTY_PATH));
    });
    expect_killed("fork", [] { return failed_with(::syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)); });
    expect_killed("namespaces by clone", [] {
        return failed_with(
            ::syscall(SYS_clone, CLONE_THREAD | CLONE_VM | CLONE_SIGHAND | CLONE_NEWUSER, 0, 0, 0));
    });
    EXPECT_EQ(
        run(*plain().build(), [] { return failed_with(::syscall(SYS_clone3, nullptr, 0)); }).code,
        ENOSYS);
}

TEST_F(Cage, KillsWhoMakesMemoryExecutable) {
    expect_killed("mmap", [] {
        return ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
                       MAP_FAILED
                   ? 1
                   : 0;
    });
    expect_killed("mprotect", [] {
        void* memory =
            ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return ::mprotect(memory, 4096, PROT_READ | PROT_EXEC);
    });
    expect_killed("pkey_mprotect", [] {
        return static_cast<int>(::syscall(SYS_pkey_mprotect, 0, 4096, PROT_EXEC, -1));
    });
    expect_killed("personality", [] { return ::personality(READ_IMPLIES_EXEC); });
    expect_killed("shmat", [] { return static_cast<int>(::syscall(SYS_shmat, 0, 0, 0)); });
    expect_killed("memfd", [] { return static_cast<int>(::syscall(SYS_memfd_create, "x", 0)); });
}

const std::pair<const char*, long> kForbidden[] = {
    {"mount", SYS_mount},
    {"umount2", SYS_umount2},
    {"open_tree", SYS_open_tree},
    {"move_mount", SYS_move_mount},
    {"fsopen", SYS_fsopen},
    {"mount_setattr", SYS_mount_setattr},
    {"pivot_root", SYS_pivot_root},
    {"chroot", SYS_chroot},
    {"unshare", SYS_unshare},
    {"setns", SYS_setns},
    {"ptrace", SYS_ptrace},
    {"process_vm_readv", SYS_process_vm_readv},
    {"process_vm_writev", SYS_process_vm_writev},
    {"pidfd_open", SYS_pidfd_open},
    {"pidfd_getfd", SYS_pidfd_getfd},
    {"kill", SYS_kill},
    {"bpf", SYS_bpf},
    {"perf_event_open", SYS_perf_event_open},
    {"userfaultfd", SYS_userfaultfd},
    {"io_uring_setup", SYS_io_uring_setup},
    {"keyctl", SYS_keyctl},
    {"add_key", SYS_add_key},
    {"init_module", SYS_init_module},
    {"finit_module", SYS_finit_module},
    {"kexec_load", SYS_kexec_load},
    {"reboot", SYS_reboot},
    {"sethostname", SYS_sethostname},
    {"setuid", SYS_setuid},
    {"setresuid", SYS_setresuid},
    {"setgroups", SYS_setgroups},
    {"capset", SYS_capset},
    {"open_by_handle_at", SYS_open_by_handle_at},
    {"name_to_handle_at", SYS_name_to_handle_at},
    {"mknodat", SYS_mknodat},
    {"fchmodat", SYS_fchmodat},
    {"fchownat", SYS_fchownat},
    {"msgget", SYS_msgget},
    {"semget", SYS_semget},
    {"shmget", SYS_shmget},
    {"mq_open", SYS_mq_open},
    {"seccomp", SYS_seccomp},
    {"setrlimit", SYS_setrlimit},
    {"sched_setscheduler", SYS_sched_setscheduler},
    {"syslog", SYS_syslog},
    {"quotactl", SYS_quotactl},
    {"swapon", SYS_swapon},
    {"settimeofday", SYS_settimeofday},
    {"landlock_restrict_self", 446},
    {"vmsplice", SYS_vmsplice},
    {"splice", SYS_splice},
    {"fanotify_init", SYS_fanotify_init},
    {"inotify_init1", SYS_inotify_init1},
    {"recvmsg", SYS_recvmsg},
    {"sendmsg", SYS_sendmsg},
};

TEST_F(Cage, KillsWhoTouchesTheMachine) {
    for (const auto& [name, number] : kForbidden) {
        expect_killed(
            name, [number = number] { return failed_with(::syscall(number, 0, 0, 0, 0, 0, 0)); });
    }
    expect_killed("prctl", [] { return ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); });
    // Modes may be set, but not so that a file lends its owner's ids.
    expect_killed("fchmod setuid", [] { return failed_with(::fchmod(-1, 04755)); });
    expect_killed("fchmod setgid", [] { return failed_with(::fchmod(-1, 02755)); });
    EXPECT_EQ(run(*plain().build(), [] { return failed_with(::fchmod(-1, 01755)); }).code, EBADF);
}

TEST_F(Cage, AnswersSocketsWithAnError) {
    const Policy policy = *plain().build();
    for (const int family : {AF_INET, AF_INET6, AF_UNIX, AF_NETLINK, AF_PACKET}) {
        const Ending ending =
            run(policy, [family] { return failed_with(::socket(family, SOCK_STREAM, 0)); });
        EXPECT_EQ(ending.code, EACCES) << family;
    }
}

TEST_F(Cage, NetworkProfileOpensInetSocketsOnly) {
    auto builder = plain();
    const Policy policy = *builder.allow_syscalls(SyscallProfile::command_network).build();
    const auto open = [&](int family, int type, int protocol = 0) {
        return run(policy, [=] { return failed_with(::socket(family, type, protocol)); });
    };
    EXPECT_EQ(open(AF_INET, SOCK_STREAM).code, 0);
    EXPECT_EQ(open(AF_INET6, SOCK_DGRAM).code, 0);
    EXPECT_EQ(open(AF_INET, SOCK_RAW, IPPROTO_ICMP).code, EPERM);
    EXPECT_EQ(open(AF_UNIX, SOCK_STREAM).code, EAFNOSUPPORT);
    EXPECT_EQ(open(AF_PACKET, SOCK_RAW).signal, SIGSYS);
    // The network is empty: not even loopback is up.
    const Ending ending = run(policy, [] {
        const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(10250);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return failed_with(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address));
    });
    EXPECT_EQ(ending.code, ENETUNREACH);
}

TEST_F(Cage, ShowsNothingOfTheMachinesFiles) {
    const Ending ending = run(*plain().build(), [] {
        for (const char* path : {"/etc/passwd", "/proc/self/status", "/proc", "/sys", "/dev/null",
                                 "/root", "/work", "/var", "/../etc/shadow"}) {
            if (::open(path, O_RDONLY) >= 0 || errno != ENOENT) {
                return 1;
            }
        }
        return ::openat(AT_FDCWD, "/x", O_WRONLY | O_CREAT, 0644) < 0 && errno == EROFS ? 0 : 2;
    });
    EXPECT_EQ(ending.error, "");
    EXPECT_EQ(ending.code, 0);
}

TEST_F(Cage, MapsIdsOfVolumesToThePodsRange) {
    const fs::path mine = folder_ / "mine";
    fs::create_directory(mine);
    ASSERT_EQ(::chown(mine.c_str(), 1000, 1000), 0);
    ASSERT_EQ(::chmod(mine.c_str(), 0700), 0);
    TreeEntry entry;
    entry.target = "/data/deep";
    entry.source = mine;
    entry.access = Access::read_write;
    const auto policy_for = [&](std::uint32_t uid) {
        auto builder = plain();
        return *builder.run_as({uid, uid, {}}).add(entry).build();
    };
    const auto write = [] {
        return failed_with(::openat(AT_FDCWD, "/data/deep/f", O_WRONLY | O_CREAT, 0600));
    };
    // As under runc with all capabilities dropped: root without power is not the owner.
    EXPECT_EQ(run(policy_for(0), write).code, EACCES);
    const Ending ending = run(policy_for(1000), write);
    EXPECT_EQ(ending.error, "");
    EXPECT_EQ(ending.code, 0);
    struct stat facts{};
    ASSERT_EQ(::stat((mine / "f").c_str(), &facts), 0);
    EXPECT_EQ(facts.st_uid, 1000U);
    EXPECT_EQ(facts.st_gid, 1000U);
}

TEST_F(Cage, ReadOnlyVolumesAreReadOnlyInTheKernel) {
    const fs::path volume = folder_ / "ro";
    fs::create_directory(volume);
    std::ofstream(volume / "f") << "content";
    ::chmod(volume.c_str(), 0777);
    ::chmod((volume / "f").c_str(), 0666);
    TreeEntry entry;
    entry.target = "/data";
    entry.source = volume;
    auto builder = plain();
    const Ending ending = run(*builder.add(entry).build(), [] {
        const int dir = ::open("/data", O_RDONLY | O_DIRECTORY);
        if (dir < 0) {
            return 100;
        }
        int done = 0;
        done += ::openat(dir, "f", O_WRONLY) >= 0;
        done += ::openat(dir, "f", O_RDONLY | O_TRUNC) >= 0;
        done += ::openat(dir, "g", O_WRONLY | O_CREAT, 0644) >= 0;
        done += ::unlinkat(dir, "f", 0) == 0;
        done += ::renameat(dir, "f", dir, "h") == 0;
        done += ::linkat(dir, "f", dir, "h", 0) == 0;
        done += ::symlinkat("f", dir, "h") == 0;
        done += ::mkdirat(dir, "h", 0755) == 0;
        return done;
    });
    EXPECT_EQ(ending.error, "");
    EXPECT_EQ(ending.code, 0);
    EXPECT_EQ(*os::read_file(volume / "f", 1_KiB), "content");
}

TEST_F(Cage, TakesWhatIsMountedBelowAFolderToo) {
    const fs::path host = folder_ / "host";
    fs::create_directories(host / "below");
    ASSERT_EQ(::mount("tmpfs", (host / "below").c_str(), "tmpfs", 0, "mode=0755"), 0);
    fs::create_directories(host / "below/deep");
    ASSERT_EQ(::mount("tmpfs", (host / "below/deep").c_str(), "tmpfs", 0, "mode=0755"), 0);
    ASSERT_EQ(::mount(nullptr, (host / "below").c_str(), nullptr, MS_SHARED, nullptr), 0);
    ASSERT_EQ(::mknod((host / "below/deep/null").c_str(), S_IFCHR | 0666, makedev(1, 3)), 0);
    ::chmod((host / "below/deep/null").c_str(), 0666);
    ASSERT_EQ(::chown((host / "below/deep").c_str(), 1000, 1000), 0);
    TreeEntry entry;
    entry.kind = TreeEntry::Kind::bind_tree;
    entry.target = "/data";
    entry.source = host;
    const auto policy_with = [&](Access access) {
        entry.access = access;
        auto builder = plain();
        return *builder.run_as({1000, 1000, {}}).add(entry).build();
    };
    const auto write = [] {
        return failed_with(::open("/data/below/deep/f", O_WRONLY | O_CREAT, 0600));
    };
    // Read-only is so for the mounts below as well, which a kubelet leaves writable.
    Ending ending = run(policy_with(Access::read_only), write);
    EXPECT_EQ(ending.error, "");
    EXPECT_EQ(ending.code, EROFS);
    ending = run(policy_with(Access::read_write), write);
    EXPECT_EQ(ending.error, "");
    EXPECT_EQ(ending.code, 0);
    struct stat facts{};
    ASSERT_EQ(::stat((host / "below/deep/f").c_str(), &facts), 0);
    EXPECT_EQ(facts.st_uid, 1000U);
    const auto device = [] { return failed_with(::open("/data/below/deep/null", O_RDONLY)); };
    EXPECT_EQ(run(policy_with(Access::read_write), device).code, EACCES);
    entry.kind = TreeEntry::Kind::bind;
    EXPECT_EQ(run(policy_with(Access::read_write), write).code, ENOENT);
    ASSERT_TRUE(os::unmount_below(host));
}

TEST_F(Cage, PlacesFilesAndMemory) {
    TreeEntry hosts;
    hosts.kind = TreeEntry::Kind::file;
    hosts.target = "/etc/hosts";
    hosts.content = "127.0.0.1 localhost\n";
    hosts.mode = 0644;
    TreeEntry scratch;
    scratch.kind = TreeEntry::Kind::tmpfs;
    scratch.target = "/tmp";
    scratch.access = Access::read_write;
    scratch.bytes_max = 1 << 20;
    scratch.mode = 0700;
    auto builder = plain();
    builder.run_as({7, 8, {9}}).add(hosts).add(scratch);
    const Ending ending = run(*builder.build(), [] {
        char text[64] = {};
        const int fd = ::open("/etc/hosts", O_RDONLY);
        if (::read(fd, text, sizeof text - 1) != 20 ||
            std::string_view(text) != "127.0.0.1 localhost\n") {
            return 1;
        }
        if (::open("/etc/hosts", O_WRONLY) >= 0 || errno != EACCES) {
            return 2;
        }
        const int file = ::open("/tmp/x", O_RDWR | O_CREAT, 0600);
        if (file < 0) {
            return 3;
        }
        std::vector<char> block(1 << 20);
        long written = 0;
        while (true) {
            const long n = ::write(file, block.data(), block.size());
            if (n < 0) {
                return errno == ENOSPC && written <= (1 << 20) ? 0 : 4;
            }
            written += n;
        }
    });
    EXPECT_EQ(ending.error, "");
    EXPECT_EQ(ending.code, 0);
}

TEST_F(Cage, ComposesImageLayers) {
    fs::create_directories(folder_ / "lower/etc");
    fs::create_directories(folder_ / "upper-layer/app");
    fs::create_directories(folder_ / "rw/upper");
    fs::create_directories(folder_ / "rw/work");
    std::ofstream(folder_ / "lower/etc/name") << "old";
    std::ofstream(folder_ / "lower/keep") << "kept";
    std::ofstream(folder_ / "upper-layer/app/name") << "new";
    fs::create_symlink("app/name", folder_ / "lower/link");
    fs::create_symlink("/escape", folder_ / "lower/trap");
    RootPlan plan;
    plan.layers = {folder_ / "upper-layer", folder_ / "lower"};
    plan.access = Access::read_write;
    TreeEntry hosts;
    hosts.kind = TreeEntry::Kind::file;
    hosts.target = "/trap/hosts";  // through the image's own link, within the container
    hosts.content = "x";
    const auto act = [] {
        if (::open("/keep", O_RDONLY) < 0 || ::open("/link", O_RDONLY) < 0 ||
            ::open("/etc/name", O_RDONLY) < 0) {
            return 1;
        }
        const int fd = ::open("/etc/name", O_WRONLY | O_TRUNC);
        return fd >= 0 ? 0 : errno;
    };
    // Nowhere to write: the root is read-only.
    auto fixed = plain();
    Ending ending = run(*fixed.use_layers(plan).build(), act);
    EXPECT_EQ(ending.error, "");
    EXPECT_EQ(ending.code, EROFS);
    plan.upper = folder_ / "rw/upper";
    plan.work = folder_ / "rw/work";
    fs::create_directory(folder_ / "lower/escape");
    auto writable = plain();
    ending = run(*writable.use_layers(plan).add(hosts).build(), act);
    EXPECT_EQ(ending.error, "");
    EXPECT_EQ(ending.code, 0);
    // The write went to the writable layer as the pod's own root; the image is as it was.
    EXPECT_EQ(*os::read_file(folder_ / "lower/etc/name", 1_KiB), "old");
    struct stat facts{};
    ASSERT_EQ(::stat((folder_ / "rw/upper/etc/name").c_str(), &facts), 0);
    EXPECT_EQ(facts.st_uid, kBase);
    EXPECT_FALSE(fs::exists("/escape"));
    fs::remove_all(folder_ / "rw/work");
}

TEST_F(Cage, NamesTheStageAndTheCauseOfAFailure) {
    TreeEntry entry;
    entry.target = "/data";
    entry.source = folder_ / "missing";
    auto builder = plain();
    const Ending ending = run(*builder.add(entry).build(), [] { return 0; });
    EXPECT_EQ(ending.code, 99);
    EXPECT_TRUE(ending.error.starts_with("mounts: mount /data: ")) << ending.error;
    EXPECT_TRUE(ending.error.find("No such file") != std::string::npos) << ending.error;
    auto second = plain();
    second.join_cgroup("/sys/fs/cgroup/no-such-group");
    EXPECT_TRUE(run(*second.build(), [] { return 0; }).error.starts_with("cgroup: "));
}

TEST_F(Cage, HasNoPowerAndItsOwnNamespaces) {
    auto pipe = *os::make_pipe();
    auto reply = *os::make_pipe();
    SyscallFilter filter = *SyscallFilter::build(SyscallProfile::command);
    auto builder = plain();
    const Policy policy = *builder.run_as({1000, 1001, {1002}}).name_host("boat").build();
    const pid_t pid = ::fork();
    if (pid == 0) {
        Confinement confinement(policy, shared_, filter);
        const bool done = confinement.build() && confinement.enter() && confinement.lock();
        char byte = done ? 'k' : 'x';
        (void)!::write(pipe.write.get(), &byte, 1);
        (void)!::read(reply.read.get(), &byte, 1);
        ::_exit(0);
    }
    char byte = 0;
    ASSERT_EQ(::read(pipe.read.get(), &byte, 1), 1);
    ASSERT_EQ(byte, 'k');
    const std::string proc = fmt::format("/proc/{}", pid);
    const std::string status = *os::read_kernel_file(proc + "/status");
    for (const char* line : {"CapInh:\t0000000000000000\n", "CapPrm:\t0000000000000000\n",
                             "CapEff:\t0000000000000000\n", "CapBnd:\t0000000000000000\n",
                             "CapAmb:\t0000000000000000\n", "NoNewPrivs:\t1\n", "Seccomp:\t2\n",
                             "Groups:\t536871914"}) {
        EXPECT_NE(status.find(line), std::string::npos) << line << status;
    }
    EXPECT_NE(status.find(fmt::format("Uid:\t{0}\t{0}\t{0}\t{0}\n", kBase + 1000)),
              std::string::npos);
    // This process has left the machine's IPC, as a keeper has.
    const std::string machine = fmt::format("/proc/{}/ns/", ::getppid());
    for (const char* kind : {"mnt", "net", "ipc", "uts", "user"}) {
        EXPECT_NE(fs::read_symlink(proc + "/ns/" + kind), fs::read_symlink(machine + kind)) << kind;
    }
    // One mount: its root.
    EXPECT_EQ(std::ranges::count(*os::read_kernel_file(proc + "/mountinfo"), '\n'), 1);
    EXPECT_EQ(fs::read_symlink(proc + "/root"), "/");
    (void)!::write(reply.write.get(), &byte, 1);
    ::waitpid(pid, nullptr, 0);
}

// The folder itself may be a mount, and stays one.
bool detach_all_below(const fs::path& folder) {
    auto found = os::mounts_below(folder);
    return found && std::ranges::all_of(*found, [&](const fs::path& mount) {
               return mount == folder || os::unmount(mount);
           });
}

// In a mount namespace where nobody else mounts; what the cage would leave there it would have to
// propagate, so everything is shared. Mounts of other tests are taken out before: when their
// folders are removed, they go in every namespace.
TEST_F(Cage, LeavesNoMountBehind) {
    const pid_t pid = ::fork();
    if (pid == 0) {
        const bool alone = ::unshare(CLONE_NEWNS) == 0 &&
                           ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                           detach_all_below(fs::temp_directory_path()) &&
                           ::mount(nullptr, "/", nullptr, MS_REC | MS_SHARED, nullptr) == 0;
        const auto before = *os::read_kernel_file("/proc/self/mountinfo");
        const Ending ending = run(*plain().build(), [] { return 7; });
        const bool same = *os::read_kernel_file("/proc/self/mountinfo") == before;
        ::_exit(!alone ? 1 : ending.code != 7 ? 2 : same ? 0 : 3);
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(Cage, UserNamespaceHasTheRangeAndNoMore) {
    const Policy policy = *PolicyBuilder().map_ids({kBase, 10}).run_as({0, 0, {}}).build();
    const auto made = os::create_user_namespace(id_maps(policy));
    ASSERT_TRUE(made) << made.error().message;
    const pid_t pid = ::fork();
    if (pid == 0) {
        if (::setns(made->get(), CLONE_NEWUSER) < 0) {
            ::_exit(1);
        }
        const auto map = os::read_kernel_file("/proc/self/uid_map");
        const bool right = map && map->find(std::to_string(kBase)) != std::string::npos;
        ::_exit(right && ::setresuid(10, 10, 10) < 0 && ::setresuid(9, 9, 9) == 0 ? 0 : 2);
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Policy, PrintsEveryPowerItGives) {
    PolicyBuilder builder;
    RootPlan plan;
    plan.layers = {"/l/2", "/l/1"};
    plan.upper = "/up";
    plan.work = "/wk";
    plan.access = Access::read_write;
    TreeEntry data;
    data.target = "/data";
    data.source = "/host";
    data.access = Access::read_write;
    TreeEntry hosts;
    hosts.kind = TreeEntry::Kind::file;
    hosts.target = "/etc/hosts";
    hosts.content = "secret";
    hosts.mode = 0644;
    builder.join_cgroup("/cg").map_ids({65536, 65536}).run_as({1, 2, {3, 4}});
    builder.share_host_network(UnrestrictedNetwork{}).name_host("boat").use_layers(plan);
    builder.add(data).add(hosts).allow_syscalls(SyscallProfile::command_network);
    EXPECT_EQ(dump(*builder.build()), R"(cgroup /cg
ids 0..65535 are 65536..131071
user 1 group 2 groups [3, 4]
capabilities none
network host
hostname boat
root layers rw [/l/2, /l/1] upper=/up
mount /data bind rw from=/host ids=mapped
mount /etc/hosts file ro bytes=6 mode=644
open-files 1024
threads 64
landlock on
syscalls command-network
)");
}

TEST(Policy, RefusesWhatItCannotKeep) {
    EXPECT_FALSE(PolicyBuilder().build());
    EXPECT_FALSE(PolicyBuilder().map_ids({kBase, 10}).run_as({10, 0, {}}).build());
    EXPECT_FALSE(PolicyBuilder().map_ids({kBase, 10}).run_as({0, 0, {11}}).build());
    EXPECT_TRUE(PolicyBuilder().map_ids({kBase, 10}).run_as({9, 9, {9}}).build());
    EXPECT_TRUE(PolicyBuilder().keep_machine_ids(MachineIds{}).run_as({12, 0, {}}).build());
    EXPECT_FALSE(PolicyBuilder()
                     .keep_machine_ids(MachineIds{})
                     .open_files_as_machine(MachineFileIds{})
                     .build());
    const Credentials crowd{0, 0, std::vector<std::uint32_t>(kFileGroupsMax + 1, 1)};
    EXPECT_FALSE(PolicyBuilder()
                     .map_ids({kBase, 10})
                     .run_as(crowd)
                     .open_files_as_machine(MachineFileIds{})
                     .build());
    TreeEntry entry;
    entry.target = "/";
    EXPECT_FALSE(PolicyBuilder().map_ids({kBase, 10}).add(entry).build());
}

TEST(Syscalls, KeepWhatTheyPromise) {
    const std::string command = dump(SyscallProfile::command);
    EXPECT_NE(command.find("mmap (never executable)\n"), std::string::npos);
    EXPECT_NE(command.find("clone (threads only)\n"), std::string::npos);
    EXPECT_NE(command.find("clone3 answers ENOSYS\n"), std::string::npos);
    EXPECT_NE(command.find("socket answers EACCES\n"), std::string::npos);
    EXPECT_NE(command.find("fchmod (neither setuid nor setgid)\n"), std::string::npos);
    const std::string compiler = dump(SyscallProfile::compiler);
    for (const char* absent : {"openat\n", "openat (", "socket", "clone (", "unlink", "execve"}) {
        EXPECT_EQ(compiler.find(absent), std::string::npos) << absent;
    }
    EXPECT_LE(count_allowed(SyscallProfile::compiler), 32U);
    EXPECT_LE(count_allowed(SyscallProfile::command), 76U);
}

}  // namespace
}  // namespace skiff::sandbox
