#include "pods/preemption.h"

#include <algorithm>
#include <tuple>

#include "kube/defaults.h"
#include "pods/observed.h"
#include "pods/resources.h"

namespace skiff::pods {
namespace {

using Missing = std::vector<AdmissionFailure::Missing>;
using Pods = std::vector<const kube::Pod*>;

std::int64_t request(const kube::Pod& pod, const std::string& resource) {
    if (resource == "pods") {
        return 1;
    }
    kube::ResourceList requests = pod_requests(pod.spec);
    return units_of(resource, requests[resource]);
}

bool gives_way(const kube::Pod& pod, const kube::Pod& to) {
    if (is_critical(to) && !is_critical(pod)) {
        return true;
    }
    return to.spec.priority && pod.spec.priority && *to.spec.priority > *pod.spec.priority;
}

// What is still missing when `pods` have ended.
Missing without(const Missing& missing, const Pods& pods) {
    Missing left;
    for (AdmissionFailure::Missing one : missing) {
        for (const kube::Pod* pod : pods) {
            one.amount -= request(*pod, one.resource);
        }
        if (one.amount > 0) {
            left.push_back(std::move(one));
        }
    }
    return left;
}

// How far the pod's end is from filling what is missing: 0 fills it, each resource weighs the same.
double distance(const Missing& missing, const kube::Pod& pod) {
    double sum = 0;
    for (const AdmissionFailure::Missing& one : missing) {
        std::int64_t left = one.amount - request(pod, one.resource);
        if (left > 0) {
            double share = static_cast<double>(left) / static_cast<double>(one.amount);
            sum += share * share;
        }
    }
    return sum;
}

// The pods that fill most, one after the other; of equals the smaller one.
Pods nearest(Pods pods, Missing missing) {
    Pods chosen;
    while (!missing.empty() && !pods.empty()) {
        auto rank = [&](const kube::Pod* pod) {
            return std::tuple(distance(missing, *pod), request(*pod, "memory"),
                              request(*pod, "cpu"));
        };
        auto best = std::ranges::min_element(pods, {}, rank);
        missing = without(missing, {*best});
        chosen.push_back(*best);
        pods.erase(best);
    }
    return chosen;
}

Pods both(Pods a, const Pods& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

}  // namespace

bool is_critical(const kube::Pod& pod) {
    return is_static(pod) || pod.spec.priority.value_or(0) >= kCriticalPriority;
}

std::optional<Pods> choose_victims(const kube::Pod& pod, const Pods& running,
                                   const Missing& missing) {
    Pods best_effort;
    Pods burstable;
    Pods guaranteed;
    for (const kube::Pod* other : running) {
        if (!gives_way(*other, pod)) {
            continue;
        }
        std::string_view qos = kube::qos_class(other->spec);
        (qos == "Guaranteed"  ? guaranteed
         : qos == "Burstable" ? burstable
                              : best_effort)
            .push_back(other);
    }
    if (!without(missing, both(both(best_effort, burstable), guaranteed)).empty()) {
        return std::nullopt;
    }
    // Of the better classes only what the worse ones cannot give.
    Pods first = nearest(guaranteed, without(missing, both(best_effort, burstable)));
    Pods second = nearest(burstable, without(missing, both(best_effort, first)));
    Pods third = nearest(best_effort, without(missing, both(second, first)));
    return both(both(third, second), first);
}

std::string describe(const Missing& missing) {
    std::string text = "[";
    for (const AdmissionFailure::Missing& one : missing) {
        text += fmt::format("(res: {}, q: {}), ", one.resource, one.amount);
    }
    return text + "]";
}

}  // namespace skiff::pods
