// The runtime against the real skiff-engine and real guests: needs root, and guests/build to have
// run.
#include "runtime/runtime.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "base/text.h"
#include "os/file.h"
#include "os/mount.h"
#include "runtime/digest.h"
#include "runtime/reset.h"
#include "state/checkpoint.h"
#include "wire/paths.h"

namespace skiff::runtime {
namespace {

namespace fs = std::filesystem;
using async::Task;
using std::chrono::seconds;

#define CO_REQUIRE(condition, detail)                        \
    do {                                                     \
        if (!(condition)) {                                  \
            ADD_FAILURE() << #condition << ": " << (detail); \
            co_return;                                       \
        }                                                    \
    } while (false)

#define CO_REQUIRE_OK(result) CO_REQUIRE((result), format_as((result).error()))

fs::path engine_program() {
    const char* set = std::getenv("SKIFF_ENGINE_PROGRAM");
    return set != nullptr ? set : SKIFF_ENGINE_PROGRAM;
}

std::string contents(const fs::path& path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
}

// What the guest printed: the CRI log without its stamps.
std::string printed(const fs::path& log) {
    std::string text;
    for (auto line : split(contents(log), '\n')) {
        constexpr std::size_t kStampBytes = sizeof("2026-11-23T22:14:05.000000001Z stdout F ") - 1;
        if (line.size() >= kStampBytes) {
            text += std::string(line.substr(kStampBytes)) + "\n";
        }
    }
    return text;
}

SteadyTime soon() {
    return std::chrono::steady_clock::now() + seconds(30);
}

class Live : public testing::Test {
public:
    void SetUp() override {
        if (::geteuid() != 0) {
            GTEST_SKIP() << "needs root";
        }
        if (!fs::exists(engine_program()) || !fs::exists(guest("actor.wasm"))) {
            GTEST_SKIP() << "needs skiff-engine and build/guests (guests/build)";
        }
        folder_ = fs::temp_directory_path() / ("skiff-runtime-" + random_.hex(4));
        fs::create_directory(folder_);
        // As in production: what describes running things is in memory.
        fs::create_directory(folder_ / "run");
        ASSERT_TRUE(os::mount_tmpfs(folder_ / "run", os::TmpfsOptions{}));
        paths_.root_dir = folder_ / "root";
        paths_.run_dir = folder_ / "run/skiff";
        paths_.pod_log_dir = folder_ / "log/pods";
        paths_.container_log_dir = folder_ / "log/containers";
        settings_.engine_program = engine_program();
        settings_.ids.registry = folder_ / "run/ids";
    }
    void TearDown() override {
        if (folder_.empty()) {
            return;
        }
        run(clean_up(this));
        (void)os::unmount_below(folder_);
        EXPECT_TRUE(os::remove_tree(folder_));
        // Children that were re-parented to us.
        while (::waitpid(-1, nullptr, WNOHANG) > 0) {
        }
    }

    static Task<void> clean_up(Live* test) {
        co_await test->crash();
        auto instance = state::Instance::open(test->paths_, test->random_);
        CO_REQUIRE_OK(instance);
        ResetSettings settings;
        settings.ids = test->settings_.ids;
        auto done = co_await reset(**instance, test->reactor_.executor(), settings);
        CO_REQUIRE_OK(done);
        EXPECT_THAT(*os::mounts_below(test->paths_.run_dir), testing::IsEmpty());
    }

    void run(Task<void> task) { async::run_to_end(reactor_, std::move(task)); }

    static fs::path guest(const std::string& name) {
        return fs::path(SKIFF_SOURCE_DIR) / "build/guests" / name;
    }

    // An agent's life begins.
    Task<void> boot() {
        auto instance = state::Instance::open(paths_, random_);
        CO_REQUIRE_OK(instance);
        instance_ = std::move(*instance);
        RuntimeParts parts{reactor_, pool_, clock_, random_, *instance_};
        auto runtime = co_await KeeperRuntime::create(settings_, parts);
        CO_REQUIRE_OK(runtime);
        runtime_ = std::move(*runtime);
        runtime_->set_observer([this](const PodUid&) { changed_.set(); });
    }
    // It ends without a word to anybody: what SIGKILL leaves.
    Task<void> crash() {
        if (runtime_) {
            co_await runtime_->stop_tasks();
            runtime_.reset();
        }
        instance_.reset();
    }

