#include "runtime/runtime.h"

#include "runtime/live_fixture.h"

namespace skiff::runtime {
namespace {

TEST_F(Live, RunsAGuestAndTellsItsExitCode) {
    run([](Live* t) -> Task<void> {
        co_await t->boot();
        auto id = co_await t->start_actor("print ahoy ; exit 7");
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
        auto id = co_await t->start_actor("trap");
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
        auto id = co_await t->start_actor("write /dev/termination-log sunk ; exit 130");
        CO_REQUIRE_OK(id);
        auto found = co_await t->ended(*id);
        EXPECT_EQ(found.exit->exit_code, 130);
        EXPECT_THAT(found.exit->message, testing::StartsWith("sunk"));
    }(this));
}

// terminationMessagePolicy FallbackToLogsOnError (contract row 42).
TEST_F(Live, TheEndOfTheLogIsTheMessageOfAFailedGuestThatLeftNone) {
    run([](Live* t) -> Task<void> {
        co_await t->boot();
        auto message_of = [t](std::string_view script) -> Task<std::string> {
            auto id = co_await t->start_actor(script);
            if (!id) {
                ADD_FAILURE() << format_as(id.error());
                co_return "";
            }
            auto found = co_await t->ended(*id);
            co_return found.exit->message;
        };
        EXPECT_EQ(co_await message_of("print leak ; exit 3"), "");
        t->spec_.message_fallback = pods::ContainerSpec::MessageFallback::log;
        EXPECT_EQ(co_await message_of("print leak ; exit 3"), "leak\n");
        EXPECT_EQ(co_await message_of("print dry ; exit 0"), "");
        auto file = co_await message_of("print leak ; write /dev/termination-log sunk ; exit 3");
        EXPECT_THAT(file, testing::StartsWith("sunk"));
        EXPECT_THAT(co_await message_of("print leak ; trap"), testing::HasSubstr("unreachable"));
    }(this));
}

TEST_F(Live, MemoryLimitIsOomKilled) {
    run([](Live* t) -> Task<void> {
        co_await t->boot();
        t->spec_.limits.memory = 32_MiB;
        auto id = co_await t->start_actor("grow 100");
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
        auto id = co_await t->start_actor("print up ; hold");
        CO_REQUIRE_OK(id);
        co_await t->wrote(*id, "up");
        auto usage = t->runtime_->usage(*id);
        CO_REQUIRE(usage, "no usage");
        EXPECT_GT(usage->memory_working_set.value, 0U);
        auto removed = co_await t->runtime_->remove(*id);
        EXPECT_EQ(removed.error().code, Code::conflict);
        auto second = co_await t->start_actor("hold");
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

// What else a runner may not do, sandbox_test asks one call at a time.
TEST_F(Live, OnlyRunnersOfWasmtimeMayMapCode) {
    run([](Live* t) -> Task<void> {
        co_await t->boot();
        for (const char* handler : {"wasmtime", "pulley", "wasmi"}) {
            t->spec_.runtime_handler = handler;
            auto id = co_await t->start_actor("print up ; hold");
            CO_REQUIRE_OK(id);
            co_await t->wrote(*id, "up");
            auto process = fmt::format("/proc/{}", t->record(*id)->pid);
            auto status = os::read_kernel_file(process + "/status");
            CO_REQUIRE_OK(status);
            const bool is_native = handler == std::string_view("wasmtime");
            // The guest's filter, and before it the one that forbids executable memory.
            EXPECT_THAT(*status, testing::HasSubstr(is_native ? "Seccomp_filters:\t1\n"
                                                              : "Seccomp_filters:\t2\n"))
                << handler;
            auto maps = os::read_kernel_file(process + "/maps");
            CO_REQUIRE_OK(maps);
            std::size_t of_artifacts = 0;
            for (std::string_view line : split(*maps, '\n')) {
                of_artifacts +=
                    line.find("r-xp") != line.npos && line.find("/compiled/") != line.npos;
            }
            EXPECT_EQ(of_artifacts, is_native ? 1U : 0U) << handler << ":\n" << *maps;
            auto stopped = co_await t->runtime_->stop(*id, seconds(30));
            CO_REQUIRE_OK(stopped);
        }
    }(this));
}

TEST_F(Live, AShorterStopOvertakesALongerOne) {
    run([](Live* t) -> Task<void> {
        co_await t->boot();
        t->spec_.stop_mode = pods::ContainerSpec::StopMode::file;
        auto id = co_await t->start_actor("print up ; hold");
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
        auto joined = co_await scope.join(soon());
        EXPECT_TRUE(joined);
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
        auto id = co_await t->start_actor("exit 0");
        CO_REQUIRE_OK(id);
        auto finished = co_await t->ended(*id);
        EXPECT_EQ(finished.exit->exit_code, 0);
    }(this));
}

// The engine behind a script that notes each compiler.
class Counting : public Live {
public:
    void SetUp() override {
        Live::SetUp();
        if (IsSkipped()) {
            return;
        }
        auto script = folder_ / "engine";
        std::ofstream(script) << "#!/bin/sh\n[ \"$1\" = compile ] && echo $* >> "
                              << (folder_ / "compilers").string() << "\nexec "
                              << engine_program().string() << " \"$@\"\n";
        ::chmod(script.c_str(), 0700);
        settings_.engine_program = script;
    }
    std::size_t compilers() const {
        auto text = contents(folder_ / "compilers");
        return static_cast<std::size_t>(std::ranges::count(text, '\n'));
    }
};

TEST_F(Counting, AContainerOfACompiledModuleStartsWithNoCompilerAtAll) {
    run([](Counting* t) -> Task<void> {
        co_await t->boot();
        for (int i = 0; i < 3; ++i) {
            auto id = co_await t->start_actor("exit 0");
            CO_REQUIRE_OK(id);
            auto finished = co_await t->ended(*id);
            EXPECT_EQ(finished.exit->exit_code, 0);
        }
        EXPECT_EQ(t->compilers(), 1U);
        co_await t->crash();
        co_await t->boot();
        auto id = co_await t->start_actor("exit 0");
        CO_REQUIRE_OK(id);
        (void)co_await t->ended(*id);
        EXPECT_EQ(t->compilers(), 1U);
    }(this));
}

TEST_F(Live, CodeGoesWithTheLastModuleItWasMadeOfButNeverFromUnderAContainer) {
    run([](Live* t) -> Task<void> {
        co_await t->boot();
        auto id = co_await t->start_actor("print up ; hold");
        CO_REQUIRE_OK(id);
        co_await t->wrote(*id, "up");
        auto artifact = co_await t->compile("actor.wasm");
        CO_REQUIRE_OK(artifact);
        auto modules = co_await t->runtime_->compiled_modules();
        CO_REQUIRE_OK(modules);
        CO_REQUIRE(modules->size() == 1, "");
        EXPECT_EQ(modules->front().bytes, fs::file_size(guest("actor.wasm")));
        std::set<std::string> left = {modules->front().digest};
        auto nothing = co_await t->runtime_->drop_artifacts(std::move(left));
        EXPECT_TRUE(nothing && nothing->value == 0);
        // Its container runs, for this agent and for the next.
        for (int life = 0; life < 2; ++life) {
            std::set<std::string> none;
            auto spared = co_await t->runtime_->drop_artifacts(none);
            EXPECT_TRUE(spared && spared->value == 0);
            EXPECT_TRUE(fs::exists(t->paths_.compiled() / artifact->key));
            co_await t->crash();
            co_await t->boot();
        }
        auto stopped = co_await t->runtime_->stop(*id, Duration::zero());
        CO_REQUIRE_OK(stopped);
        std::set<std::string> none;
        auto dropped = co_await t->runtime_->drop_artifacts(none);
        EXPECT_TRUE(dropped && dropped->value > 0);
        EXPECT_FALSE(fs::exists(t->paths_.compiled() / artifact->key));
        auto again = co_await t->compile("actor.wasm");
        CO_REQUIRE_OK(again);
        EXPECT_EQ(again->source, pods::Artifact::Source::compiled);
    }(this));
}

TEST_F(Live, CodeOfAnOlderEngineGoesAtTheStart) {
    run([](Live* t) -> Task<void> {
        co_await t->boot();
        auto artifact = co_await t->compile("actor.wasm");
        CO_REQUIRE_OK(artifact);
        auto compiled = t->paths_.compiled();
        // What an engine before this one had made, as far as names say.
        fs::copy(compiled / artifact->key, compiled / "older");
        fs::copy(compiled / (artifact->key + ".facts"), compiled / "older.facts");
        co_await t->crash();
        co_await t->boot();
        auto deadline = soon();
        while (fs::exists(compiled / "older") || fs::exists(compiled / "older.facts")) {
            CO_REQUIRE(std::chrono::steady_clock::now() < deadline, "it stays");
            (void)co_await async::sleep_for(std::chrono::milliseconds(2));
        }
        auto kept = co_await t->compile("actor.wasm");
        CO_REQUIRE_OK(kept);
        EXPECT_EQ(kept->source, pods::Artifact::Source::cached);
    }(this));
}

TEST_F(Live, RefusesCodeThatSomebodyPutIntoAnImage) {
    run([](Live* t) -> Task<void> {
        co_await t->boot();
        auto artifact = co_await t->compile("actor.wasm");
        CO_REQUIRE_OK(artifact);
        // Code that this very engine would run, had it made it for itself.
        pods::ModuleFile module;
        module.path = t->paths_.compiled() / artifact->key;
        auto fd = os::open(module.path, O_RDONLY);
        module.digest = "sha256:" + state::hash_file(fd->get())->hex;
        module.size = Bytes{fs::file_size(module.path)};
        for (const char* handler : {"wasmtime", "pulley", "wasmi"}) {
            auto refused = co_await t->compile_file(module, handler);
            CO_REQUIRE(!refused, "native code was taken");
            EXPECT_EQ(refused.error().code, Code::invalid);
            EXPECT_THAT(refused.error().message, testing::HasSubstr("not a Wasm module"));
            EXPECT_THAT(refused.error().message, testing::HasSubstr("(ELF)"));
        }
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
        auto refused = co_await t->compile_file(module, "wasmtime");
        CO_REQUIRE(!refused, "compiled a script");
        EXPECT_EQ(refused.error().reason, "CreateContainerError");
        EXPECT_EQ(refused.error().code, Code::invalid);
        module.digest = "sha256:" + sha256_hex("something else");
        auto other = co_await t->compile_file(module, "wasmtime");
        CO_REQUIRE(!other, "compiled other bytes");
        EXPECT_EQ(other.error().code, Code::corrupt);
        auto handler = co_await t->compile_file(module, "nobody");
        EXPECT_EQ(handler.error().code, Code::unsupported);
    }(this));
}

TEST_F(Live, LogsAreNamedAsCollectorsExpect) {
    run([](Live* t) -> Task<void> {
        t->settings_.logs.file_max = 64_KiB;
        t->settings_.logs.files = 4;
        co_await t->boot();
        auto id = co_await t->start_actor("flood 3000 50 ; exit 0");
        CO_REQUIRE_OK(id);
        auto found = co_await t->ended(*id);
        co_await t->logs_named(found.log_path.parent_path());
        auto names = *os::list_folder(found.log_path.parent_path());
        EXPECT_THAT(names, testing::Contains("0.log"));
        EXPECT_THAT(names, testing::Contains(testing::StartsWith("0.log.20")));
        EXPECT_EQ(names.size(), 4U);
        // The last line is in the current file.
        EXPECT_THAT(contents(found.log_path), testing::HasSubstr(" stdout F "));
        for (const auto& name : names) {
            EXPECT_LE(fs::file_size(found.log_path.parent_path() / name), 64U << 10);
        }
        auto done3 = co_await t->runtime_->remove(*id);
        CO_REQUIRE_OK(done3);
        EXPECT_FALSE(fs::exists(found.log_path.parent_path()));
        EXPECT_THAT(*os::list_folder(t->paths_.container_log_dir), testing::IsEmpty());
    }(this));
}

TEST_F(Live, ARemovedPodLeavesNothing) {
    run([](Live* t) -> Task<void> {
        co_await t->boot();
        auto id = co_await t->start_actor("exit 0");
        CO_REQUIRE_OK(id);
        (void)co_await t->ended(*id);
        EXPECT_THAT(t->runtime_->pods(), testing::ElementsAre(PodUid("uid-1")));
        auto done4 = co_await t->runtime_->remove_pod(PodUid("uid-1"));
        CO_REQUIRE_OK(done4);
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

TEST_F(Live, StartsInMilliseconds) {
    run([](Live* t) -> Task<void> {
        co_await t->boot();
        std::vector<double> times;
        std::vector<std::string> none;
        for (int i = 0; i < 50; ++i) {
            auto begun = t->clock_.wall_now();
            auto id = co_await t->start_guest("hello.wasm", none);
            CO_REQUIRE_OK(id);
            auto found = co_await t->ended(*id);
            std::string text = printed(found.log_path);
            auto words = split(trim(text), ' ');
            auto ns = parse_int(words.back());
            CO_REQUIRE(ns, contents(found.log_path));
            auto begun_ns =
                std::chrono::duration_cast<std::chrono::nanoseconds>(begun.time_since_epoch());
            times.push_back(static_cast<double>(*ns - begun_ns.count()) / 1e6);
            auto done6 = co_await t->runtime_->remove(*id);
            CO_REQUIRE_OK(done6);
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
