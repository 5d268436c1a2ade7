// The agent's rooms without an API server, for the programs of this folder.
#pragma once

#include <cstdio>
#include <filesystem>
#include <utility>

#include "app/rooms.h"
#include "config/fields.h"
#include "runtime/reset.h"

namespace skiff::bench {

class NoEvents final : public pods::EventSink {
public:
    void emit(const kube::Pod&, std::string_view, pods::EventType, std::string_view,
              std::string_view) override {}
};

// Of an agent that has all of its state below `folder`.
inline config::Settings settings_below(const std::filesystem::path& folder) {
    config::Settings settings;
    settings.node_name = "bench";
    settings.root_dir = folder / "root";
    settings.run_dir = folder / "run";
    settings.pod_log_dir = folder / "pods";
    return settings;
}

// Completes the settings, opens the instance, runs the task that `work(base, instance)` gives to
// its end, and removes all that the instance left. Returns the program's exit code; what failed is
// on stderr.
template <typename Work>
int run_in_rooms(config::Settings& settings, Work&& work) {
    auto resolved = config::resolve(settings);
    app::Base base;
    auto instance = state::Instance::open(app::paths_of(settings), base.random);
    if (!resolved || !instance) {
        fmt::print(stderr, "{}\n", format_as(resolved ? instance.error() : resolved.error()));
        return 1;
    }
    auto done = async::run_to_end(base.reactor, work(base, **instance));
    if (!done) {
        fmt::print(stderr, "{}\n", format_as(done.error()));
    }
    runtime::ResetSettings reset;
    reset.scope = runtime::ResetSettings::Scope::all;
    auto cleaned =
        async::run_to_end(base.reactor, runtime::reset(**instance, base.reactor.executor(), reset));
    return done && cleaned ? 0 : 1;
}

}  // namespace skiff::bench
