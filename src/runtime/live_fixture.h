// For tests of the runtime against the real skiff-engine and real guests: needs root, and
// guests/build to have run; skipped otherwise.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/sockios.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include "base/paths_testing.h"
#include "base/sanitizer_testing.h"
#include "base/text.h"
#include "os/file.h"
#include "os/mount.h"
#include "runtime/reset.h"
#include "runtime/runtime.h"
#include "state/checkpoint.h"
#include "state/digest.h"
#include "wire/paths.h"

namespace skiff::runtime {

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

inline fs::path engine_program() {
    const char* set = std::getenv("SKIFF_ENGINE_PROGRAM");
    return set != nullptr ? fs::path(set) : tests_program_folder() / "skiff-engine";
}

inline std::string contents(const fs::path& path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
}

// What the guest printed: the CRI log without its stamps.
inline std::string printed(const fs::path& log) {
    std::string text;
    const std::string written = contents(log);
    for (auto line : split(written, '\n')) {
        constexpr std::size_t kStampBytes = sizeof("2026-11-23T22:14:05.000000001Z stdout F ") - 1;
        if (line.size() >= kStampBytes) {
            text += std::string(line.substr(kStampBytes)) + "\n";
        }
    }
    return text;
}

inline SteadyTime soon() {
    return std::chrono::steady_clock::now() + seconds(30);
}

class Live : public testing::Test {
public:
    void SetUp() override {
        if (std::getenv("SKIFF_ENGINE_PROGRAM") == nullptr) {
            SKIFF_NOT_UNDER_THREAD_SANITIZER(
                "the engine's processes are in cages; SKIFF_ENGINE_PROGRAM may name one without it "
                "(build/dev/bin/skiff-engine)");
        }
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
        return tests_source_folder() / "build/guests" / name;
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
        module.digest = "sha256:" + state::hash_file(fd->get())->hex;
        module.size = Bytes{fs::file_size(module.path)};
        std::function<void()> compiling = [this] { ++compiles_; };
        pods::CompileRequest request{module, {}, spec_.runtime_handler};
        co_return co_await runtime_->compile(std::move(request), std::move(compiling));
    }

    Task<Result<pods::Artifact>> compile_file(pods::ModuleFile module, std::string handler) {
        pods::CompileRequest request{std::move(module), {}, std::move(handler)};
        co_return co_await runtime_->compile(std::move(request), nullptr);
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
    // `script` as actor.c reads it, split at blanks.
    Task<Result<ContainerId>> start_actor(std::string_view script) {
        std::vector<std::string> words;
        for (auto word : split(script, ' ')) {
            words.emplace_back(word);
        }
        return start_guest("actor.wasm", std::move(words));
    }

    // A start whose caller may go away.
    Task<void> start_quietly(std::string script) {
        auto started = co_await start_actor(script);
        (void)started;
    }
    static Task<void> signal_later(pid_t pid, int signal, Duration after) {
        (void)co_await async::sleep_for(after);
        ::kill(pid, signal);
    }
    // The first container that is in `phase` and has not ended.
    Task<pods::ContainerRecord> found(pods::ContainerRecord::Phase phase) {
        auto deadline = soon();
        while (std::chrono::steady_clock::now() < deadline) {
            for (auto& one : runtime_->containers(PodUid("uid-1"))) {
                if (one.phase == phase && !one.exit) {
                    co_return std::move(one);
                }
            }
            (void)co_await async::sleep_for(std::chrono::milliseconds(2));
        }
        ADD_FAILURE() << "no such container";
        co_return pods::ContainerRecord{};
    }
    // Breaks the connections to keepers under the runtime's hands.
    static void drop_links() {
        for (int fd : links()) {
            ::shutdown(fd, SHUT_RDWR);
        }
    }

    // Bytes that were sent to keepers and that those have not read.
    static int unread_by_keepers() {
        int sum = 0;
        for (int fd : links()) {
            int bytes = 0;
            sum += ::ioctl(fd, SIOCOUTQ, &bytes) == 0 ? bytes : 0;
        }
        return sum;
    }

    // This process's sockets to keepers.
    static std::vector<int> links() {
        std::vector<int> found;
        auto fds = os::list_folder("/proc/self/fd");
        for (const auto& name : *fds) {
            int fd = static_cast<int>(parse_uint(name).value_or(0));
            sockaddr_un peer{};
            socklen_t size = sizeof peer;
            bool connected = ::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) == 0;
            if (connected && peer.sun_family == AF_UNIX &&
                std::string_view(peer.sun_path).find("keeper-") != std::string_view::npos) {
                found.push_back(fd);
            }
        }
        return found;
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

    // Until every log file in `folder` has a name for people: a moment after the end.
    static Task<void> logs_named(fs::path folder) {
        auto is_hidden = [](const std::string& name) { return name.starts_with('.'); };
        auto deadline = soon();
        while (std::ranges::any_of(*os::list_folder(folder), is_hidden)) {
            CO_REQUIRE(std::chrono::steady_clock::now() < deadline, folder.string());
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
    static constexpr std::size_t kPoolThreads = 2;
    async::BlockingPool pool_{reactor_, kPoolThreads, 1000};
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

}  // namespace skiff::runtime
