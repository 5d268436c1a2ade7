// KeeperRuntime: what needs the disk of the logs, done by the pool: a slow disk stalls nobody else.
#include <algorithm>

#include "base/log.h"
#include "runtime/log_files.h"
#include "runtime/runtime.h"

namespace skiff::runtime {

namespace {

using async::Task;

constexpr auto kNameLogsEvery = std::chrono::seconds(10);

void name_logs(const state::Paths& paths, const StoredContainer& stored) {
    auto page = read_page(paths, stored.id);
    auto named = page ? name_log_files(stored.log_folder, stored.attempt, *page)
                      : Result<void>(fail(page.error()));
    if (!named && named.error().code != Code::not_found) {
        log::warn("logs not named", log::kv("id", stored.id),
                  log::kv("error", format_as(named.error())));
    }
}

}  // namespace

// Those of all that runs from time to time, and of what ended at once.
Task<void> KeeperRuntime::name_logs_for_ever() {
    SteadyTime next{};
    while (true) {
        bool all = std::chrono::steady_clock::now() >= next;
        next = all ? after(kNameLogsEvery) : next;
        std::vector<Held> ended;
        std::vector<StoredContainer> wanted;
        for (const auto& [id, container] : containers_) {
            Phase phase = container->stored.phase;
            bool has_ended = phase == Phase::ended && !container->named.is_set();
            if (has_ended) {
                ended.push_back(container);
            }
            if (has_ended || (all && phase == Phase::running)) {
                wanted.push_back(container->stored);
            }
        }
        if (!wanted.empty()) {
            auto work = [paths = paths_, wanted = std::move(wanted)]() -> Result<void> {
                for (const auto& stored : wanted) {
                    name_logs(paths, stored);
                }
                return {};
            };
            auto done = co_await pool_.run(std::move(work));
            if (done) {
                std::ranges::for_each(ended, [](const Held& container) { container->named.set(); });
            } else if (done.error().code == Code::cancelled) {
                co_return;
            } else {
                log::warn("logs not named", log::kv("error", format_as(done.error())));
            }
        }
        auto woken = co_await ended_one_.wait(next);
        if (!woken && woken.error().code == Code::cancelled) {
            co_return;
        }
        ended_one_.reset();
    }
}

}  // namespace skiff::runtime
