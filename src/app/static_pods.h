// Pods that need no API server: those of a folder and of a URL (contract row 54).
#pragma once

#include <optional>
#include <string>

#include "app/static_files.h"
#include "app/static_url.h"
#include "async/scope.h"
#include "config/settings.h"

namespace skiff::app {

// Keeps the node's pods in step with both sources. Reactor thread.
class StaticPods {
public:
    // All outlive it. A source that the settings do not name is none.
    StaticPods(async::Executor executor, StaticPorts ports, const config::Settings& settings);
    StaticPods(const StaticPods&) = delete;
    StaticPods& operator=(const StaticPods&) = delete;

    // Reads the folder, then goes on in `scope`: the folder every fileCheckFrequency, the URL at
    // once and every httpCheckFrequency. This object outlives what `scope` runs.
    [[nodiscard]] async::Task<void> start(async::Scope& scope);
    // False when everything was read and understood last time. Otherwise `uid` may be that of a pod
    // whose manifest cannot be read now, if it looks like one that parse_static_pods() makes: what
    // the node has of it has to stay.
    [[nodiscard]] bool may_own(const PodUid& uid) const;

private:
    [[nodiscard]] async::Task<void> keep_files();
    [[nodiscard]] async::Task<void> keep_url();

    StaticPorts ports_;
    http::Client client_;
    std::optional<StaticFiles> files_;
    std::optional<StaticUrl> url_;
    Duration file_period_;
    Duration url_period_;
};

}  // namespace skiff::app
