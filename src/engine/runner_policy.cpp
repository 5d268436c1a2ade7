#include "engine/runner_policy.h"

#include <limits>

namespace skiff::engine {

namespace {

// The wire's numbers are the engine's.
static_assert(static_cast<int>(wire::Engine::wasmi) == static_cast<int>(wasm::Runtime::wasmi));
static_assert(static_cast<int>(wire::Purpose::server) == static_cast<int>(wasm::Purpose::server));

sandbox::Access access_of(wire::Access access) {
    return access == wire::Access::read_only ? sandbox::Access::read_only
                                             : sandbox::Access::read_write;
}

sandbox::TreeEntry::Kind kind_of(wire::MountKind kind) {
    using Kind = sandbox::TreeEntry::Kind;
    switch (kind) {
        case wire::MountKind::bind:
            return Kind::bind;
        case wire::MountKind::bind_tree:
            return Kind::bind_tree;
        case wire::MountKind::tmpfs:
            return Kind::tmpfs;
        case wire::MountKind::file:
            break;
    }
    return Kind::file;
}

sandbox::FileIds ids_of(wire::IdMapping mapping) {
    switch (mapping) {
        case wire::IdMapping::mapped:
            return sandbox::FileIds::mapped;
        case wire::IdMapping::mapped_or_plain:
            return sandbox::FileIds::mapped_or_plain;
        case wire::IdMapping::mapped_or_owned:
            return sandbox::FileIds::mapped_or_owned;
        case wire::IdMapping::plain:
            break;
    }
    return sandbox::FileIds::plain;
}

sandbox::TreeEntry entry_of(const wire::Mount& mount, std::span<const int> fds, Privilege privilege,
                            std::uint64_t memory_bytes) {
    sandbox::TreeEntry entry;
    entry.kind = kind_of(mount.kind);
    entry.target = mount.target;
    entry.source = mount.source;
    entry.source_fd = mount.source_fd < 0 ? -1 : fds[static_cast<std::size_t>(mount.source_fd)];
    entry.access = access_of(mount.access);
    entry.ids = ids_of(mount.id_mapping);
    entry.content = mount.content;
    entry.bytes_max = mount.bytes_max > 0 ? mount.bytes_max : memory_bytes / 2;
    entry.mode = mount.mode;
    if (privilege == Privilege::ordinary_user) {
        entry.ids = sandbox::FileIds::plain;
        // The kernel lets an ordinary user clone a mount only together with what hides parts of it.
        if (entry.kind == sandbox::TreeEntry::Kind::bind) {
            entry.kind = sandbox::TreeEntry::Kind::bind_tree;
        }
    }
    return entry;
}

void add_identity(sandbox::PolicyBuilder& builder, const wire::Identity& who, Privilege privilege) {
    if (privilege == Privilege::ordinary_user) {
        // The user's own id is the only one there is, and it is called 0.
        builder.keep_machine_ids(sandbox::MachineIds{}).run_as({0, 0, {}});
        return;
    }
    if (who.id_count > 0) {
        builder.map_ids({who.host_base, who.id_count});
    } else {
        builder.keep_machine_ids(sandbox::MachineIds{});
    }
    builder.run_as({who.uid, who.gid, who.groups});
    if (who.files_as == wire::FilesAs::machine) {
        builder.open_files_as_machine(sandbox::MachineFileIds{});
    }
}

void add_network(sandbox::PolicyBuilder& builder, const wire::Network& network,
                 std::span<const int> fds) {
    switch (network.mode) {
        case wire::NetMode::empty:
            return;
        case wire::NetMode::host:
            builder.share_host_network(sandbox::UnrestrictedNetwork{});
            return;
        case wire::NetMode::path:
            builder.join_network(network.path,
                                 network.fd < 0 ? -1 : fds[static_cast<std::size_t>(network.fd)]);
            return;
    }
}

void add_root(sandbox::PolicyBuilder& builder, const wire::Root& root) {
    if (root.kind != wire::RootKind::layers) {
        builder.use_empty_root(root.access == wire::Access::read_only ? 0
                                                                      : root.writable_bytes_max);
        return;
    }
    sandbox::RootPlan plan;
    plan.layers = root.layers;
    plan.upper = root.upper;
    plan.work = root.work;
    plan.access = access_of(root.access);
    builder.use_layers(std::move(plan));
}

void add_surroundings(sandbox::PolicyBuilder& builder, const wire::Grant& grant,
                      std::span<const int> fds, Privilege privilege) {
    add_network(builder, grant.network, fds);
    builder.name_host(grant.hostname);
    add_root(builder, grant.root);
    for (const auto& mount : grant.mounts) {
        builder.add(entry_of(mount, fds, privilege, grant.limits.memory_bytes));
    }
}

void join_container(sandbox::PolicyBuilder& builder, const wire::Join& join,
                    std::span<const int> fds) {
    const auto fd_of = [&](std::int32_t index) {
        return index < 0 ? -1 : fds[static_cast<std::size_t>(index)];
    };
    builder.join_cage({fd_of(join.mount_fd), fd_of(join.network_fd), fd_of(join.hostname_fd),
                       fd_of(join.user_fd)},
                      sandbox::RunningCage{});
}

}  // namespace

wasm::NetworkUse network_use_of(const wire::NetworkUse& use) {
    wasm::NetworkUse network;
    network.egress = use.egress;
    network.rules = use.rules;
    network.may_listen = use.listen == wire::Toggle::on;
    network.http = use.http;
    network.http_given = use.http_given;
    network.http_hosts = use.http_hosts;
    network.http_requests_max = use.http_requests_max;
    network.ca_file = use.ca_file;
    return network;
}

Result<sandbox::Policy> policy_of(const wire::Grant& grant, std::span<const int> fds,
                                  Privilege privilege, Lifetime lifetime) {
    sandbox::PolicyBuilder builder;
    if (privilege == Privilege::full) {
        for (const auto& cgroup : grant.cgroups) {
            builder.join_cgroup(cgroup);
        }
    }
    add_identity(builder, grant.identity, privilege);
    if (grant.join.mount_fd >= 0) {
        join_container(builder, grant.join, fds);
    } else {
        add_surroundings(builder, grant, fds, privilege);
    }
    const bool serves = grant.purpose == wire::Purpose::server;
    builder.limit_open_files(grant.limits.open_files_max + (serves ? kConnectionsMax : 0));
    // An ordinary user's threads are counted together with everything else he runs.
    builder.limit_threads(privilege == Privilege::full ? grant.limits.threads_max
                                                       : std::numeric_limits<std::uint64_t>::max());
    builder.allow_syscalls(grant.syscalls == wire::SyscallProfile::command
                               ? sandbox::SyscallProfile::command
                               : sandbox::SyscallProfile::command_network);
    if (grant.landlock == wire::Toggle::off) {
        builder.without_landlock();
    }
    if (lifetime == Lifetime::with_keeper) {
        builder.die_with_parent();
    }
    return builder.build();
}

}  // namespace skiff::engine
