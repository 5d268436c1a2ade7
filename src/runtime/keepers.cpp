#include "runtime/keepers.h"

#include <algorithm>
#include <iterator>

#include <signal.h>

#include "base/log_format.h"
#include "base/text.h"
#include "os/file.h"
#include "state/checkpoint.h"
#include "wire/paths.h"

namespace skiff::runtime {

namespace {

using async::Task;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kConnectRetry = milliseconds(2);
constexpr auto kReconnectRetry = milliseconds(50);
constexpr auto kAnswerMax = seconds(5);
constexpr auto kSendMax = seconds(10);
constexpr auto kShutdownMax = seconds(20);
constexpr auto kKillMax = seconds(5);
constexpr int kKillMsMax = 1000;
constexpr Bytes kVersionTextMax = 64_KiB;
constexpr std::string_view kKeeperKind = "keeper";
constexpr std::string_view kCgroup = "keeper";

// The checkpoint `keepers/<build>`: who the keeper is.
struct StoredKeeper {
    std::string boot_id;
    std::int32_t pid = 0;
    std::uint64_t start_time = 0;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.boot_id, s.pid, s.start_time);
    }
};

bool valid_build(std::string_view build) {
    constexpr std::size_t kBytesMax = 64;
    return build.size() <= kBytesMax && state::can_name_a_file(build);
}

}  // namespace

Keepers::Keepers(KeeperSettings settings, const state::Paths& paths, const os::CgroupTree& cgroups,
                 async::Executor executor, KeeperEvents& events)
    : settings_(std::move(settings)),
      paths_(paths),
      cgroups_(cgroups),
      events_(events),
      scope_(std::move(executor)) {}

Keepers::~Keepers() = default;

std::shared_ptr<Keepers::Keeper> Keepers::add(const std::string& build) {
    auto& keeper = keepers_[build];
    if (!keeper || keeper->gone) {
        keeper = std::make_shared<Keeper>();
        keeper->build = build;
        keeper->socket = wire::keeper_socket(paths_.run_dir.string(), build);
    }
    return keeper;
}

bool Keepers::exists(const std::string& build) const {
    auto found = keepers_.find(build);
    return found != keepers_.end() && !found->second->gone;
}

std::size_t Keepers::size() const {
    auto live =
        std::ranges::count_if(keepers_, [](const auto& entry) { return !entry.second->gone; });
    return static_cast<std::size_t>(live);
}

// ---- finding out -------------------------------------------------------------------------------

Task<Result<void>> Keepers::read_build(SteadyTime deadline) {
    SKIFF_CO_TRY(os::Pipe pipe, os::make_pipe());
    os::SpawnSpec spec;
    spec.program = settings_.engine_program;
    spec.argv = {"skiff-engine", "version"};
    spec.fds = {os::PassedFd{pipe.write.get(), 1}};
    spec.on_parent_death = os::OnParentDeath::die;
    SKIFF_CO_TRY(os::Spawned child, os::spawn(spec));
    pipe.write.reset();
    auto ended = co_await async::wait_readable(child.pidfd.get(), deadline);
    if (!ended) {
        (void)os::send_signal(child.pidfd.get(), SIGKILL);
        (void)os::wait_ended(child.pidfd.get(), 1000);
        (void)os::reap(child.pidfd.get());
        co_return fail(std::move(ended.error()).context("skiff-engine version"));
    }
    (void)os::reap(child.pidfd.get());
    SKIFF_CO_TRY(std::string text, os::read_all(pipe.read.get(), kVersionTextMax));
    auto build = line_value(text, "build");
    if (!build || !valid_build(*build)) {
        co_return fail(Code::corrupt, "{} did not say its build",
                       settings_.engine_program.string());
    }
    current_build_ = *build;
    compatibility_key_ = line_value(text, "compatibility-key").value_or("");
    runtimes_.clear();
    const std::string runtimes = line_value(text, "runtimes").value_or("");
    for (auto name : split(runtimes, ',')) {
        if (!name.empty()) {
            runtimes_.emplace_back(name);
        }
    }
    if (runtimes_.empty()) {
        co_return fail(Code::corrupt, "{} did not say what it can run",
                       settings_.engine_program.string());
    }
    co_return Result<void>{};
}

Task<Result<void>> Keepers::connect_all(SteadyTime deadline) {
    SKIFF_CO_CHECK(co_await read_build(deadline));
    co_return co_await connect_running(deadline);
}

