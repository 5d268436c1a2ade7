#include "wire/grant.h"

#include <algorithm>

#include "base/text.h"
#include "wire/message.h"

namespace skiff::wire {

namespace {

constexpr std::uint32_t kMagic = 0x31524753;  // "SGR1"
constexpr std::size_t kHeaderBytes = 8;
constexpr std::size_t kLayersMax = 126;
constexpr std::size_t kGroupsMax = 256;
constexpr std::size_t kArgsMax = 65536;
constexpr std::size_t kShownBytesMax = 200;  // of a path, in messages

Result<void> check_path(std::string_view what, std::string_view path) {
    if (path.empty() || path.front() != '/' || path.size() > 4095) {
        return fail(Code::invalid, "{} '{}' is not an absolute path", what,
                    bounded_utf8(path, kShownBytesMax));
    }
    if (path.find('\0') != std::string_view::npos) {
        return fail(Code::invalid, "{} has a NUL byte", what);
    }
    const std::string slashed = std::string(path) + "/";
    if (slashed.find("/../") != std::string::npos) {
        return fail(Code::invalid, "{} '{}' has a '..'", what, bounded_utf8(path, kShownBytesMax));
    }
    return {};
}

Result<void> check_fd(std::string_view what, std::int32_t fd, std::size_t fd_count) {
    if (fd < -1 || fd >= static_cast<std::int64_t>(fd_count)) {
        return fail(Code::invalid, "{} names descriptor {} of {}", what, fd, fd_count);
    }
    return {};
}

Result<void> check_texts(std::string_view what, const std::vector<std::string>& texts) {
    if (texts.size() > kArgsMax) {
        return fail(Code::exhausted, "{} has {} entries", what, texts.size());
    }
    for (const auto& text : texts) {
        if (text.find('\0') != std::string::npos) {
            return fail(Code::invalid, "{} has a NUL byte", what);
        }
    }
    return {};
}

Result<void> check_mount(const Mount& mount, std::size_t fd_count) {
    SKIFF_CHECK(check_path("a mount's target", mount.target));
    SKIFF_CHECK(check_fd("a mount", mount.source_fd, fd_count));
    if (mount.target == "/") {
        return fail(Code::invalid, "a mount's target is the root");
    }
    const bool binds = mount.kind == MountKind::bind || mount.kind == MountKind::bind_tree;
    if (binds && mount.source_fd < 0) {
        SKIFF_CHECK(check_path("a mount's source", mount.source));
    }
    if (mount.mode > 07777) {
        return fail(Code::invalid, "the mode of '{}' is out of range",
                    bounded_utf8(mount.target, kShownBytesMax));
    }
    return {};
}

Result<void> check_root(const Root& root) {
    if (root.layers.size() > kLayersMax) {
        return fail(Code::exhausted, "{} image layers, at most {}", root.layers.size(), kLayersMax);
    }
    for (const auto& layer : root.layers) {
        SKIFF_CHECK(check_path("an image layer", layer));
    }
    if (root.kind == RootKind::layers && root.layers.empty()) {
        return fail(Code::invalid, "a layered root without layers");
    }
    if (root.upper.empty() != root.work.empty()) {
        return fail(Code::invalid, "upper and work folder come together");
    }
    if (!root.upper.empty()) {
        SKIFF_CHECK(check_path("the upper folder", root.upper));
        SKIFF_CHECK(check_path("the work folder", root.work));
    }
    return {};
}

Result<void> check_identity(const Identity& who) {
    if (who.groups.size() > kGroupsMax) {
        return fail(Code::exhausted, "{} groups, at most {}", who.groups.size(), kGroupsMax);
    }
    if (who.id_count == 0) {
        return {};
    }
    if (who.host_base == 0 || who.host_base > UINT32_MAX - who.id_count) {
        return fail(Code::invalid, "ids {}+{} are no range of a pod", who.host_base, who.id_count);
    }
    const auto inside = [&](std::uint32_t id) { return id < who.id_count; };
    if (!inside(who.uid) || !inside(who.gid) || !std::ranges::all_of(who.groups, inside)) {
        return fail(Code::invalid, "user or group {}:{} is outside of the pod's {} ids", who.uid,
                    who.gid, who.id_count);
    }
    return {};
}

Result<void> check_network_use(const NetworkUse& use) {
    if (use.rules.size() > kEgressRulesMax || use.http_hosts.size() > kEgressRulesMax) {
        return fail(Code::exhausted, "{} egress rules and {} hosts, at most {} of each",
                    use.rules.size(), use.http_hosts.size(), kEgressRulesMax);
    }
    for (const auto& rule : use.rules) {
        if (rule.prefix_bits > 128) {
            return fail(Code::invalid, "the network of an egress rule has {} bits",
                        rule.prefix_bits);
        }
        SKIFF_CHECK(check_texts("an egress rule", {rule.name}));
    }
    SKIFF_CHECK(check_texts("the hosts of HTTP", use.http_hosts));
    return use.ca_file.empty() ? Result<void>{} : check_path("the CA file", use.ca_file);
}

Result<void> check_server(const HttpServer& server) {
    if (server.port == 0) {
        return fail(Code::invalid, "the server's port is 0");
    }
    return check_texts("the server's address", {server.address});
}

Result<void> check_join(const Grant& grant, std::size_t fd_count) {
    const Join& join = grant.join;
    for (const std::int32_t fd : {join.mount_fd, join.network_fd, join.hostname_fd, join.user_fd}) {
        SKIFF_CHECK(check_fd("a namespace to join", fd, fd_count));
    }
    const bool joins = join.mount_fd >= 0;
    const bool joins_ids = joins && grant.identity.id_count > 0;
    if ((join.network_fd >= 0) != joins || (join.hostname_fd >= 0) != joins ||
        (join.user_fd >= 0) != joins_ids) {
        return fail(Code::invalid, "the namespaces to join come together");
    }
    if (joins && !grant.mounts.empty()) {
        return fail(Code::invalid, "a container that runs has its mounts already");
    }
    return {};
}

Result<void> check(const Grant& grant, std::size_t fd_count) {
    if (!valid_container_id(grant.container_id)) {
        return fail(Code::invalid, "the container id is not valid");
    }
    SKIFF_CHECK(check_texts("args", grant.args));
    SKIFF_CHECK(check_texts("env", grant.env));
    SKIFF_CHECK(check_texts("a name", {grant.cwd, grant.entry, grant.hostname, grant.label}));
    SKIFF_CHECK(check_fd("stdin", grant.stdin_fd, fd_count));
    SKIFF_CHECK(check_root(grant.root));
    if (grant.mounts.size() > kGrantMountsMax) {
        return fail(Code::exhausted, "{} mounts, at most {}", grant.mounts.size(), kGrantMountsMax);
    }
    if (grant.root.kind == RootKind::none && !grant.mounts.empty()) {
        return fail(Code::invalid, "mounts without a root");
    }
    for (const auto& mount : grant.mounts) {
        SKIFF_CHECK(check_mount(mount, fd_count));
    }
    SKIFF_CHECK(check_identity(grant.identity));
    SKIFF_CHECK(check_fd("the network", grant.network.fd, fd_count));
    if (grant.network.mode == NetMode::path && grant.network.fd < 0) {
        SKIFF_CHECK(check_path("the network namespace", grant.network.path));
    }
    for (const auto& cgroup : grant.cgroups) {
        SKIFF_CHECK(check_path("a cgroup", cgroup));
    }
    if (grant.log.slot_fds.size() > kLogSlotsMax) {
        return fail(Code::exhausted, "{} log slots, at most {}", grant.log.slot_fds.size(),
                    kLogSlotsMax);
    }
    for (const std::int32_t fd : grant.log.slot_fds) {
        SKIFF_CHECK(check_fd("a log slot", fd, fd_count));
        if (fd < 0) {
            return fail(Code::invalid, "a log slot without descriptor");
        }
    }
    if (grant.oom_score_adj < -1000 || grant.oom_score_adj > 1000) {
        return fail(Code::invalid, "an OOM score of {}, allowed: -1000 to 1000",
                    grant.oom_score_adj);
    }
    SKIFF_CHECK(check_network_use(grant.network_use));
    SKIFF_CHECK(check_server(grant.server));
    SKIFF_CHECK(check_join(grant, fd_count));
    SKIFF_CHECK(check_fd("the core dump", grant.coredump_fd, fd_count));
    SKIFF_CHECK(check_fd("stdout", grant.log.stdout_fd, fd_count));
    SKIFF_CHECK(check_fd("stderr", grant.log.stderr_fd, fd_count));
    return check_fd("the audience", grant.log.audience_fd, fd_count);
}

}  // namespace

std::optional<Engine> find_engine(std::string_view name) {
    const auto* found = std::ranges::find(kEngineNames, name);
    if (found == kEngineNames.end()) {
        return std::nullopt;
    }
    return static_cast<Engine>(found - kEngineNames.begin());
}

Result<std::string> encode_grant(const Grant& grant) {
    const std::string body = encode(grant);
    if (body.size() + kHeaderBytes > kGrantBytesMax) {
        return fail(Code::exhausted, "arguments, environment and files take {} bytes, at most {}",
                    body.size(), kGrantBytesMax - kHeaderBytes);
    }
    Writer writer;
    writer(kMagic, static_cast<std::uint32_t>(body.size()));
    return writer.take() + body;
}

Result<Grant> decode_grant(std::string_view bytes, std::size_t fd_count) {
    if (bytes.size() < kHeaderBytes || bytes.size() > kGrantBytesMax) {
        return fail(Code::corrupt, "a grant of {} bytes", bytes.size());
    }
    std::uint32_t magic = 0;
    std::uint32_t size = 0;
    Reader reader(bytes.substr(0, kHeaderBytes));
    reader(magic, size);
    if (magic != kMagic || size != bytes.size() - kHeaderBytes) {
        return fail(Code::corrupt, "not a grant");
    }
    SKIFF_TRY(auto grant, decode<Grant>(bytes.substr(kHeaderBytes)));
    SKIFF_CHECK(check(grant, fd_count));
    return grant;
}

}  // namespace skiff::wire
