// What happens in the simulated world at which time, beside the agent: guests end, keepers answer,
// the API server delivers. It goes on while the agent is down.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <utility>

#include "base/time.h"

namespace skiff::sim {

class Timeline {
public:
    void at(SteadyTime time, std::function<void()> happening) {
        events_.emplace(time, std::move(happening));  // of the same time: in order
    }
    [[nodiscard]] std::optional<SteadyTime> next() const {
        return events_.empty() ? std::nullopt : std::optional(events_.begin()->first);
    }
    // Lets everything happen that is due; what it adds for now, too.
    void run_until(SteadyTime now) {
        while (!events_.empty() && events_.begin()->first <= now) {
            auto happening = std::move(events_.begin()->second);
            events_.erase(events_.begin());
            happening();
        }
    }

private:
    std::multimap<SteadyTime, std::function<void()>> events_;
};

}  // namespace skiff::sim
