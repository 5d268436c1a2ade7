#include "pods/started.h"

namespace skiff::pods {
namespace {

bool succeeded(const std::map<std::string, ProbeResult>& results, const std::string& container) {
    auto found = results.find(container);
    return found != results.end() && found->second == ProbeResult::success;
}

}  // namespace

bool startup_passed(const kube::Container& container, const ProbeResults* probes) {
    return !container.startupProbe ||
           (probes != nullptr && succeeded(probes->startup, container.name));
}

bool readiness_passed(const kube::Container& container, const ProbeResults* probes) {
    return !container.readinessProbe ||
           (probes != nullptr && succeeded(probes->readiness, container.name));
}

}  // namespace skiff::pods