Task<Result<void>> Keepers::connect_running(SteadyTime deadline) {
    SKIFF_CO_TRY(auto names, os::list_folder(paths_.run_dir));
    constexpr std::string_view kPrefix = "keeper-";
    constexpr std::string_view kSuffix = ".sock";
    std::vector<std::shared_ptr<Keeper>> found;
    for (const auto& name : names) {
        if (name.starts_with(kPrefix) && name.ends_with(kSuffix)) {
            auto build = name.substr(kPrefix.size(), name.size() - kPrefix.size() - kSuffix.size());
            found.push_back(add(build));
        }
    }
    for (const auto& keeper : found) {
        auto bytes = state::load_checkpoint(paths_.keepers() / keeper->build, kKeeperKind);
        auto stored =
            bytes ? wire::decode<StoredKeeper>(*bytes) : Result<StoredKeeper>(fail(bytes.error()));
        if (stored) {
            keeper->process = os::ProcessIdentity{stored->boot_id, stored->pid, stored->start_time};
            if (auto pidfd = os::open_process(*keeper->process)) {
                keeper->pidfd = std::move(*pidfd);
            }
        }
        scope_.spawn("keeper " + keeper->build, serve(keeper));
    }
    for (const auto& keeper : found) {
        auto listed = co_await keeper->listed.wait(deadline);
        if (!listed && listed.error().code == Code::cancelled) {
            co_return fail(std::move(listed.error()));
        }
        if (!listed) {
            log::warn("keeper is silent", log::kv("build", keeper->build));
        }
    }
    co_return Result<void>{};
}

// ---- one keeper --------------------------------------------------------------------------------

void Keepers::remember(Keeper& keeper) {
    auto identity = os::identity_of(static_cast<pid_t>(keeper.link->welcome().pid));
    if (!identity) {
        return;
    }
    if (keeper.process != *identity) {
        keeper.process = *identity;
        keeper.pidfd.reset();
        if (auto pidfd = os::open_process(*identity)) {
            keeper.pidfd = std::move(*pidfd);
        }
    }
    record(keeper.build, *identity);
}

void Keepers::record(const std::string& build, const os::ProcessIdentity& identity) {
    StoredKeeper stored{identity.boot_id, identity.pid, identity.start_time};
    auto written = state::store_checkpoint(paths_.keepers() / build, kKeeperKind,
                                           wire::encode(stored), os::Durability::process);
    if (!written) {
        log::error("keeper not recorded", log::kv("error", format_as(written.error())));
    }
}

void Keepers::forget(Keeper& keeper) {
    keeper.gone = true;
    keeper.link.reset();
    if (keeper.pidfd) {
        (void)os::reap(keeper.pidfd.get());
    }
    (void)os::remove_file(paths_.keepers() / keeper.build);
    // Its listening socket died with it; a successor of this build replaces the file itself.
    (void)os::remove_file(keeper.socket);
}

// Proved by a socket that nobody listens on, and by the process when we know it. Any other failure
// to connect (no descriptor left, no permission, silence) says nothing about the keeper.
bool Keepers::is_dead(const Keeper& keeper, const Error& why) {
    bool nobody_listens = why.code == Code::not_found;
    return nobody_listens && (!keeper.pidfd || os::has_ended(keeper.pidfd.get()));
}

Task<Result<void>> Keepers::connect(std::shared_ptr<Keeper> keeper) {
    auto link = co_await KeeperLink::connect(keeper->socket, after(kAnswerMax));
    if (!link) {
        co_return fail(std::move(link.error()));
    }
    keeper->link = std::move(*link);
    remember(*keeper);
    if (!current_build_.empty()) {
        wire::Shutdown shutdown;
        // A keeper of the current build may have been told to end by the agent of an upgrade that
        // was rolled back.
        shutdown.mode = keeper->build == current_build_ ? wire::ShutdownMode::go_on
                                                        : wire::ShutdownMode::when_empty;
        post(keeper->build, shutdown);
    }
    co_return Result<void>{};
}

