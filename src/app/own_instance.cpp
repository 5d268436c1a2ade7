#include "app/own_instance.h"

#include <unistd.h>

#include <cstdlib>

#include "app/rooms.h"
#include "config/fields.h"

namespace skiff::app {

namespace fs = std::filesystem;

// How many `skiff run` may go on at once for one user.
constexpr int kInstancesMax = 64;

static fs::path home_of(const char* variable, const fs::path& below_home) {
    const char* set = std::getenv(variable);
    if (set != nullptr && set[0] == '/') {
        return set;
    }
    const char* home = std::getenv("HOME");
    return fs::path(home != nullptr && home[0] == '/' ? home : "/tmp") / below_home;
}

// The folders of instance `number`: the first one that is free is taken, so that images and
// compiled modules of earlier runs are there, and runs at the same time do not meet.
static void place(config::Settings& settings, const fs::path& root, int number) {
    std::string name = fmt::format("{}", number);
    settings.root_dir = root / name;
    bool is_root = ::geteuid() == 0;
    fs::path run =
        is_root ? fs::path("/run") : home_of("XDG_RUNTIME_DIR", ".local/share/skiff/runtime");
    // Two roots must not meet in one run folder.
    auto tag = std::hash<std::string>()(root.string()) & 0xffffff;
    settings.run_dir = run / fmt::format("skiff-run-{:06x}-{}", tag, number);
    settings.pod_log_dir = settings.root_dir / "logs" / "pods";
    settings.container_log_dir = settings.root_dir / "logs" / "containers";
    // Who runs a guest by hand waits for it, and is nobody's neighbour.
    settings.container_log_max_per_second = {};
}

Result<void> settle_own(config::Settings& settings, const std::vector<std::string>& plain_http) {
    for (const std::string& host : plain_http) {
        config::RegistrySetting registry;
        registry.host = host;
        registry.scheme = config::RegistrySetting::Scheme::http;
        settings.registries.push_back(std::move(registry));
    }
    fs::path docker = home_of("DOCKER_CONFIG", ".docker") / "config.json";
    std::error_code error;
    if (fs::exists(docker, error)) {
        settings.docker_config = docker;
    }
    return config::resolve(settings);
}

fs::path own_root(const fs::path& given) {
    return given.empty() ? home_of("XDG_DATA_HOME", ".local/share") / "skiff" : fs::absolute(given);
}

Result<std::unique_ptr<state::Instance>> open_own_instance(const fs::path& root,
                                                           config::Settings& settings,
                                                           Random& random) {
    fs::path folder = own_root(root);
    for (int number = 0; number < kInstancesMax; ++number) {
        place(settings, folder, number);
        auto instance = state::Instance::open(paths_of(settings), random);
        if (instance || instance.error().code != Code::conflict) {
            return instance;
        }
    }
    return fail(Code::exhausted, "{} `skiff run` are going on already", kInstancesMax);
}

}  // namespace skiff::app
