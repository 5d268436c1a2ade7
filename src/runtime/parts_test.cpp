// The parts of the runtime that need neither root nor an engine.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "base/digest.h"
#include "base/limits.h"
#include "base/random.h"
#include "os/file.h"
#include "runtime/artifact_store.h"
#include "runtime/coredumps.h"
#include "runtime/log_files.h"
#include "runtime/mac.h"
#include "runtime/record.h"
#include "runtime/start_plan.h"
#include "state/checkpoint.h"

namespace skiff::runtime {
namespace {

namespace fs = std::filesystem;

class Parts : public testing::Test {
protected:
    Parts() {
        SystemRandom random;
        folder_ = fs::temp_directory_path() / ("skiff-parts-" + random.hex(6));
        paths_.root_dir = folder_ / "root";
        paths_.run_dir = folder_ / "run";
        paths_.pod_log_dir = folder_ / "log/pods";
        paths_.container_log_dir = folder_ / "log/containers";
        for (const auto& path : {paths_.container_records(), paths_.quarantine(), paths_.compiled(),
                                 paths_.checked_artifacts()}) {
            fs::create_directories(path);
        }
    }
    ~Parts() override { (void)os::remove_tree(folder_); }

    static wire::Exited exited(wire::ExitKind kind, int code) {
        wire::Exited value;
        value.kind = kind;
        value.exit_code = code;
        value.message = "from the keeper";
        return value;
    }

