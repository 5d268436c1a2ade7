#include "pods/restart.h"

#include <algorithm>

namespace skiff::pods {
namespace {

// The delay that an agent without memory assumes for a container that was restarted `attempt`
// times.
Duration delay_after(std::uint32_t attempt, Duration longest) {
    Duration delay = kCrashBackOffFirst;
    for (std::uint32_t i = 1; i < attempt && delay < longest; ++i) {
        delay *= 2;
    }
    return std::min(delay, longest);
}

std::optional<CrashBackOff> effective(const Instance& ended,
                                      const std::optional<CrashBackOff>& current,
                                      std::string_view spec_hash, Duration longest) {
    if (current) {
        return current->spec_hash == spec_hash ? current : std::nullopt;
    }
    // A boot forgives. What only the API server remembers ended with the machine, besides.
    if (ended.attempt == 0 || ended.source != Instance::Source::record ||
        ended.spec_hash != spec_hash) {
        return std::nullopt;
    }
    CrashBackOff assumed;
    assumed.delay = delay_after(ended.attempt, longest);
    assumed.updated = ended.started;
    assumed.spec_hash = spec_hash;
    return assumed;
}

const std::string& policy_of(const kube::PodSpec& spec, const kube::Container& container) {
    return container.restartPolicy ? *container.restartPolicy : spec.restartPolicy;
}

}  // namespace

ContainerRole role_of(const kube::Container& container, ContainerKind kind) {
    if (kind == ContainerKind::ephemeral) {
        return ContainerRole::ephemeral;
    }
    if (kind == ContainerKind::regular) {
        return ContainerRole::regular;
    }
    return is_sidecar(container) ? ContainerRole::sidecar : ContainerRole::init;
}

const kube::ContainerRestartRule* matching_rule(const kube::Container& container,
                                                std::int32_t exit_code) {
    for (const kube::ContainerRestartRule& rule : container.restartPolicyRules) {
        if (!rule.exitCodes) {
            continue;
        }
        bool listed =
            std::ranges::find(rule.exitCodes->values, exit_code) != rule.exitCodes->values.end();
        if ((rule.exitCodes->operator_ == "In" && listed) ||
            (rule.exitCodes->operator_ == "NotIn" && !listed)) {
            return &rule;
        }
    }
    return nullptr;
}

BackOffVerdict judge_back_off(const Instance& ended, const std::optional<CrashBackOff>& current,
                              std::string_view spec_hash, Duration longest, WallTime now) {
    BackOffVerdict verdict;
    verdict.next.updated = now;
    verdict.next.spec_hash = spec_hash;
    verdict.next.delay = std::min(kCrashBackOffFirst, longest);
    auto entry = effective(ended, current, spec_hash, longest);
    WallTime finished = ended.ended ? ended.ended->finished : now;
    if (!entry || finished - entry->updated > longest * 2) {
        return verdict;
    }
    WallTime until = finished + entry->delay;
    // An end in the future means that the clock was set back: waiting for it could take for ever.
    if (finished <= now && now < until) {
        verdict.until = until;
        verdict.delay = entry->delay;
        return verdict;
    }
    verdict.next.delay = std::clamp(entry->delay * 2, verdict.next.delay, longest);
    return verdict;
}

bool restarts_after(const kube::PodSpec& spec, const kube::Container& container, ContainerRole role,
                    std::int32_t exit_code) {
    if (role == ContainerRole::sidecar) {
        return true;
    }
    if (role == ContainerRole::ephemeral) {
        return false;
    }
    if (const auto* rule = matching_rule(container, exit_code); rule != nullptr) {
        return rule->action == "Restart" || rule->action == "RestartAllContainers";
    }
    const std::string& policy = policy_of(spec, container);
    if (role == ContainerRole::init) {
        return exit_code != 0 && policy != "Never";
    }
    if (policy == "Never") {
        return false;
    }
    return policy != "OnFailure" || exit_code != 0;
}

bool may_end_for_good(const kube::PodSpec& spec, const kube::Container& container,
                      ContainerRole role) {
    const std::string& policy = policy_of(spec, container);
    return role == ContainerRole::ephemeral ||
           (role != ContainerRole::sidecar && (policy == "Never" || policy == "OnFailure"));
}

}  // namespace skiff::pods