    pods::PodSandbox sandbox(const std::string& uid = "uid-1") {
        pods::PodSandbox box;
        box.pod = PodUid(uid);
        box.pod_name = PodName{"default", "boat"};
        return box;
    }

    Task<Result<pods::Artifact>> compile(std::string name) {
        pods::ModuleFile module;
        module.path = guest(name);
        auto fd = os::open(module.path, O_RDONLY);
        module.digest = "sha256:" + sha256_hex_of_file(fd->get()).value_or("");
        module.size = Bytes{fs::file_size(module.path)};
        co_return co_await runtime_->compile(module, "wasmtime", [this] { ++compiles_; });
    }

    Task<Result<ContainerId>> start_guest(std::string name, std::vector<std::string> args) {
        auto artifact = co_await compile(name);
        if (!artifact) {
            co_return fail(std::move(artifact.error()));
        }
        pods::ContainerSpec spec = spec_;
        spec.pod = PodUid("uid-1");
        spec.pod_name = PodName{"default", "boat"};
        spec.name = "c";
        spec.attempt = attempt_++;
        spec.artifact = *artifact;
        spec.argv = std::move(args);
        spec.argv.insert(spec.argv.begin(), name);
        spec.termination_message_path = "/dev/termination-log";
        SKIFF_CO_CHECK(co_await runtime_->prepare_pod(sandbox()));
        co_return co_await runtime_->start(spec);
    }
    Task<Result<ContainerId>> start_actor(std::vector<std::string> script) {
        return start_guest("actor.wasm", std::move(script));
    }

    std::optional<pods::ContainerRecord> record(const ContainerId& id) {
        for (auto& found : runtime_->containers(PodUid("uid-1"))) {
            if (found.id == id) {
                return std::move(found);
            }
        }
        return std::nullopt;
    }

    Task<pods::ContainerRecord> ended(ContainerId id) {
        auto deadline = soon();
        while (true) {
            auto found = record(id);
            if (found && found->exit) {
                co_return std::move(*found);
            }
            changed_.reset();
            auto waited = co_await changed_.wait(deadline);
            if (!waited) {
                ADD_FAILURE() << "container did not end: " << format_as(waited.error());
                co_return found.value_or(pods::ContainerRecord{});
            }
        }
    }

    // Until the guest has written `text` to its log.
    Task<void> wrote(ContainerId id, std::string text) {
        auto deadline = soon();
        while (printed(record(id)->log_path).find(text) == std::string::npos) {
            CO_REQUIRE(std::chrono::steady_clock::now() < deadline, "no such line: " + text);
            (void)co_await async::sleep_for(std::chrono::milliseconds(2));
        }
    }

    std::vector<fs::path> keeper_sockets() {
        std::vector<fs::path> found;
        auto names = os::list_folder(paths_.run_dir);
        for (const auto& name : *names) {
            if (name.starts_with("keeper-") && name.ends_with(".sock")) {
                found.push_back(paths_.run_dir / name);
            }
        }
        return found;
    }

    pid_t keeper_pid() {
        auto names = os::list_folder(paths_.keepers());
        auto bytes = state::load_checkpoint(paths_.keepers() / names->front(), "keeper");
        wire::Reader reader(*bytes);
        std::string boot;
        std::int32_t pid = 0;
        reader(boot, pid);
        return pid;
    }

