// The compile cache with a compiler made for the test: who gets a turn, and what is tried again.
#include "runtime/artifacts.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "base/digest.h"
#include "base/text.h"
#include "os/file.h"

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
        CompileSettings settings;
        settings.engine_program = folder_ / "compiler";
        settings.at_once = 1;
        std::ofstream(settings.engine_program)
            << "#!/bin/sh\nread module\necho $module >> " << log().string() << "\nwhile [ ! -e "
            << gate().string() << " ]; do /bin/sleep 0.005; done\nexit 1\n";
        ::chmod(settings.engine_program.c_str(), 0700);
        artifacts_ = std::make_unique<Artifacts>(settings, paths_, cgroups_, reactor_.executor(),
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
    Task<Error> compile(std::string name) {
        std::function<void()> announce = [this] { ++announced_; };
        pods::CompileRequest request{module(name), {}, "wasmtime"};
        auto artifact = co_await artifacts_->compile(std::move(request), std::move(announce));
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
