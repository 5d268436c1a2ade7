// Credential plugins are real programs here.
#include "node/exec_plugin.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "async/scope.h"
#include "base/random.h"
#include "os/file.h"
#include "os/process.h"

namespace skiff::node {
namespace {

namespace fs = std::filesystem;

class ExecPlugin : public testing::Test {
protected:
    ExecPlugin() {
        folder_ = fs::temp_directory_path() / ("skiff-plugin-" + random_.hex(6));
        fs::create_directory(folder_);
        plugin_.command = (folder_ / "plugin").string();
    }
    ~ExecPlugin() override { (void)os::remove_tree(folder_); }

    void write(const std::string& script) {
        std::ofstream(plugin_.command) << "#!/bin/sh\n" << script;
        fs::permissions(plugin_.command, fs::perms::owner_all);
    }
    // Its output, or what is wrong.
    std::string run(PluginLimits limits = {}) {
        auto output = async::run_to_end(reactor_, run_exec_plugin(plugin_, "{info}", limits));
        return output ? *output : "failed: " + output.error().message;
    }

    SystemRandom random_;
    async::Reactor reactor_;
    fs::path folder_;
    kube::ExecPlugin plugin_;
};

TEST_F(ExecPlugin, GetsArgumentsVariablesAndTheRequestAndNoInput) {
    plugin_.args = {"a b", "$(id)"};
    plugin_.env = {{"REGION", "first"}, {"REGION", "here"}, {"HOME", "/nowhere"}};
    write(
        R"(printf '%s|' "$#" "$1" "$2" "$REGION" "$HOME" "$KUBERNETES_EXEC_INFO"; wc -c; echo x >&2)");
    EXPECT_EQ(run(), "2|a b|$(id)|here|/nowhere|{info}|0\n");
}

TEST_F(ExecPlugin, IsLookedForInPathWithoutASlash) {
    plugin_.command = "printenv";
    plugin_.args = {"KUBERNETES_EXEC_INFO"};
    EXPECT_EQ(run(), "{info}\n");
    plugin_.command = "no-such-plugin-of-skiff";
    plugin_.install_hint = "apt-get install it";
    EXPECT_EQ(run(), "failed: no such program: apt-get install it");
}

TEST_F(ExecPlugin, TellsItsExitCodeAndTheEndOfItsErrors) {
    write("echo secret; echo no network >&2; exit 3");
    EXPECT_EQ(run(), "failed: exit code 3: no network");
    write("kill -9 $$");
    EXPECT_EQ(run(), "failed: exit code 137: ");
}

TEST_F(ExecPlugin, WritesNoMoreThanItsLimit) {
    write("while :; do echo 0123456789; done");
    PluginLimits limits;
    limits.output = 64_KiB;
    EXPECT_EQ(run(limits), "failed: it wrote more than 64 KiB");
    write("while :; do echo 0123456789 >&2; done");
    EXPECT_EQ(run(limits), "failed: it wrote more than 64 KiB");
}

TEST_F(ExecPlugin, IsKilledWithWhatItStartedWhenItTakesTooLong) {
    PluginLimits limits;
    limits.time = std::chrono::milliseconds(50);
    fs::path pid = folder_ / "pid";
    // The grandchild holds the pipes.
    write("sleep 1000 & echo $! >" + pid.string() + "; wait");
    EXPECT_EQ(run(limits), "failed: it did not end within 50ms");
    long number = 0;
    if (std::ifstream(pid) >> number) {
        auto left = os::open_pidfd(static_cast<pid_t>(number));
        EXPECT_TRUE(!left || os::wait_ended(left->get(), 10'000));
    }
}

TEST_F(ExecPlugin, IsKilledWhenNobodyWaitsForItAnyMore) {
    write("exec sleep 1000");
    auto body = [&]() -> async::Task<Result<std::string>> {
        auto running = run_exec_plugin(plugin_, "");
        co_return co_await async::with_deadline(std::move(running),
                                                after(std::chrono::milliseconds(50)), "plugin");
    };
    auto done = async::run_to_end(reactor_, body());
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, Code::timeout);
}

}  // namespace
}  // namespace skiff::node
