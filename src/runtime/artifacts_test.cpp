// The compile cache with a compiler made for the test: who gets a turn, and what is tried again.
#include "runtime/artifacts.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <set>

#include "base/digest.h"
#include "base/text.h"
#include "os/file.h"
#include "os/machine.h"
#include "runtime/artifact_store.h"
#include "state/checkpoint.h"

namespace skiff::runtime {
namespace {

namespace fs = std::filesystem;
using async::Task;

// A machine without cgroups.
class NoCgroups final : public os::CgroupTree {
public:
    std::vector<std::string> bases() const override { return {}; }
    std::vector<std::string> warnings() const override { return {}; }
    Result<os::CgroupPlace> create(const std::string&, const os::CgroupLimits&) const override {
        return fail(Code::unsupported, "no cgroups");
    }
    Result<void> resize(const std::string&, const os::CgroupLimits&) const override { return {}; }
    os::CgroupPlace place(const std::string&) const override { return {}; }
    std::optional<os::CgroupUsage> usage(const std::string&) const override { return {}; }
    std::optional<std::uint64_t> oom_kills(const std::string&) const override { return {}; }
    Result<void> kill(const std::string&) const override { return {}; }
    std::vector<int> processes(const std::string&) const override { return {}; }
    Result<void> remove(const std::string&) const override { return {}; }
    std::vector<std::string> children(const std::string&) const override { return {}; }
};

// One compiler at a time. It notes the module in the log, waits until the gate is open and ends
// without an answer, as one that used up its memory.
class ArtifactsTest : public testing::Test {
public:
    ArtifactsTest() {
        folder_ = fs::temp_directory_path() / ("skiff-artifacts-" + random_.hex(6));
        paths_.root_dir = folder_ / "root";
        paths_.run_dir = folder_ / "run";
        for (const auto& path :
             {paths_.quarantine(), paths_.compiled(), paths_.checked_artifacts()}) {
            fs::create_directories(path);
        }
        program("");
        make(1);
    }
    // `more` follows each line of the log; a compiler that ends writes "-MODULE" if there is any.
    void program(const std::string& more) const {
        std::string out = ">> " + log().string() + "\n";
        std::ofstream(folder_ / "compiler")
            << "#!/bin/sh\nread module\necho $module" << more << " " << out << "while [ ! -e "
            << gate().string() << " ]; do /bin/sleep 0.005; done\n"
            << (more.empty() ? "" : "echo -$module " + out) << "exit 1\n";
        ::chmod((folder_ / "compiler").c_str(), 0700);
    }
    void make(unsigned at_once) {
        settings_.engine_program = folder_ / "compiler";
        settings_.at_once = at_once;
        artifacts_ = std::make_unique<Artifacts>(settings_, paths_, cgroups_, reactor_.executor(),
                                                 pool_, random_);
        EXPECT_TRUE(artifacts_->open());
        artifacts_->set_engine("build", "compatibility");
    }
    ~ArtifactsTest() override {
        artifacts_.reset();
        (void)os::remove_tree(folder_);
    }

    fs::path log() const { return folder_ / "log"; }
    fs::path gate() const { return folder_ / "gate"; }
    void open_gate() { std::ofstream(gate()) << ""; }

    std::vector<std::string> compiled() const {
        std::vector<std::string> lines;
        auto text = os::read_file(log(), 1_MiB).value_or("");
        for (std::string_view line : split(text, '\n')) {
            if (!line.empty()) {
                lines.emplace_back(line);
            }
        }
        return lines;
    }

    pods::ModuleFile module(const std::string& name) const {
        std::string bytes = name + "\n";
        fs::path path = folder_ / name;
        if (!fs::exists(path)) {
            std::ofstream(path) << bytes;
        }
        return pods::ModuleFile{path, "sha256:" + sha256_hex(bytes), Bytes{bytes.size()}};
    }
    Task<Result<pods::Artifact>> ask(std::string name) {
        std::function<void()> announce = [this] { ++announced_; };
        pods::CompileRequest request{module(name), {}, "wasmtime"};
        co_return co_await artifacts_->compile(std::move(request), std::move(announce));
    }
    Task<bool> is_cached(std::string name) {
        auto artifact = co_await ask(std::move(name));
        co_return artifact.has_value();
    }
    Task<Error> compile(std::string name) {
        auto artifact = co_await ask(std::move(name));
        EXPECT_FALSE(artifact);
        co_return artifact ? Error() : artifact.error();
    }
    static Task<void> compile_and_drop(ArtifactsTest* test, std::string name) {
        (void)co_await test->compile(std::move(name));
    }
    // Until `count` compilers have begun and `announced` callers wait for one.
    Task<void> reached(std::size_t count, int announced) {
        auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (compiled().size() < count || announced_ < announced) {
            if (std::chrono::steady_clock::now() > deadline) {
                ADD_FAILURE() << "only " << compiled().size() << " compilers, " << announced_
                              << " callers";
                co_return;
            }
            (void)co_await async::sleep_for(std::chrono::milliseconds(2));
        }
    }
    void run(Task<void> task) {
        auto whole = [](Artifacts* artifacts, Task<void> inner) -> Task<void> {
            co_await std::move(inner);
            co_await artifacts->stop();
        };
        async::run_to_end(reactor_, whole(artifacts_.get(), std::move(task)));
    }

