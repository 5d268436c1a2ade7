// KeeperRuntime: what keepers and traces say about containers, after a restart and in daily life.
#include <fcntl.h>

#include <algorithm>

#include "base/log.h"
#include "kube/codec.h"
#include "os/file.h"
#include "runtime/log_files.h"
#include "runtime/runtime.h"
#include "state/checkpoint.h"
#include "wire/paths.h"
#include "wire/runner_page.h"

namespace skiff::runtime {

namespace {

using async::Task;

constexpr auto kRecoverMax = std::chrono::seconds(15);
constexpr auto kSettleEvery = std::chrono::seconds(10);
constexpr Bytes kMessageMax{4096};
constexpr Bytes kExitFileMax = 64_KiB;
constexpr std::string_view kLostReason = "ContainerStatusUnknown";

std::optional<wire::Exited> read_exit_file(const state::Paths& paths, const std::string& id) {
    auto path = wire::exit_file(paths.run_dir.string(), id);
    auto bytes = os::read_file(path, kExitFileMax);
    if (!bytes) {
        return std::nullopt;
    }
    auto exited = wire::decode_exit_file(*bytes);
    if (!exited) {
        state::quarantine(path, paths.quarantine(), exited.error().message);
        return std::nullopt;
    }
    return std::move(*exited);
}

void remove_strangers(const std::filesystem::path& folder,
                      const std::function<bool(const std::string&)>& known) {
    auto names = os::list_folder(folder);
    if (!names) {
        return;
    }
    for (const auto& name : *names) {
        if (!known(name)) {
            (void)os::remove_file(folder / name);
        }
    }
}

}  // namespace

// ---- at start ----------------------------------------------------------------------------------

Task<Result<void>> KeeperRuntime::recover() {
    SKIFF_CO_CHECK(artifacts_.open());
    auto run_dir = paths_.run_dir.string();
    for (const auto& folder :
         {wire::exits_folder(run_dir), wire::runners_folder(run_dir), wire::root_folder(run_dir)}) {
        SKIFF_CO_CHECK(os::make_folders(folder, 0700));
    }
    // The keepers' children become ours when a keeper dies: their exit status is not lost then.
    if (auto reaper = os::become_subreaper(); !reaper) {
        log::warn("orphans will not be reaped here", log::kv("error", format_as(reaper.error())));
    }
    load_records();
    SKIFF_CO_CHECK(co_await keepers_.connect_all(after(kRecoverMax)));
    std::vector<Held> all;
    for (const auto& [id, container] : containers_) {
        all.push_back(container);
    }
    for (const auto& container : all) {
        bool open = container->stored.phase != Phase::ended && !container->orphan;
        if (open && !keepers_.exists(container->stored.keeper)) {
            settle_without_keeper(container);
        }
    }
    artifacts_.set_engine(keepers_.current_build(), keepers_.compatibility_key());
    auto ready = co_await keepers_.ensure_current();
    if (!ready) {
        co_return fail(std::move(ready.error()));
    }
    sweep_leftovers();
    scope_.spawn("sweep artifacts", sweep_artifacts());
    scope_.spawn("serve disk", serve_disk_for_ever());
    scope_.spawn("settle", settle_for_ever());
    co_return Result<void>{};
}

void KeeperRuntime::load_records() {
    for (auto& stored : load_pods(paths_)) {
        if (!ids_.adopt(stored.first_id)) {
            log::error("ids of a pod are not ours", log::kv("uid", stored.uid),
                       log::kv("first_id", stored.first_id));
        }
        PodUid uid(stored.uid);
        Pod pod;
        pod.stored = std::move(stored);
        pods_.emplace(std::move(uid), std::move(pod));
    }
    load_containers();
}

// Those of an earlier boot first: they are older.
void KeeperRuntime::load_containers() {
    auto present = runtime::load_containers(paths_);
    std::set<std::string> ids;
    for (const auto& stored : present) {
        ids.insert(stored.id);
    }
    std::set<std::string> kept;
    for (auto& stored : load_ended(paths_)) {
        kept.insert(stored.id);
        if (!ids.contains(stored.id)) {
            Held container = add(std::move(stored));
            container->boot = pods::ContainerRecord::Boot::earlier;
            container->named.set();  // what could tell the names is gone
            container->kept = true;  // this is the record that was kept
        }
    }
    for (auto& stored : present) {
        Held container = add(std::move(stored));
        container->kept = !container->stored.keep_end || kept.contains(container->stored.id);
    }
}

KeeperRuntime::Held KeeperRuntime::add(StoredContainer stored) {
    auto container = std::make_shared<Container>();
    container->stored = std::move(stored);
    if (!container->stored.resources.empty()) {
        auto resources = kube::from_json<kube::ResourceRequirements>(container->stored.resources);
        if (resources) {
            container->resources = std::move(*resources);
        }
    }
    if (container->stored.phase == Phase::ended) {
        container->recorded = true;
        container->ended.set();
        container->answered.set();
    }
    containers_.emplace(container->stored.id, container);
    by_pod_[PodUid(container->stored.pod_uid)].push_back(container);
    return container;
}

// Commands of an agent that was killed: their pages say that there were some.
void KeeperRuntime::end_commands() {
    auto pages = os::list_folder(wire::runners_folder(paths_.run_dir.string()));
    if (!pages || std::ranges::none_of(*pages, Execs::is_session)) {
        return;
    }
    for (const auto& [id, container] : containers_) {
        const StoredContainer& stored = container->stored;
        if (stored.phase == Phase::running && stored.pid != 0) {
            execs_.end_strangers(stored);
        }
    }
}

// What an agent left behind that was killed between two steps.
void KeeperRuntime::sweep_leftovers() {
    auto known = [this](const std::string& id) { return find(id) != nullptr; };
    auto run_dir = paths_.run_dir.string();
    end_commands();
    remove_strangers(wire::runners_folder(run_dir), known);
    remove_strangers(paths_.grants(), known);
    remove_strangers(wire::exits_folder(run_dir), known);
    remove_strangers(paths_.termination(), known);
    remove_strangers(paths_.consoles(), [&](const std::string& name) {
        return known(name.substr(0, name.find('.')));
    });
    std::set<std::string> in_use;
    for (const auto& [id, container] : containers_) {
        if (container->stored.phase != Phase::ended) {
            in_use.insert(container->stored.cgroup);
        }
    }
    for (const auto& pod : cgroups_->children("")) {
        if (!pod.starts_with("pod")) {
            continue;
        }
        for (const auto& group : cgroups_->children(pod)) {
            if (!in_use.contains(group)) {
                remove_cgroup_later(group);
            }
        }
    }
}

Task<void> KeeperRuntime::sweep_artifacts() {
    bool all_known = true;
    Artifacts::Spared in_use = artifacts_in_use();
    for (const auto& [id, container] : containers_) {
        all_known = all_known && (container->stored.phase == Phase::ended ||
                                  !container->stored.artifact.empty());
    }
    if (!all_known) {
        co_return;  // an older agent's: at a later start
    }
    auto dropped = co_await artifacts_.drop_stale(std::move(in_use));
    if (!dropped && dropped.error().code != Code::cancelled) {
        log::warn("compiled modules of other engines stay",
                  log::kv("error", format_as(dropped.error())));
    }
}

// ---- what keepers say --------------------------------------------------------------------------

void KeeperRuntime::on_keeper_message(const std::string& build, const wire::Message& message) {
    if (execs_.take(build, message)) {
        return;
    }
    if (const auto* started = std::get_if<wire::Started>(&message)) {
        on_started(build, *started);
    } else if (const auto* failed = std::get_if<wire::StartFailed>(&message)) {
        on_start_failed(*failed);
    } else if (const auto* exited = std::get_if<wire::Exited>(&message)) {
        on_exited(build, *exited);
    } else if (const auto* running = std::get_if<wire::Running>(&message)) {
        on_running(build, *running);
    }
}

void KeeperRuntime::on_started(const std::string& build, const wire::Started& started) {
    auto container = find(started.container_id);
    if (!container) {
        log::warn("keeper runs a container that is in no record, killing it",
                  log::kv("id", started.container_id));
        wire::Kill kill;
        kill.container_id = started.container_id;
        keepers_.post(build, kill);
        return;
    }
    StoredContainer& stored = container->stored;
    if (stored.phase == Phase::ended) {
        return;
    }
    container->unknown = false;
    bool is_news = stored.phase == Phase::starting;
    stored.phase = Phase::running;
    stored.pid = static_cast<std::int32_t>(started.pid);
    stored.start_time = started.start_time;
    stored.started_ns = started.started_ns;
    stored.keeper = build;
    container->answered.set();
    if (is_news) {
        write_record(stored);
        changed(stored);
    }
}

void KeeperRuntime::on_start_failed(const wire::StartFailed& failed) {
    if (auto container = find(failed.container_id)) {
        Error error{Code::internal, "CreateContainerError",
                    fmt::format("{}: {}", failed.stage, failed.message),
                    std::source_location::current()};
        fail_start(container, std::move(error));
    }
}

void KeeperRuntime::fail_start(const Held& container, Error error) {
    if (container->stored.phase != Phase::starting) {
        return;
    }
    container->start_error = std::move(error);
    bool is_awaited = container->waiter == Container::Waiter::start;
    container->answered.set();
    if (!is_awaited) {
        discard(container);
        changed(container->stored);
    }
}

void KeeperRuntime::on_exited(const std::string& build, const wire::Exited& exited) {
    auto container = find(exited.container_id);
    if (container && container->stored.phase != Phase::ended) {
        finish(container, exited);
        return;
    }
    if (container && !container->recorded) {
        record_end(container);
        return;
    }
    wire::Forget forget;
    forget.container_id = exited.container_id;
    keepers_.post(build, forget);
}

void KeeperRuntime::on_running(const std::string& build, const wire::Running& running) {
    auto& listed = listed_[build];
    for (const auto& item : running.items) {
        listed.insert(item.container_id);
        if (Execs::is_session(item.container_id)) {
            execs_.take_running(build, item.container_id);
        } else if (item.started_ns != 0) {
            wire::Started started;
            started.container_id = item.container_id;
            started.pid = item.pid;
            started.start_time = item.start_time;
            started.started_ns = item.started_ns;
            on_started(build, started);
            ask_for_console(build, item.container_id);
        }
    }
    if (running.last) {
        settle_unlisted(build);
        execs_.settle_unlisted(build, listed);
        repeat_stops(build);
        listed_.erase(build);
    }
}

std::vector<KeeperRuntime::Held> KeeperRuntime::unsettled(const std::string& build) const {
    std::vector<Held> found;
    for (const auto& [id, container] : containers_) {
        const StoredContainer& stored = container->stored;
        if (stored.keeper == build && stored.phase != Phase::ended && !container->orphan) {
            found.push_back(container);
        }
    }
    return found;
}

// The keeper has told all ends and all that runs: what is in neither is not its child.
void KeeperRuntime::settle_unlisted(const std::string& build) {
    const auto& listed = listed_[build];
    for (const auto& container : unsettled(build)) {
        if (!listed.contains(container->stored.id)) {
            settle_without_keeper(container);
        }
    }
}

void KeeperRuntime::on_keeper_gone(const std::string& build) {
    execs_.on_keeper_gone(build);
    for (const auto& container : unsettled(build)) {
        settle_without_keeper(container);
    }
}

// ---- without a keeper --------------------------------------------------------------------------

void KeeperRuntime::settle_without_keeper(const Held& container) {
    StoredContainer& stored = container->stored;
    if (auto exited = read_exit_file(paths_, stored.id)) {
        finish(container, *exited);
        return;
    }
    if (stored.pid != 0) {
        auto pidfd = os::open_process(stored.identity());
        if (pidfd) {
            adopt_orphan(container, std::move(*pidfd));
        } else if (pidfd.error().code == Code::not_found) {
            finish_from_traces(container, std::nullopt);
        } else {
            // Unknown is not dead: it stays in the books, and settle_again() asks again.
            container->unknown = true;
            log::error("process of a container cannot be opened", log::kv("id", stored.id),
                       log::kv("error", format_as(pidfd.error())));
        }
        return;
    }
    if (!adopt_from_cgroup(container)) {
        Error error{Code::unavailable, "RunContainerError", "the keeper ended before it answered",
                    std::source_location::current()};
        fail_start(container, std::move(error));
    }
}

// The container's own process is older than that of any command in it.
std::vector<os::ProcessIdentity> KeeperRuntime::oldest_first(const std::string& cgroup) const {
    std::vector<os::ProcessIdentity> found;
    for (int pid : cgroups_->processes(cgroup)) {
        if (auto identity = os::identity_of(pid)) {
            found.push_back(std::move(*identity));
        }
    }
    std::ranges::stable_sort(found, {}, &os::ProcessIdentity::start_time);
    return found;
}

bool KeeperRuntime::adopt_from_cgroup(const Held& container) {
    StoredContainer& stored = container->stored;
    for (const auto& identity : oldest_first(stored.cgroup)) {
        auto pidfd = os::open_process(identity);
        if (!pidfd) {
            continue;
        }
        stored.pid = identity.pid;
        stored.start_time = identity.start_time;
        stored.phase = Phase::running;
        auto page = read_page(paths_, stored.id);
        stored.started_ns = page && page->started_ns != 0 ? page->started_ns : stored.created_ns;
        write_record(stored);
        container->answered.set();
        adopt_orphan(container, std::move(*pidfd));
        changed(stored);
        return true;
    }
    return false;
}

void KeeperRuntime::adopt_orphan(const Held& container, os::Fd pidfd) {
    log::info("container adopted without its keeper", log::kv("id", container->stored.id),
              log::kv("pid", container->stored.pid));
    container->unknown = false;
    container->orphan = std::move(pidfd);
    container->answered.set();
    if (container->stored.console.kind != pods::Console::Kind::none) {
        consoles_.add(container->stored, os::Fd());  // nobody will lend it
    }
    scope_.spawn("orphan " + container->stored.id, watch_orphan(container));
    if (container->stop_by) {
        scope_.spawn("stop orphan " + container->stored.id, go_on_stopping(container));
    }
}

Task<void> KeeperRuntime::watch_orphan(Held container) {
    auto ended = co_await async::wait_readable(container->orphan.get());
    if (!ended) {
        if (ended.error().code != Code::cancelled) {
            container->orphan.reset();  // Nobody watches it now: settle_again() begins anew.
        }
        co_return;
    }
    std::optional<os::ProcessExit> status;
    // Only its parent learns the status; we are that when we had started the keeper.
    if (auto reaped = os::reap(container->orphan.get())) {
        status = *reaped;
    }
    finish_from_traces(container, status);
    container->orphan.reset();
}

void KeeperRuntime::finish_from_traces(const Held& container,
                                       std::optional<os::ProcessExit> status) {
    const StoredContainer& stored = container->stored;
    if (auto exited = read_exit_file(paths_, stored.id)) {
        finish(container, *exited);
        return;
    }
    auto page = read_page(paths_, stored.id);
    wire::Exited exited;
    if (page) {
        exited = wire::exited_from_page(*page);
    }
    if (exited.finished_ns == 0) {
        exited.finished_ns = clock_.wall_now().time_since_epoch().count();
    }
    bool said_itself = page && page->outcome != 0;
    bool was_asked = container->asked != Container::Asked::nothing;
    if (said_itself) {
        finish(container, exited);
        return;
    }
    exited.message.clear();
    if (cgroups_->oom_kills(stored.cgroup).value_or(0) > 0) {
        exited.kind = wire::ExitKind::out_of_memory;
        exited.exit_code = 137;
        exited.message =
            fmt::format("killed for using more than its limit of {}", Bytes{stored.memory_limit});
    } else if (was_asked) {
        bool was_killed = container->asked == Container::Asked::kill;
        exited.kind = was_killed ? wire::ExitKind::killed : wire::ExitKind::stopped;
        exited.exit_code = was_killed ? 137 : 143;
    } else if (status) {
        exited.kind = status->signal != 0 ? wire::ExitKind::signalled : wire::ExitKind::exited;
        exited.exit_code = status->shell_code();
    } else {
        StoredExit lost;
        lost.reason = std::string(kLostReason);
        lost.message = "the container ended while nobody was there to see how";
        lost.finished_ns = exited.finished_ns;
        finish_as(container, std::move(lost));
        return;
    }
    finish(container, exited);
}

// ---- the end -----------------------------------------------------------------------------------

std::string KeeperRuntime::termination_message(const StoredContainer& stored) const {
    // Guests write here: bounded, and never a link or a FIFO.
    auto text = os::read_file_head(paths_.termination_file(ContainerId(stored.id)), kMessageMax);
    return text ? std::move(*text) : std::string{};
}

std::string KeeperRuntime::fallback_message(const StoredContainer& stored) const {
    if (stored.message_fallback != pods::ContainerSpec::MessageFallback::log) {
        return {};
    }
    auto page = read_page(paths_, stored.id);
    return page ? read_log_tail(stored.log_folder, stored.attempt, *page) : std::string{};
}

void KeeperRuntime::finish(const Held& container, const wire::Exited& exited) {
    if (container->stored.started_ns == 0) {
        container->stored.started_ns = exited.started_ns;
    }
    StoredExit exit = exit_of(exited, termination_message(container->stored));
    if (exit.code != 0 && exit.message.empty()) {
        exit.message = fallback_message(container->stored);
    }
    finish_as(container, std::move(exit));
}

void KeeperRuntime::finish_as(const Held& container, StoredExit exit) {
    StoredContainer& stored = container->stored;
    stored.phase = Phase::ended;
    stored.exit = std::move(exit);
    execs_.end_sessions(stored.id);
    consoles_.remove(stored.id);
    (void)os::remove_file(paths_.grant(ContainerId(stored.id)));
    (void)remove_console_files(paths_, ContainerId(stored.id));
    record_end(container);
    remove_cgroup_later(stored.cgroup);
    container->answered.set();
    container->ended.set();
    ended_one_.set();
    changed(stored);
}

void KeeperRuntime::record_end(const Held& container) {
    const StoredContainer& stored = container->stored;
    // Durable before the keeper may forget; until it can be written, settle_again() repeats it.
    if (auto written = store_container(paths_, stored); written) {
        container->recorded = true;
        wire::Forget forget;
        forget.container_id = stored.id;
        if (keepers_.exists(stored.keeper)) {
            keepers_.post(stored.keeper, forget);
        } else {
            (void)os::remove_file(wire::exit_file(paths_.run_dir.string(), stored.id));
        }
    } else {
        log::error("end of a container not recorded", log::kv("id", stored.id),
                   log::kv("error", format_as(written.error())));
    }
}

// ---- again -------------------------------------------------------------------------------------

// What an error left open. Events only come once; this comes for ever.
void KeeperRuntime::settle_again() {
    std::vector<Held> all;
    for (const auto& [id, container] : containers_) {
        all.push_back(container);
    }
    for (const auto& container : all) {
        const StoredContainer& stored = container->stored;
        if (stored.phase == Phase::ended) {
            if (!container->recorded) {
                record_end(container);
            }
            continue;
        }
        bool is_lost = container->unknown || !keepers_.exists(stored.keeper);
        if (is_lost && !container->orphan) {
            settle_without_keeper(container);
        }
    }
}

Task<void> KeeperRuntime::settle_for_ever() {
    while (true) {
        auto slept = co_await async::sleep_for(kSettleEvery);
        if (!slept) {
            co_return;
        }
        settle_again();
    }
}

}  // namespace skiff::runtime
