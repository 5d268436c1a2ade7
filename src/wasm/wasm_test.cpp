#include "wasm/engine.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

namespace skiff::wasm {
namespace {

// (module (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
//   (memory (export "memory") 1) (func (export "_start") i32.const 42 call 0))
const std::vector<std::uint8_t> kExit42 = {
    0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x02, 0x60, 0x01, 0x7f, 0x00, 0x60,
    0x00, 0x00, 0x02, 0x24, 0x01, 0x16, 'w',  'a',  's',  'i',  '_',  's',  'n',  'a',  'p',  's',
    'h',  'o',  't',  '_',  'p',  'r',  'e',  'v',  'i',  'e',  'w',  '1',  0x09, 'p',  'r',  'o',
    'c',  '_',  'e',  'x',  'i',  't',  0x00, 0x00, 0x03, 0x02, 0x01, 0x01, 0x05, 0x03, 0x01, 0x00,
    0x01, 0x07, 0x13, 0x02, 0x06, 'm',  'e',  'm',  'o',  'r',  'y',  0x02, 0x00, 0x06, '_',  's',
    't',  'a',  'r',  't',  0x00, 0x01, 0x0a, 0x08, 0x01, 0x06, 0x00, 0x41, 0x2a, 0x10, 0x00, 0x0b};

class Discard : public OutputSink {
    void write(int, std::string_view) override {}
};

int file_with(std::string_view bytes) {
    const int fd = ::memfd_create("artifact", MFD_CLOEXEC);
    EXPECT_EQ(::write(fd, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    return fd;
}

TEST(WasmEngine, CompilesLoadsAndRunsInAFork) {
    const auto engine = Engine::create({});
    ASSERT_TRUE(engine) << engine.error().message;
    Inspection facts;
    ASSERT_TRUE(inspect(Runtime::wasmtime, kExit42, facts));
    const auto artifact = engine->compile(kExit42);
    ASSERT_TRUE(artifact) << artifact.error().message;
    EXPECT_EQ(facts.kind, ModuleKind::core);
    EXPECT_EQ(facts.wasi, WasiLevel::v01);
    EXPECT_TRUE(facts.has_start);
    EXPECT_FALSE(facts.uses_sockets);
    EXPECT_EQ(facts.imports, std::vector<std::string>{"wasi_snapshot_preview1 proc_exit"});
    const int file = file_with(artifact->bytes());
    const pid_t pid = ::fork();
    if (pid == 0) {
        const auto module = engine->load(file);
        Discard discard;
        GuestGrant grant;
        grant.args = {"exit"};
        grant.output = &discard;
        const Outcome outcome = module ? run(*module, grant) : Outcome{};
        ::_exit(outcome.kind == OutcomeKind::exited ? outcome.exit_code : 1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 42);
}

TEST(WasmEngine, SaysWhatIsWrongWithAModule) {
    Inspection facts;
    const std::string text = "#!/bin/sh\necho no\n";
    const std::vector<std::uint8_t> script(text.begin(), text.end());
    const auto invalid = inspect(Runtime::wasmtime, script, facts);
    ASSERT_FALSE(invalid);
    EXPECT_EQ(invalid.error().code, Code::invalid);
    std::vector<std::uint8_t> unknown = kExit42;
    unknown[45] = 'q';  // proc_exit becomes qroc_exit
    const auto unsupported = inspect(Runtime::wasmtime, unknown, facts);
    ASSERT_FALSE(unsupported);
    EXPECT_EQ(unsupported.error().code, Code::unsupported);
    EXPECT_NE(unsupported.error().message.find("qroc_exit"), std::string::npos)
        << unsupported.error().message;
    EXPECT_EQ(facts.imports.size(), 1U);
}

TEST(WasmEngine, RefusesAForeignArtifact) {
    const auto engine = Engine::create({});
    ASSERT_TRUE(engine);
    const int file = file_with(std::string(8192, 'x'));
    const auto module = engine->load(file);
    ASSERT_FALSE(module);
    EXPECT_FALSE(module.error().message.empty());
    EXPECT_FALSE(compatibility_key()->empty());
    EXPECT_TRUE(version().starts_with("wasmtime "));
}

}  // namespace
}  // namespace skiff::wasm
