#include "pods/rounds.h"

#include <algorithm>
#include <array>

#include "pods/restart.h"

namespace skiff::pods {
namespace {

constexpr std::string_view kAction = "RestartAllContainers";

// The latest round that a run tells of: its own, or the one that begins with its end.
std::uint32_t round_after(const kube::Container& container, const std::optional<Instance>& run) {
    if (!run || !run->round) {
        return 0;
    }
    const auto* rule = run->ended ? matching_rule(container, run->ended->exit_code) : nullptr;
    return *run->round + (rule != nullptr && rule->action == kAction ? 1 : 0);
}

}  // namespace

bool may_restart_all(const kube::PodSpec& spec) {
    return std::ranges::any_of(
        std::array{&spec.initContainers, &spec.containers}, [](const auto* list) {
            return std::ranges::any_of(*list, [](const kube::Container& container) {
                return std::ranges::any_of(container.restartPolicyRules,
                                           [](const auto& rule) { return rule.action == kAction; });
            });
        });
}

void mark_rounds(const kube::PodSpec& spec, PodView& view) {
    const std::uint32_t present = present_round(spec, view);
    for (const auto* list : {&spec.initContainers, &spec.containers}) {
        for (const kube::Container& container : *list) {
            ContainerView& own = view.at(container.name);
            bool past = false;
            if (own.starting) {
                past = own.starting_round < present;
            } else if (own.latest) {
                past = own.latest->round.value_or(0) < present;
            }
            own.round = past ? ContainerView::Round::past : ContainerView::Round::present;
        }
    }
}

std::uint32_t present_round(const kube::PodSpec& spec, const PodView& view) {
    // Ephemeral containers take no part: they have no rules and are never started again.
    std::uint32_t present = 0;
    for (const auto* list : {&spec.initContainers, &spec.containers}) {
        for (const kube::Container& container : *list) {
            const ContainerView& own = view.at(container.name);
            present = std::max(
                {present, round_after(container, own.latest), round_after(container, own.before)});
        }
    }
    return present;
}

bool is_restarting_all(const PodView& view) {
    return std::ranges::any_of(view, [](const auto& entry) {
        return entry.second.round == ContainerView::Round::past && entry.second.active() != nullptr;
    });
}

}  // namespace skiff::pods
