// Critical pods, and who makes room for one that does not fit (contract row 14). Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kube/types.h"
#include "pods/admission.h"

namespace skiff::pods {

// The priority of the class system-cluster-critical.
inline constexpr std::int32_t kCriticalPriority = 2'000'000'000;

// A pod of a file, or one whose priority is that of the system's classes.
[[nodiscard]] bool is_critical(const kube::Pod& pod);

// Which of `running` must end so that `missing` is there for `pod`: as few and as small ones as the
// kubelet's rule finds, BestEffort rather than Burstable rather than Guaranteed ones, and only such
// as are not critical or of lower priority. nullopt: even all of them would not be enough.
[[nodiscard]] std::optional<std::vector<const kube::Pod*>> choose_victims(
    const kube::Pod& pod, const std::vector<const kube::Pod*>& running,
    const std::vector<AdmissionFailure::Missing>& missing);

// "[(res: cpu, q: 200), ]", as the kubelet's messages list what is missing.
[[nodiscard]] std::string describe(const std::vector<AdmissionFailure::Missing>& missing);

}  // namespace skiff::pods
