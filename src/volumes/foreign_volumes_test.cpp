// Host paths, what others mount, and what hangs.
#include "volumes/volumes_fixture.h"

namespace skiff::volumes {
namespace {

TEST_F(VolumesTest, ChecksTheTypeOfAHostPath) {
    fs::path host = folder / "host";
    fs::create_directories(host / "dir");
    std::ofstream(host / "file") << "x";
    ASSERT_EQ(::mkfifo((host / "fifo").c_str(), 0600), 0);
    auto& source = add_volume("host").hostPath.emplace();
    struct Case {
        std::string path;
        std::string type;
        std::string problem;  // empty: fine
    };
    const Case cases[] = {
        {"dir", "", ""},
        {"dir", "Directory", ""},
        {"dir", "File", "is not a file"},
        {"file", "File", ""},
        {"file", "Directory", "is not a directory"},
        {"file", "DirectoryOrCreate", "is not a directory"},
        {"file", "Socket", "is not a socket file"},
        {"fifo", "File", "is not a file"},
        {"file", "CharDevice", "is not a character device"},
        {"file", "BlockDevice", "is not a block device"},
        {"absent", "Directory", "hostPath type check failed"},
        {"absent", "File", "is not a file"},
        {"dir", "Directoryy", "is an invalid volume type"},
        {"x/../y", "", "must not contain '..'"},
        {"made/deep", "DirectoryOrCreate", ""},
        {"made/file", "FileOrCreate", ""},
        {"made/untyped", "", ""},
    };
    for (const Case& c : cases) {
        source.path = (host / c.path).string();
        source.type = c.type;
        auto mounted = set_up();
        EXPECT_EQ(mounted.has_value(), c.problem.empty()) << c.path << " " << c.type;
        if (!mounted) {
            EXPECT_NE(mounted.error().message.find(c.problem), std::string::npos)
                << mounted.error().message;
        }
    }
    EXPECT_EQ(mode_of(host / "made/deep"), 0755U);
    EXPECT_EQ(mode_of(host / "made/file"), 0644U);
    source.path = (host / "dir").string();
    source.type = "Directory";
    auto mounted = set_up();
    ASSERT_TRUE(mounted);
    EXPECT_EQ(mounted->at("host").origin, pods::VolumeOrigin::foreign);
    ASSERT_TRUE(tear_down());
    EXPECT_TRUE(fs::exists(host / "file"));
}

TEST_F(VolumesTest, AHostPathThatCannotMapIdsDecidesForThePod) {
    fs::path host = folder / "host";
    fs::create_directories(host / "deep");
    add_volume("host").hostPath.emplace().path = host.string();
    add_volume("scratch").emptyDir.emplace();
    os::IdMapProbe probe = *os::IdMapProbe::create();
    auto with = [&](ForeignVolumes::MachineIds machine_ids) {
        async::run_to_end(reactor, volumes->stop());
        volumes = std::make_unique<PodVolumes>(reactor.executor(), paths, objects, pools, clock,
                                               ForeignVolumes{&probe, machine_ids});
        return set_up();
    };
    auto mounted = with(ForeignVolumes::MachineIds::forbidden);
    ASSERT_TRUE(mounted) << mounted.error().message;
    EXPECT_EQ(mounted->at("host").ids, pods::VolumeIds::of_pod);
    EXPECT_EQ(mounted->at("scratch").ids, pods::VolumeIds::of_pod);
    // Also when it only comes along below the folder.
    ASSERT_EQ(::mount("ramfs", (host / "deep").c_str(), "ramfs", 0, nullptr), 0);
    mounted = with(ForeignVolumes::MachineIds::allowed);
    ASSERT_TRUE(mounted) << mounted.error().message;
    EXPECT_EQ(mounted->at("host").ids, pods::VolumeIds::of_machine);
    EXPECT_EQ(mounted->at("scratch").ids, pods::VolumeIds::of_machine);
    mounted = with(ForeignVolumes::MachineIds::forbidden);
    ASSERT_FALSE(mounted);
    EXPECT_EQ(mounted.error().reason, "FailedMount");
    for (std::string part : {"volume \"host\"", "ramfs", "hostPathMachineIds"}) {
        EXPECT_NE(mounted.error().message.find(part), std::string::npos) << mounted.error().message;
    }
    EXPECT_NE(mounted.error().message.find((host / "deep").string()), std::string::npos);
    ASSERT_TRUE(os::unmount(host / "deep"));
}

TEST_F(VolumesTest, TearDownLeavesForeignFilesAlone) {
    add_volume("scratch").emptyDir.emplace();
    fs::path at = must_set_up("scratch");
    fs::create_directory(folder / "outside");
    std::ofstream(folder / "outside/precious") << "x";
    fs::create_symlink(folder / "outside", at / "link");
    ASSERT_TRUE(resolve(at, "logs"));
    ASSERT_TRUE(tear_down());
    ASSERT_TRUE(tear_down());
    EXPECT_TRUE(fs::exists(folder / "outside/precious"));
    EXPECT_FALSE(fs::exists(at));
    pod.metadata.uid = "../../evil";
    EXPECT_EQ(tear_down().error().code, Code::invalid);
    EXPECT_EQ(set_up().error().code, Code::invalid);
}

TEST_F(VolumesTest, NothingIsRemovedWhileSomebodyElseHasMountedThere) {
    objects.secrets["s"].data["password"] = {"hunter2"};
    add_volume("sec").secret.emplace().secretName = "s";
    add_volume("scratch").emptyDir.emplace();
    auto mounted = set_up();
    ASSERT_TRUE(mounted);
    fs::path secret = mounted->at("sec").path;
    fs::path scratch = mounted->at("scratch").path;
    fs::path inside = scratch / "foreign";
    fs::path beside = paths.pod_volume(PodUid(pod.metadata.uid), "example.com~driver", "data");
    std::ofstream(scratch / "kept") << "x";
    for (const fs::path& foreign : {inside, beside}) {
        fs::create_directories(foreign);
        ASSERT_TRUE(os::mount_tmpfs(foreign, os::TmpfsOptions{}));
        std::ofstream(foreign / "precious") << "x";
        auto refused = tear_down();
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().code, Code::conflict);
        EXPECT_NE(refused.error().message.find(foreign.string()), std::string::npos);
        EXPECT_TRUE(fs::exists(foreign / "precious"));
        EXPECT_TRUE(fs::exists(scratch / "kept"));
        EXPECT_TRUE(is_tmpfs(secret));
        ASSERT_TRUE(os::unmount(foreign));
    }
    ASSERT_TRUE(tear_down());
    EXPECT_FALSE(fs::exists(paths.pod_volumes(PodUid(pod.metadata.uid))));
}

TEST_F(VolumesTest, TearDownWaitsForWorkThatWasCancelled) {
    objects.secrets["s"].data["k"] = kube::Base64{"v"};
    add_volume("sec").secret.emplace().secretName = "s";
    auto begin = [](PodVolumes& v, const kube::Pod& p, const pods::PodFacts& f) -> Task<void> {
        auto mounted = co_await v.set_up(p, f);
    };
    auto body = [&]() -> Task<void> {
        async::Scope scope(reactor.executor());
        scope.spawn("set up", begin(*volumes, pod, facts));
        for (int i = 0; i < 4; ++i) {
            co_await async::yield_now();
        }
        co_await scope.stop();
        PodUid uid(pod.metadata.uid);
        auto gone = co_await volumes->tear_down(uid);
        EXPECT_TRUE(gone);
    };
    async::run_to_end(reactor, body());
    EXPECT_FALSE(fs::exists(paths.pod(PodUid(pod.metadata.uid))));
}

TEST_F(VolumesTest, AHostPathThatHangsFailsOnlyThePodsThatMountIt) {
    // As on a mount whose server is gone: the only thread for foreign paths does not come back.
    std::promise<void> server;
    std::atomic<bool> hangs = false;
    std::function<Result<int>()> hang = [&, back = server.get_future().share()]() -> Result<int> {
        hangs = true;
        back.wait();
        return 1;
    };
    auto touch = [](async::BlockingPool& its, std::function<Result<int>()> work) -> Task<void> {
        (void)co_await its.run(std::move(work));
    };
    auto body = [&]() -> Task<void> {
        async::Scope scope(reactor.executor());
        scope.spawn("hang", touch(foreign_pool, hang));
        while (!hangs) {
            (void)co_await async::sleep_for(std::chrono::milliseconds(1));
        }
        add_volume("scratch").emptyDir = kube::EmptyDirVolumeSource();
        EXPECT_TRUE(co_await volumes->set_up(pod, facts));
        kube::Pod other = pod;
        add_volume("nfs").hostPath = kube::HostPathVolumeSource{folder.string(), {}};
        Pools hasty{pool, foreign_pool, std::chrono::milliseconds(20)};
        PodVolumes impatient(reactor.executor(), paths, objects, hasty, clock);
        // The second try joins the call that the first one made.
        for (int i = 0; i < 2; ++i) {
            auto failed = co_await impatient.set_up(pod, facts);
            EXPECT_EQ(failed.error().code, Code::timeout) << failed.error().message;
            EXPECT_EQ(failed.error().reason, "FailedMount");
            EXPECT_NE(failed.error().message.find("does not answer within 20ms"),
                      std::string::npos);
        }
        pods::MountedVolume foreign;
        foreign.path = folder;
        foreign.origin = pods::VolumeOrigin::foreign;
        auto below = co_await impatient.resolve_mount(pod, foreign, "below");
        EXPECT_EQ(below.error().code, Code::timeout);
        EXPECT_TRUE(co_await volumes->set_up(other, facts));
        EXPECT_TRUE(co_await impatient.tear_down(PodUid(pod.metadata.uid)));
        server.set_value();
        EXPECT_TRUE(co_await scope.join());
        co_await impatient.stop();
        while (foreign_pool.longest_wait() > Duration::zero()) {
            (void)co_await async::sleep_for(std::chrono::milliseconds(1));
        }
        EXPECT_TRUE(co_await volumes->set_up(pod, facts));
    };
    async::run_to_end(reactor, body());
}

}  // namespace
}  // namespace skiff::volumes
