// The real `skiff-engine compile`.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/paths_testing.h"
#include "base/sanitizer_testing.h"
#include "engine/testing.h"

namespace skiff::engine {
namespace {

namespace fs = std::filesystem;

class Compiler : public ::testing::Test {
protected:
    void SetUp() override { SKIFF_NOT_UNDER_THREAD_SANITIZER("the compiler is in a cage"); }
};

TEST_F(Compiler, SaysWhatAModuleIs) {
    const auto& core = testing::guest("actor");
    EXPECT_EQ(core.report.facts.kind, wire::ModuleKind::core);
    EXPECT_EQ(core.report.facts.wasi, 1);
    EXPECT_TRUE(core.report.facts.has_start);
    EXPECT_FALSE(core.report.facts.uses_sockets);
    EXPECT_GT(core.report.artifact_bytes, 1000U);
    EXPECT_FALSE(core.report.compatibility_key.empty());
    const auto& component = testing::guest("actor-component");
    EXPECT_EQ(component.report.facts.kind, wire::ModuleKind::component);
    EXPECT_TRUE(component.report.facts.has_run);
}

TEST_F(Compiler, InspectsWithoutCompiling) {
    const auto module = tests_source_folder() / "build/guests" / "actor.wasm";
    const auto seen = testing::compile(module, {"--inspect"});
    EXPECT_EQ(seen.report.code, wire::CompileCode::ok) << seen.report.message;
    EXPECT_EQ(seen.report.facts, testing::guest("actor").report.facts);
    EXPECT_EQ(seen.report.artifact_bytes, 0U);
    struct stat artifact{};
    ASSERT_EQ(::fstat(seen.artifact.get(), &artifact), 0);
    EXPECT_EQ(artifact.st_size, 0);
    // What an engine lacks is said, and what the module is all the same.
    const auto component = tests_source_folder() / "build/guests" / "actor-component.wasm";
    const auto lacking = testing::compile(component, {"--inspect", "--engine=wasmi"});
    EXPECT_EQ(lacking.report.code, wire::CompileCode::unsupported);
    EXPECT_EQ(lacking.report.facts.kind, wire::ModuleKind::component);
    EXPECT_EQ(testing::compile("/dev/null", {"--inspect"}).report.code, wire::CompileCode::invalid);
}

TEST_F(Compiler, RefusesWhatIsNoModule) {
    const auto result = testing::compile("/etc/passwd");
    EXPECT_EQ(result.report.code, wire::CompileCode::invalid);
    EXPECT_FALSE(result.report.message.empty());
    EXPECT_EQ(testing::compile("/dev/null").report.code, wire::CompileCode::invalid);
}

TEST_F(Compiler, StaysWithinItsMemory) {
    if (!kLimitsAddressSpace) {
        GTEST_SKIP() << "under a sanitizer the compiler's address space has no limit";
    }
    const auto module = tests_source_folder() / "build/guests" / "hello-go.wasm";
    const auto small = testing::compile(module, {"--memory-bytes=40000000"});
    EXPECT_EQ(small.report.code, wire::CompileCode::exhausted) << small.report.message;
    EXPECT_NE(small.report.message.find("38 MiB"), std::string::npos) << small.report.message;
}

TEST_F(Compiler, StaysWithinItsTime) {
    const auto module = tests_source_folder() / "build/guests" / "hello-go.wasm";
    const auto slow = testing::compile(module, {"--cpu-seconds=1"});
    EXPECT_EQ(slow.report.code, wire::CompileCode::exhausted) << slow.report.message;
    EXPECT_NE(slow.report.message.find("1 second"), std::string::npos) << slow.report.message;
}

}  // namespace
}  // namespace skiff::engine
