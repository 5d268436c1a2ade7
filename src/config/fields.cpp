// The one place where settings are declared.
#include "config/fields.h"

#include "config/value.h"
#include "config/value_json.h"

namespace skiff::config {

template <typename T>
static Field field(Document document, std::string name, std::string flag, T Settings::* member,
                   std::string meaning, std::int64_t lowest = INT64_MIN,
                   std::int64_t highest = INT64_MAX) {
    Field field;
    field.document = document;
    field.name = std::move(name);
    field.flag = std::move(flag);
    field.type = type_name<T>();
    field.meaning = std::move(meaning);
    field.set = [member, lowest, highest](Settings& settings,
                                          const YAML::Node& node) -> Result<void> {
        T value{};
        SKIFF_CHECK(parse_value(node, value));
        static_cast<void>(lowest);
        static_cast<void>(highest);
        if constexpr (std::is_same_v<T, std::int64_t>) {
            if (value < lowest || value > highest) {
                return fail(Code::invalid, "is not in {}–{}", lowest, highest);
            }
        }
        settings.*member = std::move(value);
        return {};
    };
    field.show = [member](const Settings& settings) { return show_value(settings.*member); };
    field.json = [member](const Settings& settings) { return json_value(settings.*member); };
    return field;
}

static std::vector<Field> make_kubelet_fields() {
    using S = Settings;
    constexpr Document kKubelet = Document::kubelet;
    return {
        field(kKubelet, "address", "address", &S::address, "Address that port 10250 listens on."),
        field(kKubelet, "port", "port", &S::port, "Port of the node's API.", 1, 65535),
        field(kKubelet, "healthzBindAddress", "healthz-bind-address", &S::healthz_bind_address,
              "Address of the plain health endpoint."),
        field(kKubelet, "healthzPort", "healthz-port", &S::healthz_port,
              "Port of the plain health endpoint; 0 turns it off.", 0, 65535),
        field(kKubelet, "tlsCertFile", "tls-cert-file", &S::tls_cert_file,
              "Serving certificate; empty makes a self-signed one in the certificate folder."),
        field(kKubelet, "tlsPrivateKeyFile", "tls-private-key-file", &S::tls_private_key_file,
              "Key of tlsCertFile."),
        field(kKubelet, "rotateCertificates", "rotate-certificates", &S::rotate_certificates,
              "The node renews its client certificate in time. A kubelet's default is false."),
        field(kKubelet, "serverTLSBootstrap", "rotate-server-certificates",
              &S::server_tls_bootstrap,
              "The cluster signs the certificate of port 10250 (a CertificateSigningRequest that "
              "somebody has to approve), in place of tlsCertFile or a self-signed one; until then "
              "the port refuses TLS."),
        field(kKubelet, "authentication.x509.clientCAFile", "client-ca-file", &S::client_ca_file,
              "Authorities whose client certificates identify callers of port 10250."),
        field(kKubelet, "authentication.webhook.enabled", "authentication-token-webhook",
              &S::webhook_auth, "Bearer tokens are checked by TokenReview."),
        field(kKubelet, "authentication.webhook.cacheTTL", "", &S::webhook_auth_cache_ttl,
              "How long a token's answer is kept."),
        field(kKubelet, "authentication.anonymous.enabled", "anonymous-auth", &S::anonymous_auth,
              "Callers without credentials are `system:anonymous` instead of refused."),
        field(kKubelet, "authorization.mode", "authorization-mode", &S::authorization_mode,
              "`Webhook` asks SubjectAccessReview; `AlwaysAllow` lets every authenticated caller "
              "in."),
        field(kKubelet, "authorization.webhook.cacheAuthorizedTTL", "", &S::authorized_cache_ttl,
              "How long an allowing answer is kept."),
        field(kKubelet, "authorization.webhook.cacheUnauthorizedTTL", "",
              &S::unauthorized_cache_ttl, "How long a refusing answer is kept."),
        field(kKubelet, "enableDebuggingHandlers", "enable-debugging-handlers",
              &S::enable_debugging_handlers,
              "Port 10250 offers logs, exec, attach and port-forward; without it they answer 405."),
        field(kKubelet, "registerNode", "register-node", &S::register_node,
              "The node creates its own Node object."),
        field(kKubelet, "registerWithTaints", "register-with-taints", &S::register_with_taints,
              "Taints of the Node when it is created. An empty list makes a plain node."),
        field(kKubelet, "providerID", "provider-id", &S::provider_id,
              "The machine's name at a cloud provider."),
        field(kKubelet, "maxPods", "max-pods", &S::max_pods, "How many pods the node takes.", 1,
              100000),
        field(kKubelet, "podsPerCore", "pods-per-core", &S::pods_per_core,
              "At most so many pods for each processor, if that is less than maxPods; 0: no limit.",
              0, 1000),
        field(kKubelet, "systemReserved", "system-reserved", &S::system_reserved,
              "Resources kept from pods for the system: cpu, memory, ephemeral-storage."),
        field(kKubelet, "kubeReserved", "kube-reserved", &S::kube_reserved,
              "Resources kept from pods for the agent."),
        field(
            kKubelet, "evictionHard", "eviction-hard", &S::eviction_hard,
            "Below these the node reports pressure and ends a pod at once; memory.available and "
            "nodefs.available are also kept from what pods may request. A map in the file replaces "
            "all of it, unless mergeDefaultEvictionSettings is true."),
        field(kKubelet, "evictionSoft", "eviction-soft", &S::eviction_soft,
              "Below these for longer than evictionSoftGracePeriod the node ends a pod, which has "
              "up to evictionMaxPodGracePeriod for it."),
        field(kKubelet, "evictionSoftGracePeriod", "eviction-soft-grace-period",
              &S::eviction_soft_grace_period,
              "How long each signal of evictionSoft may be short: `memory.available: 1m30s`."),
        field(kKubelet, "evictionMinimumReclaim", "eviction-minimum-reclaim",
              &S::eviction_minimum_reclaim,
              "How far above its threshold a signal must come before the node stops making room."),
        field(kKubelet, "evictionPressureTransitionPeriod", "eviction-pressure-transition-period",
              &S::eviction_pressure_transition_period,
              "How long the node goes on reporting a pressure that is over."),
        field(kKubelet, "evictionMaxPodGracePeriod", "eviction-max-pod-grace-period",
              &S::eviction_max_pod_grace_period,
              "Seconds that a pod has to end when a soft threshold is met.", 0, 86400),
        field(kKubelet, "mergeDefaultEvictionSettings", "", &S::merge_default_eviction_settings,
              "Signals that evictionHard does not name keep their defaults."),
        field(kKubelet, "nodeStatusMaxImages", "node-status-max-images", &S::node_status_max_images,
              "How many images the node's status lists; -1: all.", -1, 100000),
        field(kKubelet, "nodeStatusUpdateFrequency", "node-status-update-frequency",
              &S::node_status_update_frequency, "How often the node's status is computed."),
        field(kKubelet, "nodeStatusReportFrequency", "", &S::node_status_report_frequency,
              "How often an unchanged status is sent."),
        field(kKubelet, "nodeLeaseDurationSeconds", "", &S::node_lease_duration_seconds,
              "Length of the node's lease; renewed after a quarter of it.", 4, 3600),
        field(kKubelet, "podCIDR", "pod-cidr", &S::pod_cidr,
              "The range of pods' addresses where the cluster gives the Node none (spec.podCIDRs); "
              "two of different families with a comma. Without a cluster the default is "
              "10.187.0.0/16."),
        field(kKubelet, "clusterDNS", "cluster-dns", &S::cluster_dns,
              "Name servers of pods with dnsPolicy ClusterFirst."),
        field(kKubelet, "clusterDomain", "cluster-domain", &S::cluster_domain,
              "The cluster's DNS domain."),
        field(kKubelet, "resolvConf", "resolv-conf", &S::resolv_conf,
              "Resolver file that pods with dnsPolicy Default inherit."),
        field(kKubelet, "runtimeRequestTimeout", "runtime-request-timeout",
              &S::runtime_request_timeout,
              "How long network plugins may take to attach or detach a pod."),
        field(kKubelet, "staticPodPath", "pod-manifest-path", &S::static_pod_path,
              "Folder (or file) with pods that run without an API server."),
        field(kKubelet, "staticPodURL", "manifest-url", &S::static_pod_url,
              "URL (http or https) of pods that run without an API server, beside staticPodPath."),
        field(kKubelet, "staticPodURLHeader", "manifest-url-header", &S::static_pod_url_header,
              "Header fields of requests to staticPodURL; the flag takes `name:value,name:value`. "
              "Their values are never shown."),
        field(kKubelet, "httpCheckFrequency", "http-check-frequency", &S::http_check_frequency,
              "How often staticPodURL is asked."),
        field(kKubelet, "podLogsDir", "", &S::pod_log_dir, "As podLogDir of SkiffConfiguration."),
        field(kKubelet, "syncFrequency", "sync-frequency", &S::sync_frequency,
              "How often a pod is looked at without an event."),
        field(kKubelet, "fileCheckFrequency", "file-check-frequency", &S::file_check_frequency,
              "How often staticPodPath is read."),
        field(kKubelet, "containerLogMaxSize", "container-log-max-size", &S::container_log_max_size,
              "A container's log file is rotated at this size."),
        field(kKubelet, "containerLogMaxFiles", "container-log-max-files",
              &S::container_log_max_files, "Log files kept for each container.", 2, 64),
        field(kKubelet, "crashLoopBackOff.maxContainerRestartPeriod", "",
              &S::max_container_restart_period,
              "The longest pause between two starts of a crashing container."),
        field(kKubelet, "serializeImagePulls", "serialize-image-pulls", &S::serialize_image_pulls,
              "Pull one image at a time. A kubelet's default is true."),
        field(kKubelet, "maxParallelImagePulls", "", &S::max_parallel_image_pulls,
              "Images pulled at the same time.", 1, 100),
        field(kKubelet, "shutdownGracePeriod", "", &S::shutdown_grace_period,
              "How long the machine's shutdown waits for pods to end, those of critical ones "
              "included; 0: not at all."),
        field(kKubelet, "shutdownGracePeriodCriticalPods", "",
              &S::shutdown_grace_period_critical_pods,
              "The part of shutdownGracePeriod that critical pods have, after all others."),
        field(kKubelet, "shutdownGracePeriodByPodPriority", "", &S::shutdown_by_priority,
              "Groups of pods that end one after the other, the lowest priority first; in place of "
              "shutdownGracePeriod."),
        field(kKubelet, "imageGCHighThresholdPercent", "image-gc-high-threshold", &S::image_gc_high,
              "When the disk of the images is fuller than this, unused images go; 100: never.", 0,
              100),
        field(kKubelet, "imageGCLowThresholdPercent", "image-gc-low-threshold", &S::image_gc_low,
              "How full the disk may be when enough of them have gone.", 0, 100),
        field(kKubelet, "imageMinimumGCAge", "minimum-image-ttl-duration", &S::image_minimum_age,
              "Younger images stay."),
        field(kKubelet, "imageMaximumGCAge", "", &S::image_maximum_age,
              "Images that nobody used for longer go however empty the disk is; 0: they stay."),
        field(kKubelet, "logging.format", "logging-format", &S::logging_format,
              "`text` (a line of key=value) or `json` (an object a line). What skiff-engine writes "
              "to the "
              "same place stays text."),
        field(kKubelet, "logging.verbosity", "v", &S::logging_verbosity,
              "4 and more is logLevel `debug`.", 0, 10),
        field(kKubelet, "kubeAPIQPS", "kube-api-qps", &S::kube_api_qps,
              "Requests per second to the API server.", 1, 10000),
        field(kKubelet, "kubeAPIBurst", "kube-api-burst", &S::kube_api_burst,
              "Requests that may exceed kubeAPIQPS for a moment.", 1, 10000),
    };
}

static std::vector<Field> make_skiff_fields() {
    using S = Settings;
    constexpr Document kSkiff = Document::skiff;
    return {
        field(
            kSkiff, "nodeName", "hostname-override", &S::node_name,
            "Name of the Node; default: the host's name, with `-wasm` appended beside a kubelet."),
        field(kSkiff, "nodeIP", "node-ip", &S::node_ip,
              "The node's address; default: the one that the default route uses, followed when it "
              "changes."),
        field(kSkiff, "nodeLabels", "node-labels", &S::node_labels,
              "Labels of the Node beside Skiff's own, which they override."),
        field(kSkiff, "rootDir", "root-dir", &S::root_dir, "What must outlive a boot."),
        field(kSkiff, "runDir", "run-dir", &S::run_dir,
              "What describes running pods; must be emptied by a boot."),
        field(kSkiff, "podLogDir", "pod-log-dir", &S::pod_log_dir,
              "Logs of containers; default: /var/log/pods, beside a kubelet /var/log/skiff/pods."),
        field(kSkiff, "containerLogDir", "container-log-dir", &S::container_log_dir,
              "Links to the logs; default: /var/log/containers, or `containers` beside a podLogDir "
              "that is given."),
        field(kSkiff, "containerLogMaxPerSecond", "container-log-max-per-second",
              &S::container_log_max_per_second,
              "What a container may write into its log in a second; who writes more waits, as at a "
              "slow disk. 0: no limit."),
        field(kSkiff, "certDir", "cert-dir", &S::cert_dir,
              "The node's own keys and certificates; default: `pki` in rootDir."),
        field(kSkiff, "kubeconfig", "kubeconfig", &S::kubeconfig,
              "How to reach the API server; written by TLS bootstrap."),
        field(kSkiff, "bootstrapKubeconfig", "bootstrap-kubeconfig", &S::bootstrap_kubeconfig,
              "Used to get a client certificate when kubeconfig is missing or expired."),
        field(
            kSkiff, "apiServers", "api-servers", &S::api_servers,
            "Further addresses of the kubeconfig's API server (`https://10.0.0.2:6443`), with the "
            "same authority. The next one that is ready is used when the one in use does not "
            "answer."),
        field(kSkiff, "cgroupRoot", "cgroup-root", &S::cgroup_root,
              "Cgroup of all pods; default: below the agent's own."),
        field(kSkiff, "enginePath", "engine-path", &S::engine_path,
              "The skiff-engine program; default: beside `skiff`, else in ../libexec/skiff."),
        field(kSkiff, "registries", "", &S::registries,
              "Registries that need more than their name: plain HTTP, own authorities, mirrors."),
        field(
            kSkiff, "dockerConfig", "docker-config", &S::docker_config,
            "A docker config.json with the node's own registry credentials. Helpers that it names "
            "(credHelpers, credsStore) are not run; one warning names them."),
        field(kSkiff, "compileTimeout", "compile-timeout", &S::compile_timeout,
              "The longest that compiling one module may take."),
        field(
            kSkiff, "compileMemory", "compile-memory", &S::compile_memory,
            "Memory of one compiler; 0: a quarter of the machine's, at least 2 GiB where there is "
            "as much."),
        field(
            kSkiff, "hostPathMachineIds", "host-path-machine-ids", &S::host_path_machine_ids,
            "A pod with a hostPath on a filesystem that cannot map ids (NFS, FUSE, overlay; tmpfs "
            "before Linux 6.3) opens files with its ids as the machine's own, without any "
            "capability. false: such a pod does not start."),
        field(kSkiff, "podNetwork", "pod-network", &S::pod_network,
              "Who gives pods their addresses. `cni`: the cluster's network plugin. `routed`: the "
              "node itself, from podCIDR; podRoutes says how other nodes are reached. `node`: "
              "nobody, pods have the node's address, and their ports are the node's. `auto`: `cni` "
              "where cniConfDir holds a configuration when the agent starts, else `routed`; but as "
              "the pods that live already, if there are any."),
        field(kSkiff, "cniConfDir", "cni-conf-dir", &S::cni_conf_dir,
              "Where the network plugin's configuration is; its first file counts."),
        field(kSkiff, "cniBinDir", "cni-bin-dir", &S::cni_bin_dirs,
              "Folders of network plugins, searched in this order."),
        field(kSkiff, "cniExclusive", "cni-exclusive", &S::cni_exclusive,
              "Nobody else on this machine (containerd, CRI-O, Podman, another Skiff) attaches "
              "pods to the plugin's network. Then each start has the plugins free what belongs to "
              "none of the node's pods (GC); it would be the others'."),
        field(
            kSkiff, "podRoutes", "pod-routes", &S::pod_routes,
            "With the built-in network, how packets reach the pods of other nodes. `vxlan`: in a "
            "tunnel, flannel's (VNI 1, UDP port 8472), across any network. `host-gw`: by plain "
            "routes, between nodes that share a link. `none`: something else carries them. `auto`: "
            "as the cluster's flannel nodes do, else `vxlan`. The same on every node."),
        field(kSkiff, "defaultEgress", "default-egress", &S::default_egress,
              "Where pods without `skiff/egress` may connect to, as a list of its entries or "
              "`none`; empty: anywhere."),
        field(kSkiff, "shutdownOnTerm", "shutdown-on-term", &S::shutdown_on_term,
              "SIGTERM means that the machine goes down: the agent ends its pods within "
              "shutdownGracePeriod before it ends itself. Without it pods outlive the agent."),
        field(kSkiff, "k3sTunnel", "k3s-tunnel", &S::k3s_tunnel,
              "Tunnels to the servers of k3s and RKE2, whose API server reaches nodes through them "
              "only: `auto` opens them when the server offers it, `off` never, and a URL "
              "(https://HOST:9345/v1-rke2/connect) says where, on a node that did not join with a "
              "k3s token."),
        field(kSkiff, "wasi03", "wasi03", &S::wasi03,
              "Runs components of WASI 0.3, too. Wasmtime's promise of long support does not "
              "cover 0.3."),
        field(kSkiff, "logLevel", "log-level", &S::log_level,
              "`debug`, `info`, `warn` or `error`."),
    };
}

std::span<const Field> fields() {
    static const std::vector<Field> all = [] {
        std::vector<Field> list = make_kubelet_fields();
        std::vector<Field> own = make_skiff_fields();
        list.insert(list.end(), std::make_move_iterator(own.begin()),
                    std::make_move_iterator(own.end()));
        return list;
    }();
    return all;
}

const Field* find_flag(std::string_view flag) {
    for (const Field& field : fields()) {
        if (!flag.empty() && field.flag == flag) {
            return &field;
        }
    }
    return nullptr;
}

}  // namespace skiff::config
