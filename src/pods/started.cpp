#include "pods/started.h"

namespace skiff::pods {

bool counts_as(ProbeResult wanted, const std::map<std::string, ProbeResult>& results,
               const std::string& container) {
    auto found = results.find(container);
    return found != results.end() && found->second == wanted;
}

bool startup_passed(const kube::Container& container, const ProbeResults* probes) {
    return !container.startupProbe ||
           (probes != nullptr && counts_as(ProbeResult::success, probes->startup, container.name));
}

bool readiness_passed(const kube::Container& container, const ProbeResults* probes) {
    return !container.readinessProbe ||
           (probes != nullptr &&
            counts_as(ProbeResult::success, probes->readiness, container.name));
}

}  // namespace skiff::pods