    SystemRandom random_;
    SystemClock clock_;
    async::Reactor reactor_;
    async::BlockingPool pool_{reactor_, 2, 1000};
    fs::path folder_;
    state::Paths paths_;
    RuntimeSettings settings_;
    pods::ContainerSpec spec_;
    std::unique_ptr<state::Instance> instance_;
    std::unique_ptr<KeeperRuntime> runtime_;
    async::Event changed_;
    std::uint32_t attempt_ = 0;
    int compiles_ = 0;
};

TEST_F(Live, RunsAGuestAndTellsItsExitCode) {
    run([](Live* t) -> Task<void> {
        co_await t->boot();
        auto id = co_await t->start_actor({"print", "ahoy", ";", "exit", "7"});
        CO_REQUIRE_OK(id);
        EXPECT_EQ(id->str().size(), 64U);
        auto found = co_await t->ended(*id);
        EXPECT_EQ(found.exit->kind, pods::ExitKind::exited);
        EXPECT_EQ(found.exit->exit_code, 7);
        EXPECT_EQ(found.exit->reason, "Error");
        EXPECT_EQ(printed(found.log_path), "ahoy\n");
        EXPECT_EQ(found.log_path.filename(), "0.log");
        auto link = t->paths_.container_log_link(PodName{"default", "boat"}, "c", *id);
        EXPECT_EQ(fs::read_symlink(link), found.log_path);
        EXPECT_LE(found.created, found.started);
        EXPECT_LE(found.started, found.exit->finished);
        EXPECT_EQ(found.pid, 0);
    }(this));
}

TEST_F(Live, TrapsAreTold) {
    run([](Live* t) -> Task<void> {
        co_await t->boot();
        auto id = co_await t->start_actor({"trap"});
        CO_REQUIRE_OK(id);
        auto found = co_await t->ended(*id);
        EXPECT_EQ(found.exit->kind, pods::ExitKind::trapped);
        EXPECT_EQ(found.exit->exit_code, 134);
        EXPECT_THAT(found.exit->message, testing::HasSubstr("unreachable"));
    }(this));
}

TEST_F(Live, TheTerminationMessageFileWins) {
    run([](Live* t) -> Task<void> {
        co_await t->boot();
        auto id =
            co_await t->start_actor({"write", "/dev/termination-log", "sunk", ";", "exit", "130"});
        CO_REQUIRE_OK(id);
        auto found = co_await t->ended(*id);
        EXPECT_EQ(found.exit->exit_code, 130);
        EXPECT_THAT(found.exit->message, testing::StartsWith("sunk"));
    }(this));
}

TEST_F(Live, MemoryLimitIsOomKilled) {
    run([](Live* t) -> Task<void> {
        co_await t->boot();
        t->spec_.memory_limit = 32_MiB;
        auto id = co_await t->start_actor({"grow", "100"});
        CO_REQUIRE_OK(id);
        auto found = co_await t->ended(*id);
        EXPECT_EQ(found.exit->kind, pods::ExitKind::out_of_memory);
        EXPECT_EQ(found.exit->exit_code, 137);
        EXPECT_EQ(found.exit->reason, "OOMKilled");
    }(this));
}

TEST_F(Live, StopEndsAGuestThatCannotHandleIt) {
    run([](Live* t) -> Task<void> {
        co_await t->boot();
        auto id = co_await t->start_actor({"print", "up", ";", "hold"});
        CO_REQUIRE_OK(id);
        co_await t->wrote(*id, "up");
        auto usage = t->runtime_->usage(*id);
        CO_REQUIRE(usage, "no usage");
        EXPECT_GT(usage->memory_working_set.value, 0U);
        EXPECT_EQ((co_await t->runtime_->remove(*id)).error().code, Code::conflict);
        auto second = co_await t->start_actor({"hold"});
        EXPECT_EQ(second.error().code, Code::conflict);
        auto stopped = co_await t->runtime_->stop(*id, seconds(30));
        CO_REQUIRE_OK(stopped);
        auto found = t->record(*id);
        EXPECT_EQ(found->exit->kind, pods::ExitKind::stopped);
        EXPECT_EQ(found->exit->exit_code, 143);
        EXPECT_FALSE(t->runtime_->usage(*id));
        auto again = co_await t->runtime_->stop(*id, seconds(30));
        EXPECT_TRUE(again);
    }(this));
}

TEST_F(Live, AShorterStopOvertakesALongerOne) {
    run([](Live* t) -> Task<void> {
        co_await t->boot();
        t->spec_.stop_mode = pods::ContainerSpec::StopMode::file;
        auto id = co_await t->start_actor({"print", "up", ";", "hold"});
        CO_REQUIRE_OK(id);
        co_await t->wrote(*id, "up");
        async::Scope scope(co_await async::current_executor());
        auto patient = [](Live* test, ContainerId container) -> Task<void> {
            (void)co_await test->runtime_->stop(container, std::chrono::hours(1));
        };
        scope.spawn("patient", patient(t, *id));
        co_await async::yield_now();
        auto begun = std::chrono::steady_clock::now();
        auto stopped = co_await t->runtime_->stop(*id, Duration::zero());
        CO_REQUIRE_OK(stopped);
        EXPECT_LT(std::chrono::steady_clock::now() - begun, seconds(10));
        EXPECT_EQ(t->record(*id)->exit->exit_code, 137);
        EXPECT_TRUE(co_await scope.join(soon()));
    }(this));
}

TEST_F(Live, ARestartedAgentAdoptsWhatRunsAndLearnsWhatEnded) {
    run([](Live* t) -> Task<void> {
        co_await t->boot();
        auto ends = co_await t->start_actor({"wait-file", "/tmp/x", ";", "exit", "1"});
        // A guest that ends while no agent lives: it waits until long after the crash.
        (void)ends;
        auto stopped = co_await t->runtime_->stop(*ends, Duration::zero());
        CO_REQUIRE_OK(stopped);
        auto brief = co_await t->start_actor({"sleep", "1", ";", "exit", "42"});
        CO_REQUIRE_OK(brief);
        auto before = *t->record(*brief);
        co_await t->crash();
        auto pidfd = os::open_pidfd(before.pid);
        CO_REQUIRE_OK(pidfd);
        CO_REQUIRE(co_await async::wait_readable(pidfd->get(), soon()), "did not end");
        co_await t->boot();
        auto after = co_await t->ended(*brief);
        EXPECT_EQ(after.exit->exit_code, 42);
        EXPECT_EQ(after.created, before.created);
        EXPECT_EQ(after.attempt, before.attempt);

        auto lasting = co_await t->start_actor({"print", "up", ";", "hold"});
        CO_REQUIRE_OK(lasting);
        auto running = *t->record(*lasting);
        for (int i = 0; i < 5; ++i) {
            co_await t->crash();
            co_await t->boot();
            auto adopted = t->record(*lasting);
            CO_REQUIRE(adopted && !adopted->exit, "not adopted");
            EXPECT_EQ(adopted->pid, running.pid);
            EXPECT_EQ(adopted->started, running.started);
        }
        EXPECT_THAT(t->keeper_sockets(), testing::SizeIs(1));
        CO_REQUIRE_OK(co_await t->runtime_->stop(*lasting, Duration::zero()));
    }(this));
}

TEST_F(Live, GuestsOutliveTheirKeeper) {
    run([](Live* t) -> Task<void> {
        co_await t->boot();
        auto id = co_await t->start_actor({"print", "up", ";", "hold"});
        CO_REQUIRE_OK(id);
        co_await t->wrote(*id, "up");
        auto before = *t->record(*id);
        pid_t keeper = t->keeper_pid();
        auto keeper_fd = os::open_pidfd(keeper);
        ::kill(keeper, SIGKILL);
        CO_REQUIRE(co_await async::wait_readable(keeper_fd->get(), soon()), "keeper lives");
        co_await async::yield_now();
        auto again = co_await t->start_actor({"hold"});
        EXPECT_EQ(again.error().code, Code::conflict) << "a second copy was started";
        auto found = t->record(*id);
        CO_REQUIRE(found && !found->exit, "lost");
        EXPECT_EQ(found->pid, before.pid);
        // Also by an agent that never knew that keeper.
        co_await t->crash();
        co_await t->boot();
        found = t->record(*id);
        CO_REQUIRE(found && !found->exit, "lost by the second agent");
        EXPECT_EQ(found->pid, before.pid);
        EXPECT_NE(t->keeper_pid(), keeper);
        CO_REQUIRE_OK(co_await t->runtime_->stop(*id, Duration::zero()));
        EXPECT_EQ(t->record(*id)->exit->exit_code, 143);
        // The new keeper starts new containers.
        auto next = co_await t->start_actor({"exit", "0"});
        CO_REQUIRE_OK(next);
        auto done = co_await t->ended(*next);
        EXPECT_EQ(done.exit->reason, "Completed");
    }(this));
}

TEST_F(Live, TheExitOfAnOrphanIsItsOwnWord) {
    run([](Live* t) -> Task<void> {
        co_await t->boot();
        auto id = co_await t->start_actor({"print", "up", ";", "sleep", "1", ";", "exit", "9"});
        CO_REQUIRE_OK(id);
        co_await t->wrote(*id, "up");
        ::kill(t->keeper_pid(), SIGKILL);
        auto found = co_await t->ended(*id);
        EXPECT_EQ(found.exit->kind, pods::ExitKind::exited);
        EXPECT_EQ(found.exit->exit_code, 9);
    }(this));
}

TEST_F(Live, AKilledOrphanThatNobodySawIsReportedAsUnknown) {
    run([](Live* t) -> Task<void> {
        co_await t->boot();
        auto id = co_await t->start_actor({"print", "up", ";", "hold"});
        CO_REQUIRE_OK(id);
        co_await t->wrote(*id, "up");
        auto before = *t->record(*id);
        pid_t keeper = t->keeper_pid();
        auto runner_fd = os::open_pidfd(before.pid);
        co_await t->crash();
        ::kill(keeper, SIGKILL);
        ::kill(before.pid, SIGKILL);
        CO_REQUIRE(co_await async::wait_readable(runner_fd->get(), soon()), "runner lives");
        while (::waitpid(-1, nullptr, WNOHANG) > 0) {
        }
        co_await t->boot();
        auto found = co_await t->ended(*id);
        EXPECT_EQ(found.exit->kind, pods::ExitKind::lost);
        EXPECT_EQ(found.exit->exit_code, 137);
        EXPECT_EQ(found.exit->reason, "ContainerStatusUnknown");
    }(this));
}

TEST_F(Live, ACorruptArtifactIsBuiltAnew) {
    run([](Live* t) -> Task<void> {
        co_await t->boot();
        auto first = co_await t->compile("actor.wasm");
        CO_REQUIRE_OK(first);
        EXPECT_EQ(first->source, pods::Artifact::Source::compiled);
        EXPECT_GT(first->compile_time, Duration::zero());
        EXPECT_EQ(t->compiles_, 1);
        co_await t->crash();
        co_await t->boot();
        auto second = co_await t->compile("actor.wasm");
        CO_REQUIRE_OK(second);
        EXPECT_EQ(second->source, pods::Artifact::Source::cached);
        EXPECT_EQ(second->key, first->key);
        EXPECT_EQ(t->compiles_, 1);
        co_await t->crash();
        {
            auto path = t->paths_.compiled() / first->key;
            ::chmod(path.c_str(), 0600);
            std::fstream file(path, std::ios::in | std::ios::out);
            file.seekp(1000);
            file.put('!');
        }
        co_await t->boot();
        auto third = co_await t->compile("actor.wasm");
        CO_REQUIRE_OK(third);
        EXPECT_EQ(third->source, pods::Artifact::Source::compiled);
        EXPECT_EQ(t->compiles_, 2);
        EXPECT_FALSE(os::list_folder(t->paths_.quarantine())->empty());
        auto id = co_await t->start_actor({"exit", "0"});
        CO_REQUIRE_OK(id);
        EXPECT_EQ((co_await t->ended(*id)).exit->exit_code, 0);
    }(this));
}

TEST_F(Live, RefusesWhatIsNoWasmAndWhatIsNotWhatWasPulled) {
    run([](Live* t) -> Task<void> {
        co_await t->boot();
        auto path = t->folder_ / "x.wasm";
        std::ofstream(path) << "#!/bin/sh\necho hello\n";
        pods::ModuleFile module;
        module.path = path;
        module.size = Bytes{21};
        module.digest = "sha256:" + sha256_hex("#!/bin/sh\necho hello\n");
        auto refused = co_await t->runtime_->compile(module, "", nullptr);
        CO_REQUIRE(!refused, "compiled a script");
        EXPECT_EQ(refused.error().reason, "CreateContainerError");
        EXPECT_EQ(refused.error().code, Code::invalid);
        module.digest = "sha256:" + sha256_hex("something else");
        auto other = co_await t->runtime_->compile(module, "", nullptr);
        CO_REQUIRE(!other, "compiled other bytes");
        EXPECT_EQ(other.error().code, Code::corrupt);
        auto handler = co_await t->runtime_->compile(module, "nobody", nullptr);
        EXPECT_EQ(handler.error().code, Code::unsupported);
    }(this));
}

TEST_F(Live, LogsAreNamedAsCollectorsExpect) {
    run([](Live* t) -> Task<void> {
        t->settings_.logs.file_max = 64_KiB;
        t->settings_.logs.files = 4;
        co_await t->boot();
        auto id = co_await t->start_actor({"flood", "3000", "50", ";", "exit", "0"});
        CO_REQUIRE_OK(id);
        auto found = co_await t->ended(*id);
        auto names = *os::list_folder(found.log_path.parent_path());
        EXPECT_THAT(names, testing::Contains("0.log"));
        EXPECT_THAT(names, testing::Contains(testing::StartsWith("0.log.20")));
        EXPECT_THAT(names, testing::Not(testing::Contains(testing::StartsWith(".0.log"))));
        EXPECT_EQ(names.size(), 4U);
        // The last line is in the current file.
        EXPECT_THAT(contents(found.log_path), testing::HasSubstr(" stdout F "));
        for (const auto& name : names) {
            EXPECT_LE(fs::file_size(found.log_path.parent_path() / name), 64U << 10);
        }
        CO_REQUIRE_OK(co_await t->runtime_->remove(*id));
        EXPECT_FALSE(fs::exists(found.log_path.parent_path()));
        EXPECT_THAT(*os::list_folder(t->paths_.container_log_dir), testing::IsEmpty());
    }(this));
}

TEST_F(Live, ARemovedPodLeavesNothing) {
    run([](Live* t) -> Task<void> {
        co_await t->boot();
        auto id = co_await t->start_actor({"exit", "0"});
        CO_REQUIRE_OK(id);
        (void)co_await t->ended(*id);
        EXPECT_THAT(t->runtime_->pods(), testing::ElementsAre(PodUid("uid-1")));
        CO_REQUIRE_OK(co_await t->runtime_->remove_pod(PodUid("uid-1")));
        EXPECT_THAT(t->runtime_->pods(), testing::IsEmpty());
        EXPECT_THAT(*os::list_folder(t->paths_.pod_log_dir), testing::IsEmpty());
        for (const auto& folder :
             {t->paths_.container_records(), t->paths_.pod_records(), t->paths_.termination(),
              fs::path(wire::runners_folder(t->paths_.run_dir.string()))}) {
            EXPECT_THAT(*os::list_folder(folder), testing::IsEmpty()) << folder;
        }
        co_await t->crash();
        co_await t->boot();
        EXPECT_THAT(t->runtime_->pods(), testing::IsEmpty());
    }(this));
}

TEST_F(Live, AnAgentKilledBeforeItAskedLeavesNoGhost) {
    run([](Live* t) -> Task<void> {
        co_await t->boot();
        CO_REQUIRE_OK(co_await t->runtime_->prepare_pod(t->sandbox()));
        co_await t->crash();
        // What is on disk when the agent dies between the record and the message.
        StoredContainer stored;
        stored.id = std::string(64, 'a');
        stored.pod_uid = "uid-1";
        stored.pod_namespace = "default";
        stored.pod_name = "boat";
        stored.name = "c";
        stored.cgroup = "poduid-1/aaaaaaaaaaaaaaaa";
        stored.keeper = t->keeper_sockets().front().filename().string().substr(7, 16);
        CO_REQUIRE_OK(store_container(t->paths_, stored));
        co_await t->boot();
        EXPECT_THAT(t->runtime_->containers(PodUid("uid-1")), testing::IsEmpty());
        EXPECT_THAT(*os::list_folder(t->paths_.container_records()), testing::IsEmpty());
        auto id = co_await t->start_actor({"exit", "0"});
        CO_REQUIRE_OK(id);
        EXPECT_EQ((co_await t->ended(*id)).exit->exit_code, 0);
    }(this));
}

// Not a limit of its own, a guard against a slow start: bench/start measures.
TEST_F(Live, StartsInMilliseconds) {
    run([](Live* t) -> Task<void> {
        co_await t->boot();
        std::vector<double> times;
        for (int i = 0; i < 50; ++i) {
            auto begun = std::chrono::system_clock::now();
            auto id = co_await t->start_guest("hello.wasm", {});
            CO_REQUIRE_OK(id);
            auto found = co_await t->ended(*id);
            std::string text = printed(found.log_path);
            auto words = split(trim(text), ' ');
            auto ns = parse_int(words.back());
            CO_REQUIRE(ns, contents(found.log_path));
            auto begun_ns =
                std::chrono::duration_cast<std::chrono::nanoseconds>(begun.time_since_epoch());
            times.push_back(static_cast<double>(*ns - begun_ns.count()) / 1e6);
            CO_REQUIRE_OK(co_await t->runtime_->remove(*id));
        }
        std::sort(times.begin(), times.end());
        RecordProperty("p50_ms", fmt::format("{:.2f}", times[times.size() / 2]));
        fmt::print("start() to the guest's clock: p50 {:.2f} ms, p90 {:.2f} ms\n",
                   times[times.size() / 2], times[times.size() * 9 / 10]);
        EXPECT_LT(times[times.size() / 2], 200.0);
    }(this));
}

}  // namespace
}  // namespace skiff::runtime
