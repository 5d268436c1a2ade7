// How long pods take to start: from the first thing that the node does for one until all its
// containers run. A pod that runs already when the agent comes is not counted. Reactor thread only.
#pragma once

#include <map>
#include <optional>

#include "app/meters.h"
#include "base/time.h"
#include "base/types.h"
#include "kube/types.h"

namespace skiff::app {

class PodStarts {
public:
    // Both outlive it.
    PodStarts(Meters& meters, const Clock& clock) : meters_(meters), clock_(clock) {}

    // The node begins with a pod of which nothing runs; repeats are of no effect.
    void began(const PodUid& pod);
    // It was brought an image.
    void pulled(const PodUid& pod, SteadyTime from, SteadyTime until);
    // As it is known now.
    void status(const kube::Pod& pod, const kube::PodStatus& status);
    // Nothing of it is left.
    void forget(const PodUid& pod) { starting_.erase(pod); }
    [[nodiscard]] std::size_t size() const { return starting_.size(); }

private:
    struct Start {
        SteadyTime began;
        // From the first image to the last.
        std::optional<SteadyTime> pull_from;
        SteadyTime pull_until;
        enum class Told { no, yes } told = Told::no;
    };

    Meters& meters_;
    const Clock& clock_;
    std::map<PodUid, Start> starting_;
};

}  // namespace skiff::app