    fs::path folder_;
    state::Paths paths_;
};

TEST_F(Parts, ExitsGetTheWordsOfKubernetes) {
    EXPECT_EQ(exit_of(exited(wire::ExitKind::exited, 0), "").reason, "Completed");
    EXPECT_EQ(exit_of(exited(wire::ExitKind::exited, 3), "").reason, "Error");
    EXPECT_EQ(exit_of(exited(wire::ExitKind::out_of_memory, 137), "").reason, "OOMKilled");
    EXPECT_EQ(exit_of(exited(wire::ExitKind::start_failed, 128), "").reason, "StartError");
    auto trapped = exit_of(exited(wire::ExitKind::trapped, 134), "");
    EXPECT_EQ(trapped.kind, pods::ExitKind::trapped);
    EXPECT_EQ(trapped.message, "from the keeper");
    EXPECT_EQ(exit_of(exited(wire::ExitKind::trapped, 134), "from the file").message,
              "from the file");
}

TEST_F(Parts, MessagesAreBoundedAndValidText) {
    std::string wild(10000, '\xff');
    auto stored = exit_of(exited(wire::ExitKind::exited, 1), wild);
    EXPECT_LE(stored.message.size(), 4096U);
    EXPECT_THAT(stored.message, testing::StartsWith("\xef\xbf\xbd"));
}

TEST_F(Parts, RecordsComeBackOldestFirstAndCorruptOnesAreSetAside) {
    for (int i = 0; i < 3; ++i) {
        StoredContainer stored;
        stored.id = std::string(64, static_cast<char>('c' - i));
        stored.pod_uid = "uid";
        stored.name = fmt::format("n{}", i);
        stored.created_ns = i;
        stored.phase = Phase::ended;
        stored.exit.code = 7;
        stored.ids = StoredIds{1, 2, {3, 4}};
        stored.message_fallback = pods::ContainerSpec::MessageFallback::log;
        ASSERT_TRUE(store_container(paths_, stored));
    }
    std::ofstream(paths_.container_records() / "bad") << "not a record";
    auto all = load_containers(paths_);
    ASSERT_EQ(all.size(), 3U);
    EXPECT_EQ(all[0].name, "n0");
    EXPECT_EQ(all[2].name, "n2");
    EXPECT_EQ(all[0].to_record().exit->exit_code, 7);
    EXPECT_EQ(all[0].to_record().ids, (pods::ContainerIds{1, 2, {3, 4}}));
    EXPECT_EQ(all[0].message_fallback, pods::ContainerSpec::MessageFallback::log);
    EXPECT_EQ(os::list_folder(paths_.container_records())->size(), 3U);
    EXPECT_EQ(os::list_folder(paths_.quarantine())->size(), 1U);
}

wire::PageView page_of(const LogFiles& files) {
    wire::PageView page;
    for (auto inode : files.inodes) {
        page.slots.push_back(wire::LogSlot{inode, 0, 0, 0, 0});
    }
    page.slots[0].turn = 1;
    return page;
}

void write_to(const LogFiles& files, std::size_t slot, const std::string& text) {
    ASSERT_TRUE(os::write_all(files.fds[slot].get(), text));
}

std::string contents(const fs::path& path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
}

TEST_F(Parts, LogsOfAPodGoByItsUidAloneAndTakeTheirLinksAlong) {
    PodUid uid("uid-1");
    PodName name{"shop", "web-0"};
    auto make = [this](const PodName& pod, const PodUid& its, const std::string& id) {
        auto folder = paths_.container_logs(pod, its, "main");
        EXPECT_TRUE(make_log_files(folder, 0, 1));
        fs::create_directories(paths_.container_log_dir);
        auto link = paths_.container_log_link(pod, "main", ContainerId(id));
        fs::create_symlink(folder / "0.log", link);
        return link;
    };
    auto gone = make(name, uid, "aaaa");
    auto successor = make(name, PodUid("uid-2"), "bbbb");  // of the same name
    auto other = make(PodName{"shop", "db"}, PodUid("x_uid-1"), "cccc");
    ASSERT_TRUE(remove_pod_logs(paths_, uid));
    ASSERT_TRUE(remove_pod_logs(paths_, uid));
    ASSERT_TRUE(remove_pod_logs(paths_, PodUid("")));
    EXPECT_FALSE(fs::exists(paths_.pod_logs(name, uid)));
    EXPECT_FALSE(fs::is_symlink(gone));
    EXPECT_TRUE(fs::exists(successor));
    EXPECT_TRUE(fs::exists(other)) << "a longer uid that ends the same";
}

TEST_F(Parts, LogsTakeTheNamesThatThePageAsksFor) {
    auto folder = folder_ / "logs";
    auto files = make_log_files(folder, 3, 3);
    ASSERT_TRUE(files);
    EXPECT_THAT(*os::list_folder(folder),
                testing::ElementsAre(".3.log.slot1", ".3.log.slot2", "3.log"));
    auto page = page_of(*files);
    ASSERT_TRUE(name_log_files(folder, 3, page));
    write_to(*files, 0, "first");
    write_to(*files, 1, "second");
    // Two turns end within one second.
    constexpr std::int64_t kClosed = 1'700'000'000'000'000'000;
    page.slots[0].closed_ns = kClosed;
    page.slots[1].turn = 2;
    page.current = 1;
    ASSERT_TRUE(name_log_files(folder, 3, page));
    EXPECT_EQ(contents(folder / "3.log"), "second");
    EXPECT_EQ(contents(folder / "3.log.20231114-221320"), "first");
    write_to(*files, 2, "third");
    page.slots[1].closed_ns = kClosed + 5;
    page.slots[2].turn = 3;
    page.current = 2;
    ASSERT_TRUE(name_log_files(folder, 3, page));
    ASSERT_TRUE(name_log_files(folder, 3, page));
    EXPECT_EQ(contents(folder / "3.log"), "third");
    EXPECT_EQ(contents(folder / "3.log.20231114-221320"), "first");
    EXPECT_EQ(contents(folder / "3.log.20231114-221320-1"), "second");
    // The ring closes: the oldest file is the current one again.
    page.slots[2].closed_ns = kClosed + 2'000'000'000;
    page.slots[0].turn = 4;
    page.slots[0].closed_ns = 0;
    page.current = 0;
    ASSERT_TRUE(name_log_files(folder, 3, page));
    EXPECT_EQ(contents(folder / "3.log"), "first");
    EXPECT_EQ(contents(folder / "3.log.20231114-221322"), "third");
    ASSERT_TRUE(remove_log_files(folder, 3));
    EXPECT_FALSE(fs::exists(folder));
}

std::string cri(std::string_view text, char tag = 'F') {
    return fmt::format("2026-11-23T22:14:05.123456789Z stdout {} {}\n", tag, text);
}

TEST_F(Parts, TheTailOfALogIsItsLastLinesWithoutStamps) {
    auto folder = folder_ / "logs";
    auto files = make_log_files(folder, 0, 2);
    ASSERT_TRUE(files);
    auto page = page_of(*files);
    EXPECT_EQ(read_log_tail(folder, 0, page), "");
    for (int i = 0; i < 90; ++i) {
        write_to(*files, 0, cri(std::to_string(i)));
    }
    std::string tail = read_log_tail(folder, 0, page);
    EXPECT_THAT(tail, testing::StartsWith("10\n11\n"));
    EXPECT_THAT(tail, testing::EndsWith("88\n89\n"));
    // The runner has just turned to the next file: the lines before belong to the tail too.
    page.slots[1].turn = 2;
    page.current = 1;
    write_to(*files, 1, cri("the end ", 'P') + cri("of it", 'P'));
    tail = read_log_tail(folder, 0, page);
    EXPECT_THAT(tail, testing::StartsWith("12\n"));
    EXPECT_THAT(tail, testing::EndsWith("89\nthe end of it"));
}

TEST_F(Parts, TheTailOfALogIsBoundedAndValidText) {
    auto folder = folder_ / "logs";
    auto files = make_log_files(folder, 0, 1);
    ASSERT_TRUE(files);
    auto page = page_of(*files);
    std::string long_line;
    for (int i = 0; i < 30'000; ++i) {
        long_line += "\u00e9";
    }
    write_to(*files, 0, cri("lost") + cri(long_line + "x"));
    std::string tail = read_log_tail(folder, 0, page);
    EXPECT_LE(tail.size(), 2048U);
    EXPECT_GE(tail.size(), 2040U);
    EXPECT_THAT(tail, testing::StartsWith("\u00e9"));
    EXPECT_THAT(tail, testing::EndsWith("\u00e9x\n"));
    write_to(*files, 0, "no stamp at all");
    EXPECT_THAT(read_log_tail(folder, 0, page), testing::EndsWith("x\nno stamp at all\n"));
    fs::remove(folder / "0.log");
    fs::create_symlink("/etc/passwd", folder / "0.log");
    EXPECT_EQ(read_log_tail(folder, 0, page), "");
}

TEST_F(Parts, LogsOfAnotherAttemptStay) {
    auto folder = folder_ / "logs";
    ASSERT_TRUE(make_log_files(folder, 1, 2));
    ASSERT_TRUE(make_log_files(folder, 11, 2));
    std::ofstream(folder / "1.log") << "old";
    auto again = make_log_files(folder, 1, 2);
    ASSERT_TRUE(again);
    EXPECT_EQ(contents(folder / "1.log"), "");
    ASSERT_TRUE(remove_log_files(folder, 1));
    EXPECT_THAT(*os::list_folder(folder), testing::ElementsAre(".11.log.slot1", "11.log"));
}

pods::ContainerSpec spec_of() {
    pods::ContainerSpec spec;
    spec.pod = PodUid("uid");
    spec.pod_name = PodName{"ns", "pod"};
    spec.name = "c";
    spec.argv = {"x"};
    spec.termination_message_path = "/dev/termination-log";
    return spec;
}

Result<wire::Grant> grant_of(const pods::ContainerSpec& spec, const state::Paths& paths) {
    static const OpenArtifact artifact = [] {
        OpenArtifact made;
        made.facts.kind = wire::ModuleKind::core;
        return made;
    }();
    StoredContainer stored;
    stored.id = std::string(64, 'a');
    StartContext context{paths, LogSettings{}, artifact, 0x70000000, {}, 0};
    return grant_for(spec, stored, context);
}

TEST_F(Parts, MountsComeParentsFirstAndAPodsOwnFileWins) {
    auto spec = spec_of();
    auto add = [&](std::string target, pods::VolumeOrigin origin) {
        pods::ContainerMount mount;
        mount.host = "/host";
        mount.container = std::move(target);
        mount.origin = origin;
        spec.mounts.push_back(mount);
    };
    add("/data/deep/", pods::VolumeOrigin::foreign);
    add("/data", pods::VolumeOrigin::skiff);
    add("/etc/hosts", pods::VolumeOrigin::skiff);
    spec.pod_network.hosts_file = "/run/hosts";
    auto grant = grant_of(spec, paths_);
    ASSERT_TRUE(grant);
    std::vector<std::string> targets;
    for (const auto& mount : grant->mounts) {
        targets.push_back(mount.target);
    }
    EXPECT_THAT(targets,
                testing::ElementsAre("/data", "/data/deep", "/dev/termination-log", "/etc/hosts"));
    EXPECT_EQ(grant->mounts[0].id_mapping, wire::IdMapping::mapped_or_owned);
    EXPECT_EQ(grant->mounts[1].id_mapping, wire::IdMapping::mapped);
    EXPECT_EQ(grant->mounts[2].id_mapping, wire::IdMapping::mapped_or_plain);
    EXPECT_EQ(grant->identity.files_as, wire::FilesAs::pod);
    EXPECT_EQ(grant->mounts[0].kind, wire::MountKind::bind);
    EXPECT_EQ(grant->mounts[1].kind, wire::MountKind::bind_tree);
    EXPECT_EQ(grant->mounts[3].source, "/host");
    EXPECT_EQ(grant->identity.host_base, 0x70000000U);
    EXPECT_EQ(grant->log.slot_fds, (std::vector<std::int32_t>{3, 4, 5, 6, 7}));
}

TEST_F(Parts, APodWithAVolumeThatCannotMapIdsOpensFilesWithTheMachines) {
    auto spec = spec_of();
    for (auto origin : {pods::VolumeOrigin::foreign, pods::VolumeOrigin::skiff}) {
        pods::ContainerMount mount;
        mount.host = "/host";
        mount.container = origin == pods::VolumeOrigin::foreign ? "/a" : "/b";
        mount.origin = origin;
        mount.ids = pods::VolumeIds::of_machine;
        spec.mounts.push_back(mount);
    }
    auto grant = grant_of(spec, paths_);
    ASSERT_TRUE(grant);
    EXPECT_EQ(grant->identity.files_as, wire::FilesAs::machine);
    EXPECT_EQ(grant->mounts[0].id_mapping, wire::IdMapping::plain);
    EXPECT_EQ(grant->mounts[1].id_mapping, wire::IdMapping::mapped_or_owned);
}

TEST_F(Parts, IdsBeyondThePodsOwnAreRefusedByName) {
    auto spec = spec_of();
    spec.uid = 65536;
    auto grant = grant_of(spec, paths_);
    ASSERT_FALSE(grant);
    EXPECT_EQ(grant.error().reason, "CreateContainerConfigError");
    EXPECT_THAT(grant.error().message, testing::HasSubstr("runAsUser 65536"));
}

TEST_F(Parts, CoreModulesGetTheirFolderByEnvironment) {
    auto spec = spec_of();
    spec.working_dir = "/work";
    EXPECT_THAT(grant_of(spec, paths_)->env, testing::ElementsAre("PWD=/work"));
    spec.env = {"PWD=/own"};
    EXPECT_THAT(grant_of(spec, paths_)->env, testing::ElementsAre("PWD=/own"));
}

TEST_F(Parts, ArtifactsOfAnotherKeyOrAnotherNameAreNotTaken) {
    std::ofstream(paths_.compiled() / "out") << "native code";
    StoredFacts facts;
    facts.key = "k1";
    facts.facts.uses_sockets = true;
    facts.facts.imports = {"env sock_x", "wasi_snapshot_preview1 fd_write"};
    ASSERT_TRUE(store_artifact(paths_, "secret", paths_.compiled() / "out", facts));
    auto loaded = load_artifact(paths_, "secret", "k1");
    ASSERT_TRUE(loaded);
    EXPECT_TRUE((*loaded)->artifact.opens_sockets);
    EXPECT_FALSE((*loaded)->artifact.wants_sockets);
    EXPECT_EQ(load_artifact(paths_, "secret", "k2").error().code, Code::not_found);
    // Another boot: nothing is marked as checked.
    fs::remove(paths_.checked_artifacts() / "k1");
    EXPECT_EQ(load_artifact(paths_, "another", "k1").error().code, Code::corrupt);
    EXPECT_EQ(load_artifact(paths_, "secret", "k1").error().code, Code::not_found);
    EXPECT_EQ(os::list_folder(paths_.quarantine())->size(), 2U);
}

TEST_F(Parts, AnArtifactSaysThatItsModuleWantsSockets) {
    std::ofstream(paths_.compiled() / "out") << "native code";
    StoredFacts facts;
    facts.key = "k1";
    facts.facts.imports = {"env x", "wasi_snapshot_preview1 sock_accept"};
    ASSERT_TRUE(store_artifact(paths_, "secret", paths_.compiled() / "out", facts));
    EXPECT_TRUE((*load_artifact(paths_, "secret", "k1"))->artifact.wants_sockets);
}

TEST_F(Parts, FactsOfAnArtifactAreCheckedLikeItsCode) {
    StoredFacts facts;
    facts.key = "k1";
    std::ofstream(paths_.compiled() / "out") << "native code";
    ASSERT_TRUE(store_artifact(paths_, "secret", paths_.compiled() / "out", facts));
    auto path = paths_.compiled() / "k1.facts";
    auto bytes = state::load_checkpoint(path, "artifact");
    ASSERT_TRUE(bytes);
    auto forged = wire::decode<StoredFacts>(*bytes);
    ASSERT_TRUE(forged);
    forged->facts.uses_sockets = true;
    ASSERT_TRUE(
        state::store_checkpoint(path, "artifact", wire::encode(*forged), os::Durability::process));
    // Also where the code was checked in this boot.
    EXPECT_EQ(load_artifact(paths_, "secret", "k1").error().code, Code::corrupt);
}

TEST_F(Parts, CoreDumpsAreBoundedInNumberAndTogether) {
    StoredContainer stored;
    stored.pod_namespace = "default";
    stored.pod_name = "web";
    stored.name = "main";
    stored.id = "0123456789abcdef";
    constexpr std::uint64_t kEach = kCoreDumpMax.value;
    constexpr std::size_t kFit = kCoreDumpsTotalMax.value / kEach;
    for (std::uint32_t i = 0; i < kFit + 2; ++i) {
        stored.attempt = i;
        ASSERT_TRUE(make_core_dump_file(paths_, stored));
        const auto file = core_dump_file(paths_, stored);
        fs::resize_file(file, kEach);  // no block is written
        fs::last_write_time(file, fs::file_time_type(std::chrono::seconds(1000 + i)));
        settle_core_dump(paths_, stored);
    }
    EXPECT_EQ(os::list_folder(paths_.core_dumps())->size(), kFit);
    EXPECT_TRUE(fs::exists(core_dump_file(paths_, stored)));
    for (std::uint32_t i = 0; i < kCoreDumpsMax + 5; ++i) {
        stored.attempt = 100 + i;
        ASSERT_TRUE(make_core_dump_file(paths_, stored));
        const auto file = core_dump_file(paths_, stored);
        fs::resize_file(file, 1);
        fs::last_write_time(file, fs::file_time_type(std::chrono::seconds(2000 + i)));
        settle_core_dump(paths_, stored);
    }
    EXPECT_EQ(os::list_folder(paths_.core_dumps())->size(), kCoreDumpsMax);
}

TEST_F(Parts, AModuleIsHashedUntilItIsProven) {
    fs::path path = folder_ / "m.wasm";
    std::ofstream(path) << "module";
    pods::ModuleFile module{path, "sha256:" + sha256_hex("module"), Bytes{6}};
    auto opened = open_module(module, std::nullopt);
    ASSERT_TRUE(opened);
    module.digest = "sha256:" + sha256_hex("another");
    EXPECT_EQ(open_module(module, std::nullopt).error().code, Code::corrupt);
    EXPECT_TRUE(open_module(module, opened->stamp));
    std::ofstream(path) << "longer module";
    EXPECT_EQ(open_module(module, opened->stamp).error().code, Code::corrupt);
}

TEST_F(Parts, AModuleThatIsTooLargeIsNotRead) {
    fs::path path = folder_ / "m.wasm";
    std::ofstream(path) << "module";
    pods::ModuleFile module{path, "sha256:" + sha256_hex("module"), Bytes{6}};
    EXPECT_TRUE(check_module(module));
    fs::resize_file(path, kModuleBytesMax.value + 1);
    auto refused = check_module(module);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::exhausted);
    EXPECT_EQ(open_module(module, std::nullopt).error().message, refused.error().message);
}

TEST_F(Parts, KeyAndLabelAreOfTheMac) {
    std::ofstream(folder_ / "abc") << "abc";
    auto fd = os::open_regular(folder_ / "abc");
    EXPECT_NE(*mac_hex_of_file("a", "l", fd->get()), *mac_hex_of_file("b", "l", fd->get()));
    EXPECT_NE(*mac_hex_of_file("a", "l", fd->get()), *mac_hex_of_file("a", "m", fd->get()));
}

}  // namespace
}  // namespace skiff::runtime
