#include "pods/rounds.h"

#include <algorithm>
#include <array>

#include "pods/restart.h"

namespace skiff::pods {
namespace {

constexpr std::string_view kAction = "RestartAllContainers";

// Ephemeral containers take no part: they have no rules and are never started again.
struct Rounds {
    std::uint32_t present = 0;
    // Whether the present round began with an end that is still on record.
    enum class Begun { earlier, by_known_end } begun = Begun::earlier;
};

void count(Rounds& rounds, const kube::Container& container, const std::optional<Instance>& run) {
    if (!run || !run->round) {
        return;
    }
    std::uint32_t round = *run->round;
    bool ends_it = false;
    if (run->ended) {
        const auto* rule = matching_rule(container, run->ended->exit_code);
        ends_it = rule != nullptr && rule->action == kAction;
    }
    std::uint32_t reached = round + (ends_it ? 1 : 0);
    if (reached > rounds.present) {
        rounds.begun = Rounds::Begun::earlier;
        rounds.present = reached;
    }
    if (ends_it && reached == rounds.present) {
        rounds.begun = Rounds::Begun::by_known_end;
    }
}

Rounds rounds_of(const kube::PodSpec& spec, const PodView& view) {
    Rounds rounds;
    for (const auto* list : {&spec.initContainers, &spec.containers}) {
        for (const kube::Container& container : *list) {
            const ContainerView& own = view.at(container.name);
            count(rounds, container, own.latest);
            count(rounds, container, own.before);
        }
    }
    return rounds;
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
    Rounds rounds = rounds_of(spec, view);
    for (const auto* list : {&spec.initContainers, &spec.containers}) {
        for (const kube::Container& container : *list) {
            ContainerView& own = view.at(container.name);
            bool past = false;
            if (own.starting) {
                past = own.starting_round < rounds.present;
            } else if (own.latest) {
                past = own.latest->round ? *own.latest->round < rounds.present
                                         : rounds.begun == Rounds::Begun::by_known_end;
            }
            own.round = past ? ContainerView::Round::past : ContainerView::Round::present;
        }
    }
}

std::uint32_t present_round(const kube::PodSpec& spec, const PodView& view) {
    return rounds_of(spec, view).present;
}

bool is_restarting_all(const PodView& view) {
    return std::ranges::any_of(view, [](const auto& entry) {
        return entry.second.round == ContainerView::Round::past && entry.second.active() != nullptr;
    });
}

}  // namespace skiff::pods
