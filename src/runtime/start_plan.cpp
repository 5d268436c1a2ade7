#include "runtime/start_plan.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/text.h"
#include "os/file.h"
#include "runtime/coredumps.h"
#include "runtime/log_files.h"
#include "state/id_ranges.h"
#include "wire/paths.h"
#include "wire/runner_page.h"

namespace skiff::runtime {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kUnfit = "CreateContainerConfigError";
// What a guest may write outside of its volumes when its root is writable and it has no layers.
constexpr Bytes kScratchMax = 64_MiB;
constexpr std::size_t kHostnameMax = 63;
constexpr std::string_view kNsswitch = "passwd: files\ngroup: files\nhosts: files dns\n";

Result<void> check_ids(const pods::ContainerSpec& spec) {
    auto check = [](std::string_view field, std::uint32_t id) -> Result<void> {
        if (id >= state::kIdsPerPod) {
            return fail_because(Code::unsupported, kUnfit,
                                "{} {} is above {}: a pod has {} ids of its own", field, id,
                                state::kIdsPerPod - 1, state::kIdsPerPod);
        }
        return {};
    };
    SKIFF_CHECK(check("runAsUser", spec.uid));
    SKIFF_CHECK(check("runAsGroup", spec.gid));
    for (auto group : spec.groups) {
        SKIFF_CHECK(check("group", group));
    }
    return {};
}

wire::Mount bind(const fs::path& source, std::string target, wire::Access access) {
    wire::Mount mount;
    mount.kind = wire::MountKind::bind;
    mount.source = source.string();
    mount.target = std::move(target);
    mount.access = access;
    mount.id_mapping = wire::IdMapping::mapped_or_plain;
    return mount;
}

std::string normal(std::string_view path) {
    std::string text = fs::path(path).lexically_normal().string();
    if (text.size() > 1 && text.ends_with('/')) {
        text.pop_back();
    }
    return text;
}

std::vector<wire::Mount> mounts_of(const pods::ContainerSpec& spec, const state::Paths& paths,
                                   const ContainerId& id) {
    std::vector<wire::Mount> mounts;
    auto has = [&](std::string_view target) {
        return std::any_of(mounts.begin(), mounts.end(),
                           [&](const wire::Mount& mount) { return mount.target == target; });
    };
    for (const auto& wanted : spec.mounts) {
        auto access = wanted.access == pods::MountAccess::read_only ? wire::Access::read_only
                                                                    : wire::Access::read_write;
        auto mount = bind(wanted.host, normal(wanted.container), access);
        mount.id_mapping = wire::IdMapping::mapped_or_owned;
        if (wanted.origin == pods::VolumeOrigin::foreign) {
            // With what is mounted below it, as a kubelet's rbind; Skiff's own volumes are one
            // mount.
            mount.kind = wire::MountKind::bind_tree;
            mount.id_mapping = wanted.ids == pods::VolumeIds::of_machine ? wire::IdMapping::plain
                                                                         : wire::IdMapping::mapped;
        }
        if (wanted.origin == pods::VolumeOrigin::image) {
            // The files of an artifact are mounts in it. Owners are the image's, so they are never
            // changed: where they cannot be mapped, a file is read if everybody may.
            mount.kind = wire::MountKind::bind_tree;
            mount.id_mapping = wire::IdMapping::mapped_or_plain;
        }
        mounts.push_back(std::move(mount));
    }
    // A volume of the pod's own on one of these paths wins, as under a kubelet.
    auto add_file = [&](const fs::path& host, std::string_view target, wire::Access access) {
        if (!host.empty() && !target.empty() && !has(target)) {
            mounts.push_back(bind(host, std::string(target), access));
        }
    };
    if (!spec.termination_message_path.empty()) {
        add_file(paths.termination_file(id), normal(spec.termination_message_path),
                 wire::Access::read_write);
    }
    if (spec.stop_mode == pods::ContainerSpec::StopMode::file) {
        add_file(paths.stop_folder(id), "/run/skiff", wire::Access::read_only);
    }
    add_file(spec.pod_network.hosts_file, "/etc/hosts", wire::Access::read_only);
    add_file(spec.pod_network.resolv_conf, "/etc/resolv.conf", wire::Access::read_only);
    // getaddrinfo would otherwise obey, and load libraries named by, the image's own file.
    if (spec.network != pods::NetworkMode::empty && !has("/etc/nsswitch.conf")) {
        wire::Mount mount;
        mount.kind = wire::MountKind::file;
        mount.target = "/etc/nsswitch.conf";
        mount.content = std::string(kNsswitch);
        mount.mode = 0644;
        mounts.push_back(std::move(mount));
    }
    // Parents before children, whatever the order in the pod.
    std::stable_sort(mounts.begin(), mounts.end(), [](const auto& a, const auto& b) {
        return fs::path(a.target) < fs::path(b.target);
    });
    return mounts;
}

wire::FilesAs files_as(const pods::ContainerSpec& spec) {
    bool machine = std::any_of(spec.mounts.begin(), spec.mounts.end(), [](const auto& mount) {
        return mount.ids == pods::VolumeIds::of_machine;
    });
    return machine ? wire::FilesAs::machine : wire::FilesAs::pod;
}

wire::Root root_of(const pods::ContainerSpec& spec, const StoredContainer& stored) {
    wire::Root root;
    bool writable = spec.root == pods::ContainerSpec::Root::writable;
    root.access = writable ? wire::Access::read_write : wire::Access::read_only;
    if (spec.image.kind == pods::ImageKind::artifact) {
        root.kind = wire::RootKind::empty;
        root.writable_bytes_max = writable ? kScratchMax.value : 0;
        return root;
    }
    root.kind = wire::RootKind::layers;
    for (auto layer = spec.image.layers.rbegin(); layer != spec.image.layers.rend(); ++layer) {
        root.layers.push_back(layer->string());
    }
    if (!stored.layer.empty()) {
        root.upper = (fs::path(stored.layer) / "upper").string();
        root.work = (fs::path(stored.layer) / "work").string();
    }
    return root;
}

void set_network(const pods::ContainerSpec& spec, wire::Grant& grant) {
    switch (spec.network) {
        case pods::NetworkMode::host:
            grant.network.mode = wire::NetMode::host;
            break;
        case pods::NetworkMode::empty:
            grant.network.mode = wire::NetMode::empty;
            break;
        case pods::NetworkMode::pod:
            grant.network.mode = wire::NetMode::path;
            grant.network.path = spec.pod_network.netns.string();
            break;
    }
    grant.hostname =
        spec.pod_network.hostname.empty() ? spec.pod_name.name : spec.pod_network.hostname;
    grant.hostname.resize(std::min(grant.hostname.size(), kHostnameMax));
}

wire::NetworkUse network_use_of(const pods::ContainerSpec& spec) {
    wire::NetworkUse use;
    if (spec.network == pods::NetworkMode::empty) {
        use.egress = Reach::nothing;
        use.listen = wire::Toggle::off;
        return use;
    }
    use.egress = spec.egress.reach;
    use.rules = spec.egress.rules;
    use.http = spec.http.reach;
    use.http_given = spec.http.given;
    use.http_hosts = spec.http.hosts;
    use.http_requests_max = spec.http.requests_max;
    // As OpenSSL and Go: a program's own choice of whom it trusts, else the usual place.
    constexpr std::string_view kVariable = "SSL_CERT_FILE=";
    use.ca_file = "/etc/ssl/certs/ca-certificates.crt";
    for (const auto& entry : spec.env) {
        if (entry.starts_with(kVariable) && entry.substr(kVariable.size()).starts_with('/')) {
            use.ca_file = entry.substr(kVariable.size());
        }
    }
    return use;
}

wire::HttpServer server_of(const pods::Serving& serving) {
    const auto ms = [](Duration time) {
        return static_cast<std::uint64_t>(
            std::chrono::duration_cast<std::chrono::milliseconds>(time).count());
    };
    wire::HttpServer server;
    server.address = serving.address;
    server.port = serving.port;
    server.reuse_count = serving.reuse_count;
    server.reuse_concurrent = serving.reuse_concurrent;
    server.requests_max = serving.limits.requests;
    server.request_ms_max = ms(serving.limits.time);
    server.body_bytes_max = serving.limits.body.value;
    server.drain_ms = ms(serving.drain_delay);
    server.drain_share = serving.drain_share;
    return server;
}

Result<void> make_termination_file(const fs::path& path) {
    SKIFF_TRY(os::Fd fd, os::open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
    // The container's user, whoever it is, writes here.
    if (::fchmod(fd.get(), 0666) != 0) {
        return fail_errno(errno, fmt::format("chmod {}", path.string()));
    }
    return {};
}

Result<void> make_link(const fs::path& target, const fs::path& link) {
    if (::symlink(target.c_str(), link.c_str()) != 0 && errno != EEXIST) {
        return fail_errno(errno, fmt::format("link {}", link.string()));
    }
    return {};
}

}  // namespace

// Core modules have no notion of a working directory; their libc takes it from PWD.
void add_working_dir(const wire::ModuleFacts& facts, wire::Grant& grant) {
    bool has_pwd = std::any_of(grant.env.begin(), grant.env.end(),
                               [](const std::string& entry) { return entry.starts_with("PWD="); });
    if (facts.kind == wire::ModuleKind::core && !grant.cwd.empty() && !has_pwd) {
        grant.env.push_back("PWD=" + grant.cwd);
    }
}

wire::SyscallProfile syscalls_for(const pods::Artifact& artifact, wire::NetMode network) {
    bool may_open_sockets =
        (artifact.opens_sockets || artifact.serves_http) && network != wire::NetMode::empty;
    return may_open_sockets ? wire::SyscallProfile::command_network : wire::SyscallProfile::command;
}

Result<os::Fd> make_runner_page(const state::Paths& paths, const std::string& id,
                                std::span<const std::uint64_t> log_inodes,
                                std::uint64_t log_bytes_max) {
    fs::path path = wire::runner_page_file(paths.run_dir.string(), id);
    SKIFF_TRY(os::Fd fd, os::open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
    SKIFF_CHECK(os::write_all(fd.get(), wire::initial_page(log_inodes, log_bytes_max)));
    if (::ftruncate(fd.get(), wire::kRunnerPageBytes) != 0) {
        return fail_errno(errno, fmt::format("size {}", path.string()));
    }
    return fd;
}

wire::StopMode stop_mode_of(pods::ContainerSpec::StopMode mode) {
    switch (mode) {
        case pods::ContainerSpec::StopMode::kill:
            return wire::StopMode::none;
        case pods::ContainerSpec::StopMode::file:
            return wire::StopMode::file;
        case pods::ContainerSpec::StopMode::lifecycle:
            return wire::StopMode::lifecycle;
    }
    return wire::StopMode::none;
}

Result<wire::Grant> grant_for(const pods::ContainerSpec& spec, const StoredContainer& stored,
                              const StartContext& context) {
    SKIFF_CHECK(check_ids(spec));
    wire::Grant grant;
    grant.container_id = stored.id;
    grant.label = fmt::format("{}/{}/{}", spec.pod_name.ns, spec.pod_name.name, spec.name);
    grant.args = spec.argv;
    grant.env = spec.env;
    grant.entry = spec.function;
    grant.tty = spec.tty ? wire::Toggle::on : wire::Toggle::off;
    grant.stop = stop_mode_of(spec.stop_mode);
    grant.limits.memory_bytes = spec.limits.memory.value_or(Bytes()).value;
    grant.oom_score_adj = spec.oom_score_adj;
    grant.root = root_of(spec, stored);
    grant.mounts = mounts_of(spec, context.paths, ContainerId(stored.id));
    grant.identity.uid = spec.uid;
    grant.identity.gid = spec.gid;
    grant.identity.groups = spec.groups;
    grant.identity.host_base = context.first_id;
    grant.identity.id_count = state::kIdsPerPod;
    grant.identity.files_as = files_as(spec);
    set_network(spec, grant);
    grant.cwd = spec.working_dir;
    add_working_dir(context.artifact.facts, grant);
    for (const auto& folder : context.cgroup.folders) {
        grant.cgroups.push_back(folder.string());
    }
    grant.network_use = network_use_of(spec);
    grant.engine = wire::find_engine(spec.runtime_handler).value_or(wire::Engine::wasmtime);
    grant.purpose = context.artifact.facts.purpose;
    grant.server = server_of(spec.serving);
    grant.syscalls = syscalls_for(context.artifact.artifact, grant.network.mode);
    auto next_fd = static_cast<std::int32_t>(wire::kFirstFreeFd);
    for (std::size_t i = 0; i < context.logs.files; ++i) {
        grant.log.slot_fds.push_back(next_fd++);
    }
    grant.log.slot_bytes_max = context.logs.file_max.value;
    grant.log.bytes_per_second_max = context.logs.per_second_max.value;
    if (spec.stdin_fd >= 0) {
        grant.stdin_fd = next_fd;
        if (spec.tty) {
            // A terminal is one open file for all three streams.
            grant.log.stdout_fd = next_fd;
            grant.log.stderr_fd = next_fd;
        }
        ++next_fd;
    }
    next_fd = grant_console(stored.console, next_fd, grant);
    if (stored.core_dump) {
        grant.coredump_fd = next_fd;
        grant.coredump_bytes_max = kCoreDumpMax.value;
    }
    return grant;
}

Result<ContainerFiles> make_container_files(const state::Paths& paths,
                                            const StoredContainer& stored,
                                            const LogSettings& settings) {
    if (!stored.layer.empty()) {
        SKIFF_CHECK(os::make_folders(fs::path(stored.layer) / "upper", 0755));
        SKIFF_CHECK(os::make_folders(fs::path(stored.layer) / "work", 0755));
    }
    SKIFF_CHECK(make_termination_file(paths.termination_file(ContainerId(stored.id))));
    if (stored.stop_mode == wire::StopMode::file) {
        SKIFF_CHECK(os::make_folders(paths.stop_folder(ContainerId(stored.id)), 0755));
    }
    ContainerFiles files;
    SKIFF_TRY(LogFiles logs, make_log_files(stored.log_folder, stored.attempt, settings.files));
    SKIFF_CHECK(make_link(fs::path(stored.log_folder) / pods::log_file_name(stored.attempt),
                          stored.log_link));
    SKIFF_TRY(files.page, make_runner_page(paths, stored.id, logs.inodes, settings.file_max.value));
    files.logs = std::move(logs.fds);
    if (stored.core_dump) {
        SKIFF_TRY(files.core_dump, make_core_dump_file(paths, stored));
    }
    SKIFF_TRY(files.console, make_console_files(paths, ContainerId(stored.id), stored.console));
    return files;
}

Result<StartPlan> make_start_plan(const pods::ContainerSpec& spec, const StoredContainer& stored,
                                  const StartContext& context, ContainerFiles files) {
    SKIFF_TRY(wire::Grant grant, grant_for(spec, stored, context));
    SKIFF_TRY(std::string grant_bytes, wire::encode_grant(grant));
    SKIFF_TRY(os::Fd grant_fd, os::make_sealed_memfd("grant", grant_bytes));

    StartPlan plan;
    plan.grant = StoredGrant{spec.runtime_handler, std::move(grant_bytes)};
    plan.start.container_id = stored.id;
    plan.start.pod_uid = stored.pod_uid;
    plan.start.stop = grant.stop;
    plan.start.oom_counter = context.cgroup.oom_counter.string();
    plan.start.oom_kills_before = context.oom_kills_before;
    plan.start.memory_bytes_limit = grant.limits.memory_bytes;
    plan.start.drain_ms = grant.server.drain_ms;
    plan.start.drain_share = grant.server.drain_share;
    plan.fds = {grant_fd.get(), context.artifact.fd.get(), files.page.get()};
    for (const auto& fd : files.logs) {
        plan.fds.push_back(fd.get());
    }
    if (spec.stdin_fd >= 0) {
        plan.fds.push_back(spec.stdin_fd);
    }
    ConsoleFiles& console = files.console;
    for (int fd : console_fds(console)) {
        plan.fds.push_back(fd);
    }
    for (os::Fd* fd : {&console.input, &console.out, &console.err, &console.audience}) {
        plan.owned.push_back(std::move(*fd));
    }
    if (files.core_dump) {
        plan.fds.push_back(files.core_dump.get());
        plan.owned.push_back(std::move(files.core_dump));
    }
    plan.console = std::move(console.far_end);
    if (plan.console) {
        plan.start.has_console = true;
        plan.fds.push_back(plan.console.get());
    }
    std::ranges::move(files.logs, std::back_inserter(plan.owned));
    plan.owned.push_back(std::move(grant_fd));
    plan.owned.push_back(std::move(files.page));
    return plan;
}

Result<void> remove_container_files(const state::Paths& paths, const StoredContainer& stored) {
    if (!stored.log_link.empty()) {
        SKIFF_CHECK(os::remove_file(stored.log_link));
    }
    if (!stored.log_folder.empty()) {
        SKIFF_CHECK(remove_log_files(stored.log_folder, stored.attempt));
    }
    if (!stored.layer.empty()) {
        SKIFF_CHECK(os::remove_tree(stored.layer));
        ::rmdir(fs::path(stored.layer).parent_path().c_str());
    }
    auto run_dir = paths.run_dir.string();
    if (stored.stop_mode == wire::StopMode::file) {
        SKIFF_CHECK(os::remove_tree(paths.stop_folder(ContainerId(stored.id))));
    }
    SKIFF_CHECK(os::remove_file(paths.termination_file(ContainerId(stored.id))));
    SKIFF_CHECK(os::remove_file(paths.grant(ContainerId(stored.id))));
    SKIFF_CHECK(remove_console_files(paths, ContainerId(stored.id)));
    SKIFF_CHECK(os::remove_file(wire::runner_page_file(run_dir, stored.id)));
    return os::remove_file(wire::exit_file(run_dir, stored.id));
}

}  // namespace skiff::runtime