Task<void> Keepers::listen(std::shared_ptr<Keeper> keeper) {
    auto link = keeper->link;
    while (true) {
        auto received = co_await link->receive(async::kNoDeadline);
        if (!received) {
            if (received.error().code == Code::corrupt ||
                received.error().code == Code::unsupported) {
                log::error("keeper message not understood", log::kv("build", keeper->build),
                           log::kv("error", format_as(received.error())));
                continue;
            }
            break;
        }
        const wire::Message& message = received->message;
        if (const auto* lent = std::get_if<wire::Lent>(&message)) {
            os::Fd far_end = received->fds.empty() ? os::Fd() : std::move(received->fds.front());
            events_.on_console_lent(lent->container_id, std::move(far_end));
            continue;
        }
        events_.on_keeper_message(keeper->build, message);
        const auto* running = std::get_if<wire::Running>(&message);
        if (running != nullptr && running->last) {
            keeper->listed.set();
        }
    }
    keeper->link.reset();
    // Until its successor has told all it knows, a start would not be told from one that was lost.
    keeper->listed.reset();
}

Task<void> Keepers::serve(std::shared_ptr<Keeper> keeper) {
    while (!keeper->gone) {
        auto connected = co_await connect(keeper);
        if (connected) {
            co_await listen(keeper);
            continue;
        }
        bool cancelled = connected.error().code == Code::cancelled;
        if (cancelled) {
            co_return;
        }
        if (is_dead(*keeper, connected.error())) {
            log::warn("keeper is gone", log::kv("build", keeper->build));
            forget(*keeper);
            events_.on_keeper_gone(keeper->build);
            keeper->listed.set();
            co_return;
        }
        (void)co_await async::sleep_for(kReconnectRetry);
    }
}

// ---- the current one ---------------------------------------------------------------------------

Result<os::Spawned> Keepers::spawn_keeper(const Keeper& keeper) {
    os::SpawnSpec spec;
    spec.program = settings_.engine_program;
    spec.argv = {"skiff-engine", "keep", fmt::format("--run-dir={}", paths_.run_dir.string())};
    if (settings_.lifetime == os::OnParentDeath::die) {
        spec.argv.push_back("--die-with-parent");
    }
    // Of `skiff run` the stderr is the user's.
    std::ranges::move(log::inherited_arguments(), std::back_inserter(spec.argv));
    spec.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
    spec.fds = {os::PassedFd{2, 2}};  // its log goes where ours goes
    spec.session = os::Session::own;
    auto place = cgroups_.create(std::string(kCgroup), os::CgroupLimits{});
    if (place) {
        spec.cgroup_folders = place->folders;
    }
    SKIFF_TRY(os::Spawned child, os::spawn(spec));
    if (auto identity = os::identity_of(child.pid)) {
        // Now and not when it answers: an agent started meanwhile must know that it lives.
        record(keeper.build, *identity);
    }
    return child;
}

Task<Result<void>> Keepers::connect_spawned(std::shared_ptr<Keeper> keeper, os::Spawned& child) {
    auto deadline = after(settings_.start_max);
    while (true) {
        auto connected = co_await connect(keeper);
        if (connected) {
            co_return Result<void>{};
        }
        if (connected.error().code == Code::cancelled || SteadyTime::clock::now() > deadline) {
            co_return fail(std::move(connected.error()).context("start the keeper"));
        }
        if (child.pidfd && os::has_ended(child.pidfd.get())) {
            auto status = os::reap(child.pidfd.get());
            child.pidfd.reset();
            // Success means that another one holds the lock: it is on its way, or busy.
            bool another_serves = status && *status && (*status)->shell_code() == 0;
            if (!another_serves) {
                co_return fail(Code::unavailable, "skiff-engine keep ended at once, see its log");
            }
        }
        (void)co_await async::sleep_for(kConnectRetry);
    }
}

Task<Result<void>> Keepers::start_current() {
    auto keeper = add(current_build_);
    auto spawned = spawn_keeper(*keeper);
    if (!spawned) {
        keeper->gone = true;
        co_return fail(std::move(spawned.error()));
    }
    auto connected = co_await connect_spawned(keeper, *spawned);
    bool is_other =
        connected && keeper->link->welcome().pid != static_cast<std::uint32_t>(spawned->pid);
    if (spawned->pidfd && (!connected || is_other)) {
        // It never had a runner, and with a keeper that nobody watches the next start would fail.
        // Its socket stays: it may be another keeper's, and a successor replaces it.
        (void)os::send_signal(spawned->pidfd.get(), SIGKILL);
        (void)os::wait_ended(spawned->pidfd.get(), kKillMsMax);
        (void)os::reap(spawned->pidfd.get());
    }
    if (!connected) {
        keeper->gone = true;
        co_return fail(std::move(connected.error()));
    }
    if (!is_other && !keeper->pidfd) {
        keeper->pidfd = std::move(spawned->pidfd);
    }
    log::info("keeper started", log::kv("build", current_build_),
              log::kv("pid", keeper->link->welcome().pid));
    // From here on the task that serves it owns the connection.
    auto serve_connected = [](Keepers* self, std::shared_ptr<Keeper> served) -> Task<void> {
        co_await self->listen(served);
        co_await self->serve(served);
    };
    scope_.spawn("keeper " + current_build_, serve_connected(this, keeper));
    co_return co_await keeper->listed.wait(after(kAnswerMax));
}

