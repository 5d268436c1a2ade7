#include "app/workload.h"

#include "app/static_manifest.h"
#include "base/fuzz.h"
#include "kube/validate.h"

namespace skiff::app {

static void check_static_pods(std::string_view text) {
    const WallTime now = std::chrono::sys_days(std::chrono::year(2026) / 11 / 25);
    const ManifestSource source{ManifestSource::Kind::file, "/etc/skiff/manifests/x.yaml"};
    const auto pods = parse_static_pods(text, source, "node", now);
    if (!pods) {
        fuzz::check_error(pods.error());
        return;
    }
    for (const kube::Pod& pod : *pods) {
        SKIFF_ASSERT(pod.metadata.name.ends_with("-node") && !pod.metadata.uid.empty());
        SKIFF_ASSERT(kube::validate(pod).has_value());
    }
}

SKIFF_FUZZ(app_workload) {
    check_static_pods(bytes);
    const auto workload = parse_workload(bytes);
    if (!workload) {
        fuzz::check_error(workload.error());
        return;
    }
    std::int64_t pods = 0;
    for (const PodSet& set : workload->sets) {
        SKIFF_ASSERT(set.count >= 0 && set.parallel >= 1);
        SKIFF_ASSERT(kube::validate(set.pod).has_value());
        pods += set.count;
    }
    SKIFF_ASSERT(pods >= 1 && pods <= kWorkloadPodsMax);
    for (const std::string& warning : workload->warnings) {
        SKIFF_ASSERT(!warning.empty() && warning.size() <= fuzz::kMessageBytesMax);
    }
}

}  // namespace skiff::app
