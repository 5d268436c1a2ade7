#include "app/logind_watch.h"

#include <memory>

#include "base/log.h"
#include "node/logind.h"

namespace skiff::app {

namespace {

using node::Logind;

// Shared with the pool, which may hold it a moment longer than we do.
using Held = std::shared_ptr<Logind>;

Result<Held> connect(const std::string& address) {
    SKIFF_TRY(std::unique_ptr<Logind> logind, Logind::connect(address));
    SKIFF_CHECK(logind->hold_back());
    return Held(std::move(logind));
}

async::Task<Result<void>> obey(async::BlockingPool& pool, NodeShutdown& shutdown,
                               std::string address) {
    auto work = [address] { return connect(address); };
    SKIFF_CO_TRY(Held logind, co_await pool.run(std::move(work)));
    log::info("the machine's shutdown waits for pods",
              log::kv("seconds", shutdown.time() / std::chrono::seconds(1)));
    if (logind->delay_max() < shutdown.time()) {
        log::warn("logind waits less long than pods may take: set InhibitDelayMaxSec",
                  log::kv("seconds", logind->delay_max() / std::chrono::seconds(1)),
                  log::kv("wanted", shutdown.time() / std::chrono::seconds(1)));
    }
    for (;;) {
        SKIFF_CO_TRY(Logind::Change change, co_await logind->next());
        if (change == Logind::Change::begins) {
            SKIFF_CO_CHECK(co_await shutdown.run());
            logind->let_go();
            continue;
        }
        shutdown.cancel();
        auto again = [logind] { return logind->hold_back(); };
        SKIFF_CO_CHECK(co_await pool.run(std::move(again)));
    }
}

}  // namespace

async::Task<void> obey_logind(async::BlockingPool& pool, NodeShutdown& shutdown,
                              std::string address) {
    if (!shutdown.is_wanted()) {
        co_return;
    }
    auto ended = co_await obey(pool, shutdown, std::move(address));
    if (!ended && ended.error().code != Code::cancelled) {
        log::warn("the machine's shutdown does not wait for pods",
                  log::kv("error", ended.error().message));
    }
}

}  // namespace skiff::app