Task<void> Keepers::start_for_all() {
    struct Finally {
        Keepers* self;
        ~Finally() {
            self->starting_ = false;
            self->start_done_.set();
        }
    };
    Finally finally{this};
    auto started = co_await start_current();
    start_error_ = started ? std::optional<Error>() : std::move(started.error());
}

Task<Result<void>> Keepers::wait_started() {
    SKIFF_CO_CHECK(co_await start_done_.wait(after(settings_.start_max + kAnswerMax)));
    if (start_error_) {
        co_return fail(Error(*start_error_));
    }
    co_return Result<void>{};
}

Task<Result<std::string>> Keepers::ensure_current() {
    while (starting_) {
        SKIFF_CO_CHECK(co_await wait_started());
    }
    auto found = keepers_.find(current_build_);
    if (found != keepers_.end() && !found->second->gone) {
        auto keeper = found->second;
        auto listed = co_await keeper->listed.wait(after(kAnswerMax));
        if (!listed && listed.error().code == Code::cancelled) {
            co_return fail(std::move(listed.error()));
        }
        if (!listed) {
            co_return fail(Code::unavailable, "the keeper {} does not answer", current_build_);
        }
        if (!keeper->gone) {
            co_return current_build_;
        }
    }
    // Told apart from the wait above: between them another caller may have begun.
    if (starting_) {
        co_return co_await ensure_current();
    }
    // Not the caller's own work: he may be cancelled (his pod was deleted) while others wait for
    // it, and a keeper that was spawned must be watched or killed.
    starting_ = true;
    start_done_.reset();
    scope_.spawn("start keeper", start_for_all());
    SKIFF_CO_CHECK(co_await wait_started());
    co_return current_build_;
}

// ---- talking -----------------------------------------------------------------------------------

Task<Result<void>> Keepers::send(std::string build, wire::Message message, std::vector<int> fds) {
    auto found = keepers_.find(build);
    if (found == keepers_.end() || !found->second->link) {
        co_return fail(Code::unavailable, "the keeper {} is not connected", build);
    }
    // Held: the connection may be dropped while we wait.
    auto link = found->second->link;
    co_return co_await link->send(std::move(message), std::move(fds), after(kSendMax));
}

Task<void> Keepers::send_quietly(std::string build, wire::Message message) {
    std::vector<int> none;
    auto sent = co_await send(std::move(build), std::move(message), std::move(none));
    if (!sent && sent.error().code != Code::cancelled) {
        log::debug("message to keeper not sent", log::kv("error", format_as(sent.error())));
    }
}

void Keepers::post(const std::string& build, wire::Message message) {
    scope_.spawn("send", send_quietly(build, std::move(message)));
}

Task<Result<void>> Keepers::shut_down_all() {
    auto all = keepers_;
    for (auto& [build, keeper] : all) {
        wire::Shutdown shutdown;
        shutdown.mode = wire::ShutdownMode::kill_all;
        wire::Message message = shutdown;
        std::vector<int> none;
        (void)co_await send(build, std::move(message), std::move(none));
    }
    auto deadline = after(kShutdownMax);
    for (auto& [build, keeper] : all) {
        if (!keeper->pidfd) {
            continue;
        }
        auto ended = co_await async::wait_readable(keeper->pidfd.get(), deadline);
        if (!ended && ended.error().code == Code::cancelled) {
            co_return fail(std::move(ended.error()));
        }
        if (!ended) {
            SKIFF_CO_CHECK(os::send_signal(keeper->pidfd.get(), SIGKILL));
            SKIFF_CO_CHECK(co_await async::wait_readable(keeper->pidfd.get(), after(kKillMax)));
        }
    }
    co_return Result<void>{};
}

Task<void> Keepers::stop() {
    co_await scope_.stop();
}

}  // namespace skiff::runtime
