// skiff-engine: the executable that keeps, runs and compiles guests. Started by the agent only.
#include <fmt/format.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "base/log_format.h"
#include "base/sanitizer.h"
#include "base/text.h"
#include "engine/compiler.h"
#include "engine/identity.h"
#include "engine/keeper.h"
#include "wasm/engine.h"
#include "wire/compile.h"

namespace skiff::engine {
namespace {

constexpr std::string_view kUsage =
    "usage: skiff-engine keep --run-dir=DIR [--die-with-parent] [--starts-max=N]\n"
    "                         [--log-level=warn] [--log-format=json]\n"
    "       skiff-engine compile [--inspect] [--engine=NAME] [--plugs=N] [--memory-bytes=N]\n"
    "                            [--cpu-seconds=N]\n"
    "       skiff-engine version\n";

constexpr int kExitOk = 0;
constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

// "--name=value": the value, if `word` is that option.
std::optional<std::string_view> value_of(std::string_view word, std::string_view name) {
    if (word.starts_with(name) && word.substr(name.size()).starts_with("=")) {
        return word.substr(name.size() + 1);
    }
    return std::nullopt;
}

// Sets `into` if `word` is the option; false if its value is no number.
bool set_number(std::string_view word, std::string_view name, std::uint64_t& into, bool& known) {
    const auto text = value_of(word, name);
    if (!text) {
        return true;
    }
    known = true;
    const auto number = parse_uint(*text);
    into = number.value_or(into);
    return number.has_value();
}

int misused(std::string_view word) {
    fmt::print(stderr, "skiff-engine: unknown argument '{}'\n{}", word, kUsage);
    return kExitUsage;
}

int failed(const Error& error) {
    fmt::print(stderr, "skiff-engine: {}\n", error.message);
    return kExitFailed;
}

int keep(const std::vector<std::string_view>& words) {
    KeeperSettings settings;
    for (const auto word : words) {
        bool known = false;
        std::uint64_t resume = 0;
        if (const auto folder = value_of(word, "--run-dir")) {
            settings.run_dir = *folder;
        } else if (word == "--die-with-parent") {
            settings.lifetime = Lifetime::with_keeper;
        } else if (!log::take_argument(word) &&
                   (!set_number(word, "--starts-max", settings.starts_max, known) ||
                    !set_number(word, "--resume-fd", resume, known) || !known)) {
            return misused(word);
        }
        if (resume > 0) {
            settings.resume_fd = static_cast<int>(resume);
        }
    }
    if (!settings.run_dir.starts_with("/")) {
        fmt::print(stderr, "skiff-engine: --run-dir must be an absolute path\n{}", kUsage);
        return kExitUsage;
    }
    // Executed anew by way of /proc, its name in lists of processes were "exe".
    ::prctl(PR_SET_NAME, "skiff-engine");
    // A session of its own: no terminal reaches it. Fails harmlessly when it leads one already.
    (void)::setsid();
    auto keeper = Keeper::create(settings);
    if (!keeper) {
        // Another one serves: what was asked for is there.
        return keeper.error().code == Code::exists ? kExitOk : failed(keeper.error());
    }
    const auto served = (*keeper)->run();
    return served ? kExitOk : failed(served.error());
}

int compile_module(const std::vector<std::string_view>& words) {
    CompileSettings settings;
    for (const auto word : words) {
        bool known = false;
        if (word.starts_with("--engine=")) {
            const auto engine = wire::find_engine(word.substr(word.find('=') + 1));
            if (!engine) {
                return misused(word);
            }
            settings.runtime = static_cast<wasm::Runtime>(*engine);
            continue;
        }
        if (word == "--inspect") {
            settings.work = CompileSettings::Work::inspect;
            continue;
        }
        if (!set_number(word, "--plugs", settings.plugs, known) ||
            !set_number(word, "--memory-bytes", settings.memory_bytes_max, known) ||
            !set_number(word, "--cpu-seconds", settings.cpu_seconds_max, known) || !known) {
            return misused(word);
        }
    }
    if (settings.plugs > wire::kCompilePlugsMax) {
        return misused("--plugs");
    }
    const auto status = compile(settings);
    return status ? *status : failed(status.error());
}

int version() {
    const auto key = wasm::compatibility_key();
    if (!key) {
        return failed(key.error());
    }
    std::vector<std::string_view> runtimes;
    for (const auto name : wire::kEngineNames) {
        if (wasm::has_runtime(static_cast<wasm::Runtime>(*wire::find_engine(name)))) {
            runtimes.push_back(name);
        }
    }
    fmt::print("build={}\nengine={}\nruntimes={}\ncompatibility-key={}\nversion={}\n", build_id(),
               wasm::version(), fmt::join(runtimes, ","), *key, SKIFF_VERSION);
    return kExitOk;
}

int run(const std::vector<std::string_view>& words) {
    if (words.empty()) {
        fmt::print(stderr, "{}", kUsage);
        return kExitUsage;
    }
    const std::vector<std::string_view> rest(words.begin() + 1, words.end());
    if (words[0] == "keep") {
        return keep(rest);
    }
    if (words[0] == "compile") {
        return compile_module(rest);
    }
    if (words[0] == "version" && rest.empty()) {
        return version();
    }
    return misused(words[0]);
}

}  // namespace
}  // namespace skiff::engine

#if defined(__SANITIZE_ADDRESS__)
// The search for leaks starts a process that reads this one's memory. A locked-up compiler may not,
// and all others leave by _exit.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() {
    return "detect_leaks=0";
}
#endif

int main(int argc, char** argv) {
    return skiff::engine::run({argv + 1, argv + argc});
}
