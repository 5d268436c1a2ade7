#include "runtime/runtime.h"

#include <algorithm>
#include <thread>

#include "base/log.h"
#include "base/text.h"
#include "os/file.h"
#include "runtime/log_files.h"
#include "state/checkpoint.h"
#include "state/pod_mark.h"
#include "wire/paths.h"

namespace skiff::runtime {

namespace {

using async::Task;

constexpr std::string_view kCgroupsKind = "cgroups";
constexpr std::string_view kSandboxFailed = "FailedCreatePodSandBox";
constexpr std::size_t kNameShownMax = 253;

CompileSettings compile_settings(const RuntimeSettings& settings) {
    CompileSettings compile;
    compile.engine_program = settings.engine_program;
    compile.time_max = settings.compile_time_max;
    compile.memory_max = settings.compile_memory_max;
    compile.wasi03 = settings.wasi03;
    compile.at_once = settings.compiles_at_once;
    return compile;
}

KeeperSettings keeper_settings(const RuntimeSettings& settings) {
    KeeperSettings keeper;
    keeper.engine_program = settings.engine_program;
    keeper.lifetime = settings.lifetime;
    return keeper;
}

Result<void> check_name(std::string_view what, const std::string& name) {
    if (!state::can_name_a_file(name)) {
        return fail_because(Code::invalid, kSandboxFailed, "\"{}\" cannot be the {} of a pod",
                            bounded_utf8(name, kNameShownMax), what);
    }
    return {};
}

bool same_limits(const os::CgroupLimits& a, const os::CgroupLimits& b) {
    return a.memory == b.memory && a.cpu_limit_millis == b.cpu_limit_millis &&
           a.cpu_request_millis == b.cpu_request_millis && a.pids == b.pids;
}

}  // namespace

std::string pod_cgroup(const PodUid& pod) {
    return "pod" + pod.str();
}

std::unique_ptr<os::CgroupTree> open_cgroups(const state::Instance& instance,
                                             const std::string& root) {
    auto stored = state::load_checkpoint(instance.paths().cgroups(), kCgroupsKind);
    if (stored) {
        std::vector<std::string> bases;
        for (auto line : split(*stored, '\n')) {
            bases.emplace_back(line);
        }
        return os::CgroupTree::reopen(bases);
    }
    os::CgroupSettings settings;
    settings.root = root;
    settings.instance = "skiff-" + instance.id();
    auto tree = os::CgroupTree::open(settings);
    auto written = state::store_checkpoint(instance.paths().cgroups(), kCgroupsKind,
                                           fmt::format("{}", fmt::join(tree->bases(), "\n")),
                                           os::Durability::process);
    if (!written) {
        log::error("cgroup bases not recorded", log::kv("error", format_as(written.error())));
    }
    return tree;
}

KeeperRuntime::KeeperRuntime(RuntimeSettings settings, RuntimeParts parts,
                             std::unique_ptr<os::CgroupTree> cgroups)
    : settings_(std::move(settings)),
      pool_(parts.pool),
      clock_(parts.clock),
      random_(parts.random),
      paths_(parts.instance.paths()),
      cgroups_(std::move(cgroups)),
      ids_(settings_.ids, paths_.run_dir),
      scope_(parts.reactor.executor()),
      keepers_(keeper_settings(settings_), paths_, *cgroups_, parts.reactor.executor(), *this),
      artifacts_(compile_settings(settings_), paths_, *cgroups_, parts.reactor.executor(), pool_,
                 random_),
      execs_(settings_.toolbox_folder, {paths_, pool_, random_, cgroups_, keepers_, artifacts_}),
      consoles_(paths_) {}

KeeperRuntime::~KeeperRuntime() = default;

Task<Result<std::unique_ptr<KeeperRuntime>>> KeeperRuntime::create(RuntimeSettings settings,
                                                                   RuntimeParts parts) {
    auto cgroups = open_cgroups(parts.instance, settings.cgroup_root);
    std::unique_ptr<KeeperRuntime> runtime(
        new KeeperRuntime(std::move(settings), parts, std::move(cgroups)));
    auto recovered = co_await runtime->recover();
    if (!recovered) {
        co_await runtime->stop_tasks();
        co_return fail(std::move(recovered.error()).context("runtime"));
    }
    co_return std::move(runtime);
}

Task<void> KeeperRuntime::stop_tasks() {
    co_await scope_.stop();
    co_await artifacts_.stop();
    co_await keepers_.stop();
}

// ---- what there is -----------------------------------------------------------------------------

std::optional<std::uint32_t> KeeperRuntime::first_id(const PodUid& pod) const {
    auto found = pods_.find(pod);
    return found == pods_.end() ? std::nullopt
                                : std::optional<std::uint32_t>(found->second.stored.first_id);
}

std::vector<pods::ContainerRecord> KeeperRuntime::containers(const PodUid& pod) const {
    std::vector<pods::ContainerRecord> records;
    auto found = by_pod_.find(pod);
    if (found == by_pod_.end()) {
        return records;
    }
    for (const auto& container : found->second) {
        records.push_back(container->stored.to_record());
        records.back().boot = container->boot;
        records.back().resources = container->resources;
    }
    return records;
}

std::vector<PodUid> KeeperRuntime::pods() const {
    std::set<PodUid> uids;
    for (const auto& [uid, pod] : pods_) {
        uids.insert(uid);
    }
    for (const auto& [uid, list] : by_pod_) {
        uids.insert(uid);
    }
    for (auto& uid : state::marked_pods(paths_)) {
        uids.insert(std::move(uid));
    }
    constexpr std::string_view kPrefix = "pod";
    for (const auto& name : cgroups_->children("")) {
        if (name.starts_with(kPrefix)) {
            uids.insert(PodUid(name.substr(kPrefix.size())));
        }
    }
    return {uids.begin(), uids.end()};
}

void KeeperRuntime::set_observer(std::function<void(const PodUid&)> observer) {
    observer_ = std::move(observer);
}

std::optional<pods::ContainerUsage> KeeperRuntime::usage(const ContainerId& id) const {
    auto container = find(id.str());
    if (!container || container->stored.phase != Phase::running) {
        return std::nullopt;
    }
    auto usage = cgroups_->usage(container->stored.cgroup);
    if (!usage) {
        return std::nullopt;
    }
    return pods::ContainerUsage{usage->cpu, usage->working_set};
}

std::optional<KeeperRuntime::Group> KeeperRuntime::group_of(const ContainerId& id) const {
    auto container = find(id.str());
    if (!container || container->stored.phase != Phase::running) {
        return std::nullopt;
    }
    const std::string& name = container->stored.cgroup;
    return Group{name, cgroups_->place(name)};
}

KeeperRuntime::Held KeeperRuntime::find(const std::string& id) const {
    auto found = containers_.find(id);
    return found == containers_.end() ? nullptr : found->second;
}

KeeperRuntime::Held KeeperRuntime::active(const PodUid& pod, const std::string& name) const {
    auto found = by_pod_.find(pod);
    if (found != by_pod_.end()) {
        for (const auto& container : found->second) {
            if (container->stored.name == name && container->stored.phase != Phase::ended) {
                return container;
            }
        }
    }
    return nullptr;
}

void KeeperRuntime::changed(const StoredContainer& stored) {
    if (observer_) {
        observer_(PodUid(stored.pod_uid));
    }
}

void KeeperRuntime::write_record(const StoredContainer& stored) {
    if (auto written = store_container(paths_, stored); !written) {
        log::error("container not recorded", log::kv("id", stored.id),
                   log::kv("error", format_as(written.error())));
    }
}

// ---- pods --------------------------------------------------------------------------------------

Task<Result<void>> KeeperRuntime::prepare_pod(const pods::PodSandbox& sandbox) {
    return prepare_copy(sandbox);
}

Task<Result<void>> KeeperRuntime::prepare_copy(pods::PodSandbox sandbox) {
    os::CgroupLimits limits;
    limits.memory = sandbox.memory_limit;
    limits.cpu_limit_millis = sandbox.cpu_limit_millis;
    limits.cpu_request_millis = sandbox.cpu_request_millis;
    auto found = pods_.find(sandbox.pod);
    if (found != pods_.end()) {
        store_allocation(sandbox.pod, std::move(sandbox.allocation));
        if (found->second.prepared && same_limits(found->second.limits, limits)) {
            co_return Result<void>{};
        }
    }
    SKIFF_CO_CHECK(check_name("uid", sandbox.pod.str()));
    SKIFF_CO_CHECK(check_name("name", sandbox.pod_name.name));
    SKIFF_CO_CHECK(check_name("namespace", sandbox.pod_name.ns));
    if (found == pods_.end()) {
        auto first_id = ids_.allocate();
        if (!first_id) {
            co_return fail(std::move(first_id.error()).with_reason(kSandboxFailed));
        }
        Pod pod;
        pod.stored = StoredPod{sandbox.pod.str(), sandbox.pod_name.ns, sandbox.pod_name.name,
                               *first_id, std::move(sandbox.allocation)};
        if (auto stored = store_pod(paths_, pod.stored); !stored) {
            ids_.release(*first_id);
            co_return fail(std::move(stored.error()).with_reason(kSandboxFailed));
        }
        found = pods_.emplace(sandbox.pod, std::move(pod)).first;
    }
    if (found->second.prepared) {
        auto resized = cgroups_->resize(pod_cgroup(sandbox.pod), limits);
        if (!resized) {
            co_return fail(Code::unavailable, "cgroup of the pod: {}", resized.error().message);
        }
    }
    auto created = cgroups_->create_parent(pod_cgroup(sandbox.pod), limits);
    if (!created) {
        co_return fail(std::move(created.error()).with_reason(kSandboxFailed));
    }
    found->second.limits = limits;
    found->second.prepared = true;
    co_return Result<void>{};
}

std::optional<std::string> KeeperRuntime::allocation(const PodUid& pod) const {
    auto found = pods_.find(pod);
    bool known = found != pods_.end() && !found->second.stored.allocation.empty();
    return known ? std::optional(found->second.stored.allocation) : std::nullopt;
}

void KeeperRuntime::store_allocation(const PodUid& pod, std::string allocation) {
    auto found = pods_.find(pod);
    if (found == pods_.end() || found->second.stored.allocation == allocation) {
        return;
    }
    found->second.stored.allocation = std::move(allocation);
    if (auto stored = store_pod(paths_, found->second.stored); !stored) {
        log::error("allocation not recorded", log::kv("uid", pod),
                   log::kv("error", format_as(stored.error())));
    }
}

Task<Result<void>> KeeperRuntime::remove_pod(const PodUid& pod) {
    return remove_pod_copy(pod);
}

Task<Result<void>> KeeperRuntime::remove_pod_copy(PodUid uid) {
    std::vector<ContainerId> ids;
    if (auto list = by_pod_.find(uid); list != by_pod_.end()) {
        for (const auto& container : list->second) {
            if (container->stored.phase != Phase::ended) {
                co_return fail(Code::conflict, "container {} still runs", container->stored.name);
            }
            ids.emplace_back(container->stored.id);
        }
    }
    for (const auto& id : ids) {
        SKIFF_CO_CHECK(co_await remove_copy(id));
    }
    auto cgroups = cgroups_;
    auto work = [paths = paths_, uid, cgroups]() -> Result<void> {
        SKIFF_CHECK(remove_pod_logs(paths, uid));
        SKIFF_CHECK(os::remove_tree(paths.pod_containers(uid)));
        SKIFF_CHECK(cgroups->remove(pod_cgroup(uid)));
        SKIFF_CHECK(os::remove_file(paths.pod_record(uid)));
        return state::unmark_pod(paths, uid);
    };
    SKIFF_CO_CHECK(co_await pool_.run(std::move(work)));
    if (auto pod = pods_.find(uid); pod != pods_.end()) {
        ids_.release(pod->second.stored.first_id);
        pods_.erase(pod);
    }
    by_pod_.erase(uid);
    co_return Result<void>{};
}

Task<Result<pods::Artifact>> KeeperRuntime::compile(pods::CompileRequest request,
                                                    std::function<void()> compiling) {
    return artifacts_.compile(std::move(request), std::move(compiling));
}

// ---- commands in containers --------------------------------------------------------------------

Result<KeeperRuntime::Held> KeeperRuntime::running(const ContainerId& id) const {
    auto container = find(id.str());
    if (!container || container->stored.phase != Phase::running) {
        return fail(Code::conflict, "container \"{}\" is not running",
                    container ? container->stored.name : id.str());
    }
    return container;
}

Result<pods::Image> KeeperRuntime::image_of(const ContainerId& id) const {
    SKIFF_TRY(Held container, running(id));
    SKIFF_TRY(StoredGrant grant, load_grant(paths_, id));
    SKIFF_TRY(pods::Image image, image_of_grant(grant));
    image.reference = container->stored.image;
    image.image_id = container->stored.image_id;
    return image;
}

Task<Result<std::unique_ptr<pods::ExecSession>>> KeeperRuntime::exec(pods::ExecSpec spec) {
    if (spec.command.empty() || spec.command.front().empty()) {
        co_return fail(Code::invalid, "no command was given");
    }
    SKIFF_CO_CHECK(running(spec.container));
    SKIFF_CO_TRY(StoredGrant grant, load_grant(paths_, spec.container));
    SKIFF_CO_TRY(auto artifact, co_await execs_.artifact_for(spec, grant.runtime_handler));
    SKIFF_CO_TRY(std::string keeper, co_await keepers_.ensure_current());
    // It may have ended meanwhile.
    SKIFF_CO_TRY(Held container, running(spec.container));
    Execs::Start start{std::move(spec), container->stored, std::move(grant), std::move(artifact),
                       std::move(keeper)};
    co_return co_await execs_.start(std::move(start));
}

Task<Result<std::unique_ptr<pods::AttachSession>>> KeeperRuntime::attach(pods::AttachSpec spec) {
    SKIFF_CO_TRY(Held container, running(spec.container));
    auto on_use = [this](const std::string& id) {
        if (Held used = find(id)) {
            used->stored.input_used = true;
            write_record(used->stored);
        }
    };
    co_return co_await consoles_.attach(std::move(spec), container->stored, std::move(on_use),
                                        scope_);
}

void KeeperRuntime::on_console_lent(const std::string& id, os::Fd far_end) {
    if (Held container = find(id); container && container->stored.phase != Phase::ended) {
        consoles_.add(container->stored, std::move(far_end));
    }
}

void KeeperRuntime::ask_for_console(const std::string& build, const std::string& id) {
    Held container = find(id);
    bool has_one = container && container->stored.console.kind != pods::Console::Kind::none;
    if (has_one && !consoles_.has(id)) {
        wire::Lend lend;
        lend.container_id = id;
        keepers_.post(build, lend);
    }
}

void KeeperRuntime::prepare_toolbox() {
    scope_.spawn("prepare toolbox", execs_.prepare_toolbox());
}

// ---- the cache of compiled modules -------------------------------------------------------------

Artifacts::Spared KeeperRuntime::artifacts_in_use() const {
    Artifacts::Spared in_use;
    for (const auto& [id, container] : containers_) {
        if (container->stored.phase != Phase::ended) {
            in_use.insert(container->stored.artifact);
        }
    }
    return in_use;
}

Task<Result<std::vector<SourceModule>>> KeeperRuntime::compiled_modules() {
    SKIFF_CO_TRY(auto artifacts, co_await artifacts_.cached());
    std::map<std::string, SourceModule> modules;
    for (const CachedArtifact& artifact : artifacts) {
        for (const SourceModule& module : artifact.modules) {
            modules.emplace(module.digest, module);
        }
    }
    std::vector<SourceModule> list;
    for (auto& [digest, module] : modules) {
        list.push_back(std::move(module));
    }
    co_return std::move(list);
}

Task<Result<Bytes>> KeeperRuntime::drop_artifacts(std::set<std::string> left) {
    SKIFF_CO_TRY(auto artifacts, co_await artifacts_.cached());
    left.merge(execs_.toolbox_modules());
    std::erase_if(artifacts, [&](const CachedArtifact& artifact) {
        return std::ranges::all_of(artifact.modules, [&](const SourceModule& module) {
            return left.contains(module.digest);
        });
    });
    co_return co_await artifacts_.drop(std::move(artifacts), artifacts_in_use());
}

}  // namespace skiff::runtime
