// KeeperRuntime: what needs a disk, done by the pool: a slow one stalls nobody else. Log files get
// their names; ends that must be known after power loss are written to the root-dir.
#include "base/log.h"
#include "runtime/coredumps.h"
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

KeeperRuntime::DiskWork KeeperRuntime::disk_work(Whose whose) const {
    DiskWork work;
    for (const auto& [id, container] : containers_) {
        const StoredContainer& stored = container->stored;
        if (stored.phase != Phase::ended) {
            if (whose == Whose::all && stored.phase == Phase::running) {
                work.to_name.push_back(stored);
            }
            continue;
        }
        if (!container->named.is_set()) {
            work.to_name.push_back(stored);
        }
        bool keep = stored.keep_end && !container->kept;
        if (keep) {
            work.to_keep.push_back(stored);
        }
        if (keep || !container->named.is_set()) {
            work.ended.push_back(container);
        }
    }
    return work;
}

// Once; what fails is tried again with the next.
Task<Result<void>> KeeperRuntime::serve_disk(Whose whose) {
    DiskWork wanted = disk_work(whose);
    if (wanted.to_name.empty() && wanted.to_keep.empty()) {
        co_return Result<void>{};
    }
    using Kept = std::set<std::string>;
    auto work = [paths = paths_, to_keep = std::move(wanted.to_keep),
                 to_name = std::move(wanted.to_name)]() -> Result<Kept> {
        Kept kept;
        for (const auto& stored : to_keep) {
            if (auto written = store_ended(paths, stored); written) {
                kept.insert(stored.id);
            } else {
                log::error("end of a container not kept for the next boot",
                           log::kv("id", stored.id), log::kv("error", format_as(written.error())));
            }
        }
        for (const auto& stored : to_name) {
            name_logs(paths, stored);
            if (stored.core_dump && stored.phase == Phase::ended) {
                settle_core_dump(paths, stored);
            }
        }
        return kept;
    };
    SKIFF_CO_TRY(Kept kept, co_await pool_.run(std::move(work)));
    for (const auto& container : wanted.ended) {
        container->named.set();
        container->kept = container->kept || kept.contains(container->stored.id);
    }
    co_return Result<void>{};
}

// For all that runs from time to time, for what ended at once.
Task<void> KeeperRuntime::serve_disk_for_ever() {
    SteadyTime next{};
    while (true) {
        bool all = std::chrono::steady_clock::now() >= next;
        next = all ? after(kNameLogsEvery) : next;
        ended_one_.reset();
        Whose whose = all ? Whose::all : Whose::ended;
        auto served = co_await serve_disk(whose);
        if (!served && served.error().code != Code::cancelled) {
            log::warn("logs not named, ends not kept", log::kv("error", format_as(served.error())));
        }
        auto woken = co_await ended_one_.wait(next);
        if (!woken && woken.error().code == Code::cancelled) {
            co_return;
        }
    }
}

}  // namespace skiff::runtime