    SystemRandom random_;
    async::Reactor reactor_;
    async::BlockingPool pool_{reactor_, 2, 100};
    fs::path folder_;
    state::Paths paths_;
    NoCgroups cgroups_;
    CompileSettings settings_;
    std::unique_ptr<Artifacts> artifacts_;
    int announced_ = 0;
};

TEST_F(ArtifactsTest, WhatFailedIsNotTriedAgainAtOnce) {
    open_gate();
    run([](ArtifactsTest* t) -> Task<void> {
        auto first = co_await t->compile("a");
        auto second = co_await t->compile("a");
        EXPECT_EQ(first.code, Code::exhausted);
        EXPECT_EQ(second.code, first.code);
        EXPECT_EQ(second.reason, first.reason);
        EXPECT_EQ(second.message, first.message);
        EXPECT_EQ(t->compiled(), std::vector<std::string>{"a"});
        EXPECT_EQ(t->announced_, 1);
        (void)co_await t->compile("b");
        EXPECT_EQ(t->compiled().size(), 2u);
    }(this));
}

TEST_F(ArtifactsTest, CompilersGoToThoseWhoWaitInOrderAndNotToThoseWhoLeft) {
    run([](ArtifactsTest* t) -> Task<void> {
        auto executor = co_await async::current_executor();
        async::Scope staying(executor);
        async::Scope leaving(executor);
        staying.spawn("a", compile_and_drop(t, "a"));
        co_await t->reached(1, 1);
        leaving.spawn("b", compile_and_drop(t, "b"));
        leaving.spawn("c", compile_and_drop(t, "c"));
        co_await t->reached(1, 3);
        staying.spawn("d", compile_and_drop(t, "d"));
        staying.spawn("c too", compile_and_drop(t, "c"));
        co_await t->reached(1, 5);
        co_await leaving.stop();
        t->open_gate();
        EXPECT_TRUE(co_await staying.join());
        EXPECT_EQ(t->compiled(), (std::vector<std::string>{"a", "c", "d"}));
    }(this));
}

TEST_F(ArtifactsTest, NoMoreCompilersRunThanAllowedAndAllAreIdle) {
    program(" $$");
    make(2);
    run([](ArtifactsTest* t) -> Task<void> {
        async::Scope all(co_await async::current_executor());
        for (const char* name : {"a", "b", "c", "d", "e"}) {
            all.spawn(name, compile_and_drop(t, name));
        }
        co_await t->reached(2, 5);
        for (const std::string& line : t->compiled()) {
            auto pid = parse_uint(line.substr(line.find(' ') + 1));
            EXPECT_EQ(::sched_getscheduler(static_cast<pid_t>(pid.value_or(0))), SCHED_IDLE)
                << line;
        }
        t->open_gate();
        EXPECT_TRUE(co_await all.join());
    }(this));
    int now = 0;
    int most = 0;
    for (const std::string& line : compiled()) {
        now += line.starts_with('-') ? -1 : 1;
        most = std::max(most, now);
    }
    EXPECT_EQ(most, 2);
    EXPECT_EQ(compiled().size(), 10U);
    EXPECT_EQ(Artifacts::at_once(1), 1U);
    EXPECT_EQ(Artifacts::at_once(2), 1U);
    EXPECT_EQ(Artifacts::at_once(8), 7U);
}

// Into the cache, as if a compiler had made it.
void put(const state::Paths& paths, const std::string& key, const std::string& engine,
         std::vector<SourceModule> modules, std::uint8_t wasi = 0) {
    std::ofstream(paths.compiled() / "out") << key;
    StoredFacts facts;
    facts.key = key;
    facts.engine = engine;
    facts.modules = std::move(modules);
    facts.facts.wasi = wasi;
    auto mac_key = state::load_checkpoint(paths.artifact_key(), "artifact-key");
    ASSERT_TRUE(mac_key);
    ASSERT_TRUE(store_artifact(paths, *mac_key, paths.compiled() / "out", facts));
}

std::string engine_of(const std::string& build) {
    return fmt::format("{}\ncompatibility\n{}", build, os::cpu_features());
}

TEST(ArtifactKey, DependsOnTheModulesInTheirOrderTheHandlerAndTheEngine) {
    const pods::ModuleFile a{"a", "sha256:a", 1_KiB};
    const pods::ModuleFile b{"b", "sha256:b", 1_KiB};
    const pods::ModuleFile c{"c", "sha256:c", 1_KiB};
    const pods::ModuleFile elsewhere{"copy", "sha256:a", 2_KiB};
    std::set<std::string> keys = {
        artifact_key({a, {}, "wasmtime"}, "e"),     artifact_key({a, {b}, "wasmtime"}, "e"),
        artifact_key({a, {b, c}, "wasmtime"}, "e"), artifact_key({a, {c, b}, "wasmtime"}, "e"),
        artifact_key({b, {a, c}, "wasmtime"}, "e"), artifact_key({a, {}, "pulley"}, "e"),
        artifact_key({a, {}, "wasmtime"}, "f")};
    EXPECT_EQ(keys.size(), 7U);
    EXPECT_EQ(artifact_key({elsewhere, {}, "wasmtime"}, "e"),
              artifact_key({a, {}, "wasmtime"}, "e"));
}

// As what the engine that the fixture sets made of `module`.
void put(const state::Paths& paths, const pods::ModuleFile& module, std::uint8_t wasi) {
    const std::string engine = engine_of("build");
    put(paths, artifact_key({module, {}, "wasmtime"}, engine), engine, {}, wasi);
}

// The upgraded one compiles what is asked for, when it is asked for.
TEST_F(ArtifactsTest, AnotherEngineCompilesAgainWhatItIsAskedFor) {
    open_gate();
    put(paths_, module("a"), 1);
    put(paths_, module("b"), 1);
    run([](ArtifactsTest* t) -> Task<void> {
        EXPECT_TRUE(co_await t->is_cached("a"));
        EXPECT_TRUE(t->compiled().empty());
        t->artifacts_->set_engine("build of tomorrow", "compatibility");
        (void)co_await t->compile("a");
        EXPECT_EQ(t->compiled(), std::vector<std::string>{"a"});
    }(this));
}

TEST_F(ArtifactsTest, RefusesWhatUsesWasi03WhereItIsOff) {
    settings_.wasi03 = false;
    make(1);
    put(paths_, module("two"), 2);
    put(paths_, module("three"), 3);
    run([](ArtifactsTest* t) -> Task<void> {
        EXPECT_TRUE(co_await t->is_cached("two"));
        auto error = co_await t->compile("three");
        EXPECT_EQ(error.code, Code::unsupported);
        EXPECT_EQ(error.reason, "CreateContainerError");
        EXPECT_NE(error.message.find("WASI 0.3, which this node does not offer"),
                  std::string::npos);
    }(this));
}

TEST_F(ArtifactsTest, CodeOfOtherEnginesGoesUnlessItRuns) {
    auto engine = engine_of("build");
    put(paths_, "present", engine, {{"sha256:1", 1}});
    put(paths_, "old", "older", {{"sha256:1", 1}});
    put(paths_, "runs", "older", {{"sha256:1", 1}});
    std::ofstream(paths_.compiled() / "broken.facts") << "nothing that is readable";
    std::ofstream(paths_.compiled() / ".x.tmp-1") << "of a compiler";
    run([](ArtifactsTest* t) -> Task<void> {
        auto listed = co_await t->artifacts_->cached();
        EXPECT_TRUE(listed && listed->size() == 4);
        Artifacts::Spared in_use = {"runs"};
        auto gone = co_await t->artifacts_->drop_stale(std::move(in_use));
        EXPECT_TRUE(gone && *gone == 2);
    }(this));
    auto left = *os::list_folder(paths_.compiled());
    EXPECT_EQ(left, (std::vector<std::string>{".x.tmp-1", "present", "present.facts", "runs",
                                              "runs.facts"}));
    EXPECT_EQ(*os::list_folder(paths_.checked_artifacts()),
              (std::vector<std::string>{"present", "runs"}));
}

TEST_F(ArtifactsTest, WhatIsDroppedIsGoneAndSaysHowLargeItWas) {
    put(paths_, "one", "e", {{"sha256:1", 1}, {"sha256:2", 2}});
    put(paths_, "runs", "e", {{"sha256:2", 2}});
    run([](ArtifactsTest* t) -> Task<void> {
        auto listed = co_await t->artifacts_->cached();
        EXPECT_TRUE(listed);
        EXPECT_EQ(listed->front().modules.back(), (SourceModule{"sha256:2", 2}));
        Artifacts::Spared in_use = {"runs"};
        auto freed = co_await t->artifacts_->drop(std::move(*listed), std::move(in_use));
        EXPECT_TRUE(freed && freed->value == 3);
        auto again = co_await t->artifacts_->cached();
        EXPECT_TRUE(again && again->size() == 1);
    }(this));
}

TEST_F(ArtifactsTest, WhoComesBackToAQueueThatWasLeftWaitsAnew) {
    run([](ArtifactsTest* t) -> Task<void> {
        auto executor = co_await async::current_executor();
        async::Scope staying(executor);
        async::Scope leaving(executor);
        staying.spawn("a", compile_and_drop(t, "a"));
        co_await t->reached(1, 1);
        leaving.spawn("b", compile_and_drop(t, "b"));
        co_await t->reached(1, 2);
        // The new caller joins the job at the moment it is given up.
        staying.spawn("b too", compile_and_drop(t, "b"));
        co_await leaving.stop();
        t->open_gate();
        EXPECT_TRUE(co_await staying.join());
        EXPECT_EQ(t->compiled(), (std::vector<std::string>{"a", "b"}));
    }(this));
}

}  // namespace
}  // namespace skiff::runtime
