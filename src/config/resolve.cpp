// Settings that depend on the machine or on one another.
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <iterator>
#include <thread>

#include "base/egress.h"
#include "base/text.h"
#include "config/fields.h"

namespace skiff::config {

static bool beside_a_kubelet() {
    std::error_code error;
    return std::filesystem::exists("/var/lib/kubelet/config.yaml", error);
}

static Result<std::string> default_node_name() {
    char host[HOST_NAME_MAX + 1] = {};
    if (::gethostname(host, HOST_NAME_MAX) != 0) {
        return fail_errno(errno, "gethostname");
    }
    return to_lower(host) + (beside_a_kubelet() ? "-wasm" : "");
}

// RFC 1123 subdomain: what metadata.name of a Node may be.
static bool is_node_name(std::string_view name) {
    if (name.empty() || name.size() > 253) {
        return false;
    }
    for (std::string_view label : split(name, '.')) {
        bool edges = !label.empty() && label.front() != '-' && label.back() != '-';
        bool letters = label.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") ==
                       std::string_view::npos;
        if (!edges || !letters) {
            return false;
        }
    }
    return true;
}

static Result<void> check_api_servers(const std::vector<std::string>& servers) {
    constexpr std::size_t kServersMax = 16;
    constexpr std::string_view kScheme = "https://";
    if (servers.size() > kServersMax) {
        return fail(Code::invalid, "apiServers: more than {} addresses", kServersMax);
    }
    for (const std::string& server : servers) {
        bool plain = server.find_first_of(" \t\r\n?#@") == std::string::npos;
        if (!server.starts_with(kScheme) || server.size() == kScheme.size() || !plain ||
            server.ends_with('/')) {
            return fail(Code::invalid,
                        "apiServers: \"{}\" is not an address such as https://10.0.0.1:6443",
                        bounded_utf8(server, 253));
        }
    }
    return {};
}

static std::filesystem::path default_engine() {
    std::error_code error;
    auto program = std::filesystem::read_symlink("/proc/self/exe", error);
    auto beside = program.parent_path() / "skiff-engine";
    if (std::filesystem::exists(beside, error)) {
        return beside;
    }
    return program.parent_path().parent_path() / "libexec" / "skiff" / "skiff-engine";
}

// A kubelet takes a period of zero for its default.
static void use_default_for_zero(Settings& settings, Duration Settings::* period) {
    if (settings.*period == Duration::zero()) {
        settings.*period = Settings().*period;
    }
}

static Result<void> resolve_static_pods(Settings& settings) {
    use_default_for_zero(settings, &Settings::file_check_frequency);
    use_default_for_zero(settings, &Settings::http_check_frequency);
    use_default_for_zero(settings, &Settings::sync_frequency);
    const std::string& url = settings.static_pod_url;
    if (!url.empty() && !url.starts_with("http://") && !url.starts_with("https://")) {
        return fail(Code::invalid, "staticPodURL: \"{}\" does not begin with http:// or https://",
                    bounded_utf8(url, 80));
    }
    return {};
}

static Result<void> resolve_logging(Settings& settings) {
    if (settings.logging_format != "text" && settings.logging_format != "json") {
        return fail(Code::invalid, "logging.format: \"{}\" is not known; allowed: text, json",
                    bounded_utf8(settings.logging_format, 80));
    }
    constexpr std::int64_t kVerbosityOfDebug = 4;  // as in a kubelet's own messages
    if (settings.logging_verbosity >= kVerbosityOfDebug) {
        settings.log_level = "debug";
    }
    constexpr std::string_view kLevels[] = {"debug", "info", "warn", "error", "critical"};
    if (std::ranges::find(kLevels, settings.log_level) == std::end(kLevels)) {
        return fail(Code::invalid,
                    "logLevel: \"{}\" is not known; allowed: debug, info, warn, error, critical",
                    bounded_utf8(settings.log_level, 80));
    }
    return {};
}

static Result<void> resolve_pod_network(const Settings& settings) {
    constexpr std::string_view kKinds[] = {"auto", "cni", "routed", "node"};
    constexpr std::size_t kFoldersMax = 16;
    constexpr Duration kRequestMax = std::chrono::hours(1);
    if (std::ranges::find(kKinds, settings.pod_network) == std::end(kKinds)) {
        return fail(Code::invalid,
                    "podNetwork: \"{}\" is not known; allowed: auto, cni, routed, node",
                    bounded_utf8(settings.pod_network, 80));
    }
    constexpr std::string_view kRoutes[] = {"auto", "vxlan", "host-gw", "none"};
    if (std::ranges::find(kRoutes, settings.pod_routes) == std::end(kRoutes)) {
        return fail(Code::invalid,
                    "podRoutes: \"{}\" is not known; allowed: auto, vxlan, host-gw, none",
                    bounded_utf8(settings.pod_routes, 80));
    }
    if (!settings.cni_conf_dir.is_absolute()) {
        return fail(Code::invalid, "cniConfDir: \"{}\" is not an absolute path",
                    bounded_utf8(settings.cni_conf_dir.string(), 200));
    }
    if (settings.cni_bin_dirs.empty() || settings.cni_bin_dirs.size() > kFoldersMax) {
        return fail(Code::invalid, "cniBinDir: {} folders; allowed: 1–{}",
                    settings.cni_bin_dirs.size(), kFoldersMax);
    }
    for (const std::string& folder : settings.cni_bin_dirs) {
        // The plugins are told them as one text with colons between.
        if (!folder.starts_with('/') || folder.find(':') != std::string::npos) {
            return fail(Code::invalid, "cniBinDir: \"{}\" is not an absolute path without a colon",
                        bounded_utf8(folder, 200));
        }
    }
    if (settings.runtime_request_timeout < std::chrono::seconds(1) ||
        settings.runtime_request_timeout > kRequestMax) {
        return fail(Code::invalid, "runtimeRequestTimeout: is not between 1s and 1h");
    }
    return {};
}

static void resolve_capacity(Settings& settings) {
    if (settings.pods_per_core > 0) {
        auto cores = std::max<std::int64_t>(1, std::thread::hardware_concurrency());
        settings.max_pods = std::min(settings.max_pods, settings.pods_per_core * cores);
    }
    if (settings.merge_default_eviction_settings) {
        settings.eviction_hard.merge(Settings().eviction_hard);
    }
}

static void place_logs(Settings& settings) {
    const bool is_given = !settings.pod_log_dir.empty();
    if (!is_given) {
        // A kubelet removes from /var/log/pods whatever belongs to no pod of its own.
        settings.pod_log_dir = beside_a_kubelet() ? "/var/log/skiff/pods" : "/var/log/pods";
    }
    if (settings.container_log_dir.empty()) {
        settings.container_log_dir =
            is_given ? settings.pod_log_dir.parent_path() / "containers" : "/var/log/containers";
    }
}

Result<void> resolve(Settings& settings) {
    if (settings.node_name.empty()) {
        SKIFF_TRY(settings.node_name, default_node_name());
    }
    if (!is_node_name(settings.node_name)) {
        return fail(Code::invalid,
                    "nodeName: \"{}\" is not lower-case letters, digits, '-' and '.', at most 253",
                    bounded_utf8(settings.node_name, 253));
    }
    if (settings.cert_dir.empty()) {
        settings.cert_dir = settings.root_dir / "pki";
    }
    place_logs(settings);
    if (settings.engine_path.empty()) {
        settings.engine_path = default_engine();
    }
    SKIFF_CHECK(check_api_servers(settings.api_servers));
    if (settings.tls_cert_file.empty() != settings.tls_private_key_file.empty()) {
        return fail(Code::invalid, "tlsCertFile and tlsPrivateKeyFile must be set together");
    }
    if (settings.authorization_mode != "Webhook" && settings.authorization_mode != "AlwaysAllow") {
        return fail(Code::invalid,
                    "authorization.mode: \"{}\" is not known; allowed: Webhook, AlwaysAllow",
                    bounded_utf8(settings.authorization_mode, 80));
    }
    const std::string& tunnel = settings.k3s_tunnel;
    if (tunnel != "auto" && tunnel != "off" &&
        !(tunnel.starts_with("https://") && tunnel.find("/v1-") != std::string::npos &&
          tunnel.ends_with("/connect"))) {
        return fail(Code::invalid,
                    "k3sTunnel: \"{}\" is not known; allowed: auto, off, "
                    "https://HOST:PORT/v1-PROGRAM/connect",
                    bounded_utf8(tunnel, 80));
    }
    SKIFF_CHECK(resolve_pod_network(settings));
    if (!settings.default_egress.empty()) {
        if (auto egress = parse_egress(settings.default_egress); !egress) {
            return fail(Code::invalid, "defaultEgress: {}", egress.error().message);
        }
    }
    if (settings.container_log_max_size < 4_KiB) {
        return fail(Code::invalid, "containerLogMaxSize: {} is less than 4Ki",
                    settings.container_log_max_size);
    }
    if (settings.container_log_max_per_second > Bytes{} &&
        settings.container_log_max_per_second < 4_KiB) {
        return fail(Code::invalid,
                    "containerLogMaxPerSecond: {} is less than 4Ki; 0 means no limit",
                    settings.container_log_max_per_second);
    }
    if (settings.shutdown_grace_period_critical_pods > settings.shutdown_grace_period) {
        return fail(Code::invalid,
                    "shutdownGracePeriodCriticalPods: is longer than shutdownGracePeriod");
    }
    if (!settings.shutdown_by_priority.empty() &&
        settings.shutdown_grace_period > Duration::zero()) {
        return fail(Code::invalid,
                    "shutdownGracePeriodByPodPriority cannot be set beside shutdownGracePeriod");
    }
    SKIFF_CHECK(resolve_static_pods(settings));
    SKIFF_CHECK(resolve_logging(settings));
    resolve_capacity(settings);
    if (settings.image_gc_low >= settings.image_gc_high) {
        return fail(
            Code::invalid,
            "imageGCLowThresholdPercent: {} is not less than imageGCHighThresholdPercent {}",
            settings.image_gc_low, settings.image_gc_high);
    }
    return {};
}

}  // namespace skiff::config
