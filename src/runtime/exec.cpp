#include "runtime/exec.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "os/machine.h"
#include "os/process.h"
#include "runtime/start_plan.h"
#include "state/checkpoint.h"
#include "state/digest.h"
#include "wire/paths.h"
#include "wire/runner_page.h"

namespace skiff::runtime {

namespace {

using async::Task;

// Ids of containers are hexadecimal.
constexpr std::string_view kPrefix = "exec-";
constexpr std::size_t kIdBytes = 16;
constexpr auto kAnswerMax = std::chrono::seconds(60);
// After the start of the agent, when pods of a node that was booted have their modules.
constexpr auto kToolboxAfter = std::chrono::seconds(30);
constexpr std::string_view kNotRun = "RunContainerError";

bool is_wasm(const std::filesystem::path& path) {
    auto head = os::read_file_head(path, Bytes{4});
    return head && *head == std::string_view("\0asm", 4);
}

// The namespaces of a process that is proved to be the recorded one: it had not ended when the last
// was open.
Result<std::vector<os::Fd>> open_namespaces(const StoredContainer& container, bool with_user) {
    SKIFF_TRY(os::Fd process, os::open_process(container.identity()));
    std::vector<os::Fd> opened;
    for (std::string_view name : {"mnt", "net", "uts", "user"}) {
        if (name != "user" || with_user) {
            auto fd = os::open(fmt::format("/proc/{}/ns/{}", container.pid, name), O_RDONLY);
            if (!fd) {
                return fail(std::move(fd.error()).context("look into the container"));
            }
            opened.push_back(std::move(*fd));
        }
    }
    if (os::has_ended(process.get())) {
        return fail(Code::not_found, "its process has ended");
    }
    return opened;
}

// Without what is the container's alone, and all that has a descriptor.
Result<wire::Grant> decode_stored(const StoredGrant& stored) {
    SKIFF_TRY(wire::Grant grant, wire::decode_grant(stored.grant, wire::kMessageFdsMax));
    grant.args.clear();
    grant.entry.clear();
    grant.mounts.clear();
    grant.log = {};
    grant.stdin_fd = -1;
    grant.network.fd = -1;
    grant.coredump_fd = -1;
    return grant;
}

pods::ContainerExit lost() {
    pods::ContainerExit exit;
    exit.reason = "ContainerStatusUnknown";
    exit.message = "the command ended while nobody was there to see how";
    return exit;
}

}  // namespace

// One second runner.
struct Execs::Session {
    std::string id;
    std::string container;
    std::string container_name;
    std::string keeper;
    async::Event answered;
    async::Event ended;
    std::optional<Error> start_error;
    pods::ContainerExit exit;
    bool requested = false;  // the keeper was asked for it, so it will tell its end
    os::Fd process;          // once it runs
    Execs* owner = nullptr;  // null once that is gone
};

class Execs::Handle final : public pods::ExecSession {
public:
    explicit Handle(Held session) : session_(std::move(session)) {}
    ~Handle() override {
        if (session_->owner == nullptr || session_->ended.is_set()) {
            return;
        }
        if (session_->requested) {
            session_->owner->kill(session_);
        } else {
            session_->owner->remove(session_);
        }
    }
    Task<Result<pods::ContainerExit>> wait() override {
        auto session = session_;
        SKIFF_CO_CHECK(co_await session->ended.wait());
        co_return session->exit;
    }

private:
    Held session_;
};

Execs::Execs(std::filesystem::path toolbox_folder, const Parts& parts)
    : toolbox_folder_(std::move(toolbox_folder)),
      paths_(parts.paths),
      pool_(parts.pool),
      random_(parts.random),
      cgroups_(parts.cgroups),
      keepers_(parts.keepers),
      artifacts_(parts.artifacts) {}

Execs::~Execs() {
    for (auto& [id, session] : sessions_) {
        session->owner = nullptr;
    }
}

bool Execs::is_session(std::string_view id) {
    return id.starts_with(kPrefix);
}

// ---- what runs ---------------------------------------------------------------------------------

Task<Result<pods::ModuleFile>> Execs::toolbox_for(std::string handler) {
    // The interpreter runs core modules only.
    std::string name = handler == "wasmi" ? "toolbox.wasm" : "toolbox-component.wasm";
    std::filesystem::path path = toolbox_folder_ / name;
    auto fd = os::open_regular(path);
    if (toolbox_folder_.empty() || !fd) {
        co_return fail(Code::unsupported, "the toolbox is not installed: there is no {}",
                       path.string());
    }
    SKIFF_CO_TRY(os::FileStamp stamp, os::stamp_of(fd->get()));
    if (auto known = toolbox_.find(name); known != toolbox_.end() && known->second.stamp == stamp) {
        co_return known->second.module;
    }
    auto file = std::make_shared<os::Fd>(std::move(*fd));
    auto work = [file] { return state::hash_file(file->get()); };
    SKIFF_CO_TRY(state::FileHash hash, co_await pool_.run(std::move(work)));
    pods::ModuleFile module{path, "sha256:" + hash.hex, hash.size};
    toolbox_[name] = Known{stamp, module};
    co_return module;
}

Task<Result<std::shared_ptr<const OpenArtifact>>> Execs::artifact_for(pods::ExecSpec spec,
                                                                      std::string handler) {
    pods::CompileRequest request;
    request.handler = handler;
    if (spec.module && is_wasm(spec.module->path)) {
        request.module = std::move(*spec.module);
    } else {
        SKIFF_CO_TRY(request.module, co_await toolbox_for(handler));
    }
    co_return co_await compile(std::move(request));
}

Task<Result<std::shared_ptr<const OpenArtifact>>> Execs::compile(pods::CompileRequest request) {
    std::function<void()> compiling = [] {};
    SKIFF_CO_TRY(pods::Artifact artifact,
                 co_await artifacts_.compile(std::move(request), std::move(compiling)));
    co_return co_await artifacts_.find(artifact.key);
}

Task<void> Execs::prepare_toolbox() {
    auto slept = co_await async::sleep_for(kToolboxAfter);
    if (!slept) {
        co_return;
    }
    pods::CompileRequest request;
    request.handler = keepers_.runtimes().front();
    auto module = co_await toolbox_for(request.handler);
    if (!module) {
        log::warn("commands in containers are not offered",
                  log::kv("error", format_as(module.error())));
        co_return;
    }
    request.module = std::move(*module);
    auto made = co_await compile(std::move(request));
    if (!made && made.error().code != Code::cancelled) {
        log::warn("toolbox not compiled", log::kv("error", format_as(made.error())));
    }
}

std::set<std::string> Execs::toolbox_modules() const {
    std::set<std::string> digests;
    for (const auto& [name, known] : toolbox_) {
        digests.insert(known.module.digest);
    }
    return digests;
}

// ---- starting ----------------------------------------------------------------------------------

Result<wire::Grant> exec_grant(const pods::ExecSpec& spec, const StoredGrant& stored,
                               const OpenArtifact& artifact, const std::string& id) {
    if (artifact.facts.purpose == wire::Purpose::server) {
        return fail(Code::unsupported, "\"{}\" serves HTTP and is no command",
                    spec.command.front());
    }
    SKIFF_TRY(wire::Grant grant, decode_stored(stored));
    grant.container_id = id;
    grant.label = "exec " + grant.label;
    grant.args = spec.command;
    add_working_dir(artifact.facts, grant);
    grant.tty = spec.tty ? wire::Toggle::on : wire::Toggle::off;
    grant.stop = wire::StopMode::none;
    grant.purpose = artifact.facts.purpose;
    grant.syscalls = syscalls_for(artifact.artifact, grant.network.mode);
    if (grant.root.kind != wire::RootKind::none) {
        grant.root = wire::Root{};
    }
    auto next_fd = static_cast<std::int32_t>(wire::kFirstFreeFd);
    grant.join.mount_fd = next_fd++;
    grant.join.network_fd = next_fd++;
    grant.join.hostname_fd = next_fd++;
    if (grant.identity.id_count > 0) {
        grant.join.user_fd = next_fd++;
    }
    auto number = [&](int fd) { return fd < 0 ? -1 : next_fd++; };
    grant.stdin_fd = number(spec.stdin_fd);
    grant.log.stdout_fd = number(spec.stdout_fd);
    grant.log.stderr_fd = number(spec.stderr_fd);
    return grant;
}

Result<Execs::Held> Execs::add(const StoredContainer& container, const std::string& keeper) {
    std::size_t own = 0;
    for (const auto& [id, session] : sessions_) {
        own += session->container == container.id ? 1 : 0;
    }
    if (own >= kSessionsOfContainerMax || sessions_.size() >= kSessionsMax) {
        return fail(Code::exhausted,
                    "{} commands run in container \"{}\" and {} on the node; at most {} and {} may",
                    own, container.name, sessions_.size(), kSessionsOfContainerMax, kSessionsMax);
    }
    auto session = std::make_shared<Session>();
    session->id = std::string(kPrefix) + random_.hex(kIdBytes);
    session->container = container.id;
    session->container_name = container.name;
    session->keeper = keeper;
    session->owner = this;
    sessions_.emplace(session->id, session);
    return session;
}

Task<Result<void>> Execs::order(Held session, const Start& start) {
    SKIFF_CO_TRY(wire::Grant grant,
                 exec_grant(start.spec, start.grant, *start.artifact, session->id));
    bool with_user = grant.join.user_fd >= 0;
    SKIFF_CO_TRY(auto owned, open_namespaces(start.container, with_user));
    SKIFF_CO_TRY(os::Fd page, make_runner_page(paths_, session->id, {}, 0));
    SKIFF_CO_TRY(std::string bytes, wire::encode_grant(grant));
    SKIFF_CO_TRY(os::Fd memory, os::make_sealed_memfd("grant", bytes));
    std::vector<int> fds = {memory.get(), start.artifact->fd.get(), page.get()};
    for (const auto& fd : owned) {
        fds.push_back(fd.get());
    }
    for (int fd : {start.spec.stdin_fd, start.spec.stdout_fd, start.spec.stderr_fd}) {
        if (fd >= 0) {
            fds.push_back(fd);
        }
    }
    wire::Start request;
    request.request_id = next_request_++;
    request.container_id = session->id;
    request.pod_uid = start.container.pod_uid;
    request.oom_counter = cgroups_->place(start.container.cgroup).oom_counter.string();
    request.oom_kills_before = cgroups_->oom_kills(start.container.cgroup).value_or(0);
    request.memory_bytes_limit = grant.limits.memory_bytes;
    wire::Message message = std::move(request);
    SKIFF_CO_CHECK(co_await keepers_.send(session->keeper, std::move(message), std::move(fds)));
    session->requested = true;
    auto answered = co_await session->answered.wait(after(kAnswerMax));
    if (!answered) {
        co_return fail(std::move(answered.error()));
    }
    if (session->start_error) {
        co_return fail(Error(*session->start_error));
    }
    co_return Result<void>{};
}

Task<Result<std::unique_ptr<pods::ExecSession>>> Execs::start(Start start) {
    SKIFF_CO_TRY(Held session, add(start.container, start.keeper));
    // From here on whoever goes away kills what was begun.
    auto handle = std::make_unique<Handle>(session);
    auto ordered = co_await order(session, start);
    if (!ordered) {
        co_return fail(std::move(ordered.error()).with_default_reason(kNotRun));
    }
    std::unique_ptr<pods::ExecSession> running = std::move(handle);
    co_return std::move(running);
}

// ---- what keepers say --------------------------------------------------------------------------

bool Execs::take(const std::string& build, const wire::Message& message) {
    if (const auto* started = std::get_if<wire::Started>(&message)) {
        if (!is_session(started->container_id)) {
            return false;
        }
        take_running(build, started->container_id);
        if (auto session = find(started->container_id); session && !session->ended.is_set()) {
            os::ProcessIdentity who{os::boot_id(), static_cast<pid_t>(started->pid),
                                    started->start_time};
            if (auto process = os::open_process(who)) {
                session->process = std::move(*process);
            }
            session->answered.set();
        }
        return true;
    }
    if (const auto* failed = std::get_if<wire::StartFailed>(&message)) {
        if (auto session = find(failed->container_id)) {
            session->start_error = Error{Code::internal, std::string(kNotRun),
                                         fmt::format("{}: {}", failed->stage, failed->message),
                                         std::source_location::current()};
            session->exit = lost();
            remove(session);
        }
        return is_session(failed->container_id);
    }
    if (const auto* exited = std::get_if<wire::Exited>(&message)) {
        if (!is_session(exited->container_id)) {
            return false;
        }
        wire::Forget forget;
        forget.container_id = exited->container_id;
        keepers_.post(build, forget);
        if (auto session = find(exited->container_id)) {
            finish(session, *exited);
        }
        return true;
    }
    return false;
}

void Execs::take_running(const std::string& build, const std::string& id) {
    if (find(id)) {
        return;
    }
    log::info("a command of an agent that is gone is ended", log::kv("id", id));
    wire::Kill kill;
    kill.container_id = id;
    keepers_.post(build, kill);
}

void Execs::settle_unlisted(const std::string& build, const std::set<std::string>& listed) {
    auto all = sessions_;
    for (const auto& [id, session] : all) {
        if (session->keeper == build && !listed.contains(id)) {
            lose(session);
        }
    }
}

void Execs::on_keeper_gone(const std::string& build) {
    settle_unlisted(build, {});
}

// ---- ending ------------------------------------------------------------------------------------

Execs::Held Execs::find(const std::string& id) const {
    auto found = sessions_.find(id);
    return found == sessions_.end() ? nullptr : found->second;
}

// By both ways: a keeper may be gone, a pidfd not be there yet.
void Execs::kill(const Held& session) {
    if (session->process.valid()) {
        (void)os::send_signal(session->process.get(), SIGKILL);
    }
    wire::Kill kill;
    kill.container_id = session->id;
    keepers_.post(session->keeper, kill);
}

void Execs::finish(const Held& session, const wire::Exited& exited) {
    StoredExit stored = exit_of(exited, {});
    session->exit.kind = stored.kind;
    session->exit.exit_code = stored.code;
    session->exit.reason = std::move(stored.reason);
    session->exit.message = std::move(stored.message);
    session->exit.finished = WallTime(std::chrono::nanoseconds(stored.finished_ns));
    remove(session);
}

// Nobody will tell how it ended; it may run.
void Execs::lose(const Held& session) {
    kill(session);
    session->start_error =
        Error{Code::unavailable, std::string(kNotRun), "the keeper ended before it answered",
              std::source_location::current()};
    session->exit = lost();
    remove(session);
}

void Execs::remove(const Held& session) {
    sessions_.erase(session->id);
    (void)os::remove_file(wire::runner_page_file(paths_.run_dir.string(), session->id));
    session->answered.set();
    session->ended.set();
}

void Execs::end_sessions(const std::string& container) {
    for (const auto& [id, session] : sessions_) {
        if (session->container == container) {
            kill(session);
        }
    }
}

Task<Result<void>> Execs::wait_ended(std::string container, SteadyTime deadline) {
    std::vector<Held> all;
    for (const auto& [id, session] : sessions_) {
        if (session->container == container) {
            all.push_back(session);
        }
    }
    for (const auto& session : all) {
        SKIFF_CO_CHECK(co_await session->ended.wait(deadline));
    }
    co_return Result<void>{};
}

void Execs::end_strangers(const StoredContainer& container) const {
    for (int pid : cgroups_->processes(container.cgroup)) {
        if (pid == container.pid) {
            continue;
        }
        // Held first, then looked for again: the number may have become somebody else's.
        auto process = os::open_pidfd(pid);
        auto still = cgroups_->processes(container.cgroup);
        if (process && std::ranges::find(still, pid) != still.end()) {
            log::info("a command of an agent that is gone is ended", log::kv("pid", pid));
            (void)os::send_signal(process->get(), SIGKILL);
        }
    }
}

// ---- what a container leaves for its commands --------------------------------------------------

void store_grant(const state::Paths& paths, const ContainerId& id, const StoredGrant& grant) {
    auto stored = state::store_checkpoint(paths.grant(id), kGrantKind, wire::encode(grant),
                                          os::Durability::process);
    if (!stored) {
        log::warn("no commands will run in a container", log::kv("id", id),
                  log::kv("error", format_as(stored.error())));
    }
}

Result<StoredGrant> load_grant(const state::Paths& paths, const ContainerId& id) {
    auto bytes = state::load_checkpoint(paths.grant(id), kGrantKind);
    if (!bytes) {
        return fail(Code::unsupported, "the container takes no commands: {}",
                    bytes.error().code == Code::not_found
                        ? "it was started by a version of Skiff that knew of none"
                        : bytes.error().message);
    }
    return wire::decode<StoredGrant>(*bytes);
}

Result<pods::Image> image_of_grant(const StoredGrant& stored) {
    SKIFF_TRY(wire::Grant grant, decode_stored(stored));
    pods::Image image;
    image.kind = grant.root.kind == wire::RootKind::layers ? pods::ImageKind::layered
                                                           : pods::ImageKind::artifact;
    for (auto layer = grant.root.layers.rbegin(); layer != grant.root.layers.rend(); ++layer) {
        image.layers.emplace_back(*layer);
    }
    image.config.env = std::move(grant.env);
    image.config.working_dir = std::move(grant.cwd);
    return image;
}

}  // namespace skiff::runtime
