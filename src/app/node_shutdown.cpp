#include "app/node_shutdown.h"

#include <algorithm>

#include "base/log.h"
#include "pods/observed.h"

namespace skiff::app {

namespace {

constexpr Duration kLook = std::chrono::milliseconds(100);
// What is killed at the end of its grace has to be reaped and told of.
constexpr Duration kKillTime = std::chrono::seconds(2);
constexpr Duration kStatusesAwaited = std::chrono::seconds(5);

}  // namespace

async::Task<Result<void>> NodeShutdown::run() {
    phase_ = Phase::begun;
    log::warn("node is shutting down", log::kv("pods", pods_.taken().size()));
    tell();
    for (pods::ShutdownStep& step : pods::shutdown_steps(groups_, pods_.taken())) {
        SKIFF_CO_CHECK(co_await end(std::move(step)));
    }
    co_return co_await tell_statuses();
}

async::Task<Result<void>> NodeShutdown::tell_statuses() const {
    SteadyTime deadline = clock_.steady_now() + kStatusesAwaited;
    while (node_.untold && node_.untold() > 0 && clock_.steady_now() < deadline) {
        SKIFF_CO_CHECK(co_await async::sleep_for(kLook));
    }
    co_return Result<void>{};
}

void NodeShutdown::cancel() {
    if (has_begun()) {
        log::info("the machine stays up");
        phase_ = Phase::waiting;
        tell();
    }
}

bool NodeShutdown::any_holds(const pods::ShutdownStep& step) const {
    return std::ranges::any_of(step.pods, [this](const auto& pod) {
        auto snapshot = pods_.find(PodUid(pod->metadata.uid));
        return snapshot && !pods::is_terminal(snapshot->pod->status.phase);
    });
}

async::Task<Result<void>> NodeShutdown::end(pods::ShutdownStep step) {
    for (const auto& pod : step.pods) {
        pods_.evict(PodUid(pod->metadata.uid), pods::shutdown_eviction(step.grace));
    }
    SteadyTime deadline = clock_.steady_now() + std::max(step.grace, pods::kGraceMin) + kKillTime;
    while (any_holds(step) && clock_.steady_now() < deadline) {
        SKIFF_CO_CHECK(co_await async::sleep_for(kLook));
    }
    co_return Result<void>{};
}

}  // namespace skiff::app
