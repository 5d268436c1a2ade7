// When a container that ended runs again: restart policies and CrashLoopBackOff (contract row 23).
// Pure.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "base/time.h"
#include "kube/types.h"
#include "pods/observed.h"

namespace skiff::pods {

inline constexpr Duration kCrashBackOffFirst = std::chrono::seconds(10);
inline constexpr Duration kCrashBackOffMax = std::chrono::seconds(300);

// What one container's back-off has come to. Belongs to one spec hash: a changed container starts
// afresh.
struct CrashBackOff {
    Duration delay{};
    WallTime updated;
    std::string spec_hash;
    friend bool operator==(const CrashBackOff&, const CrashBackOff&) = default;
};

struct BackOffVerdict {
    // Set while the container has to wait: until when, and of which delay.
    std::optional<WallTime> until;
    Duration delay{};
    // What the back-off becomes when the container is started now.
    CrashBackOff next;
};

// `ended` is the latest run. The first restart is immediate, then 10 s doubling up to `longest`,
// counted from the end of the run and forgotten after a run that was longer than twice `longest`.
// Without `current` (the agent is new) a container that was restarted before continues where its
// restart count says.
[[nodiscard]] BackOffVerdict judge_back_off(const Instance& ended,
                                            const std::optional<CrashBackOff>& current,
                                            std::string_view spec_hash, Duration longest,
                                            WallTime now);

// Whether a run that ended with `exit_code` is followed by another: the container's own rules and
// policy first, then the pod's. For plain init containers Always means OnFailure; an ephemeral
// container runs once.
enum class ContainerRole { init, sidecar, regular, ephemeral };
// The role of a container that its pod lists as `kind`.
[[nodiscard]] ContainerRole role_of(const kube::Container& container, ContainerKind kind);
// The container's own rule for that exit code (contract row 68); nullptr for none.
[[nodiscard]] const kube::ContainerRestartRule* matching_rule(const kube::Container& container,
                                                              std::int32_t exit_code);
[[nodiscard]] bool restarts_after(const kube::PodSpec& spec, const kube::Container& container,
                                  ContainerRole role, std::int32_t exit_code);
// Whether some end of it is its last, so that it may not run again whatever happens to the machine.
[[nodiscard]] bool may_end_for_good(const kube::PodSpec& spec, const kube::Container& container,
                                    ContainerRole role);

}  // namespace skiff::pods
