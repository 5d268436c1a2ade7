// Every path of an instance. Nobody else joins file names below these folders.
//
//   <root-dir>                       0700, outlives the boot; default /var/lib/skiff
//   ├── lock                         held by the agent, holds its pid
//   ├── instance                     checkpoint: the instance's id
//   ├── artifact.key                 0600, authenticates compiled/
//   ├── cni/<instance>-<uid>@eth0    checkpoint: what the network plugin attached for a pod
//   ├── pod-ranges                   checkpoint: from where pods have their addresses
//   ├── pki/                         client and serving certificates
//   ├── bootstrap-kubeconfig, kubeconfig
//   ├── pods/<uid>/                  the kubelet's own names and levels, and
//   │   ├── skiff                        empty: this instance prepared the pod and still has
//   │   │                                something of it; first to come, last to go
//   │   ├── volumes/<plugin>/<name>/     plugin as kubernetes.io~empty-dir
//   │   ├── volume-subpaths/<volume>/<container>/<index>
//   │   ├── containers/<container>/<id>/{upper,work}   writable layer of a layered image
//   │   └── etc-hosts, resolv.conf
//   ├── plugins/  plugins_registry/  device-plugins/kubelet.sock  pod-resources/kubelet.sock
//   ├── images/                      OCI image layout
//   ├── ended/<id>                   checkpoint: a container that may not run again has ended
//   ├── layers/<digest>/             unpacked layers
//   ├── compiled/<key>, <key>.facts  native artifacts and what is known of them
//   └── quarantine/                  what failed its check
//   <run-dir>                        0700, dies with the boot; default /run/skiff
//   ├── lock                         held by the agent, holds its pid
//   ├── boot                         boot id: everything here is wiped when it is another one
//   ├── skiff.sock                   0600, the agent's own API
//   ├── exec.sock                    0600, `skiff exec`
//   ├── cgroups                      checkpoint: bases of the cgroup tree
//   ├── keeper-<build>.sock          (src/wire/paths.h) one for each engine build that runs
//   ├── keepers/<build>              checkpoint: the keeper's process
//   ├── containers/<id>              checkpoint: one container, running or ended
//   ├── grants/<id>                  checkpoint: what a command in the container is given
//   ├── pods/<uid>                   checkpoint: the pod's ids
//   ├── exits/<id>  runners/<id>  root/     (src/wire/paths.h)
//   ├── termination/<id>             the container's termination message file
//   ├── consoles/<id>.out, .err      FIFOs: what an attached container writes
//   ├── checked/<key>                artifacts whose MAC was checked in this boot
//   ├── network/<uid>                checkpoint: the pod's addresses and namespace
//   └── netns/<number>, cni-<uid>    pinned network namespaces of pods
//   <pod-log-dir>/<ns>_<name>_<uid>/<container>/<n>.log        default /var/log/pods
//   <container-log-dir>/<pod>_<ns>_<container>-<id>.log        links, default /var/log/containers
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/types.h"

namespace skiff::state {

namespace fs = std::filesystem;

// Whether `name` may become a file or a folder below. Pods of files, and what lies on the disk
// already, have not passed the API server. At most 253 bytes of [A-Za-z0-9._-], no leading dot.
[[nodiscard]] inline bool can_name_a_file(std::string_view name) {
    constexpr std::size_t kBytesMax = 253;
    constexpr std::string_view kAllowed =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    return !name.empty() && name.size() <= kBytesMax && name.front() != '.' &&
           name.find_first_not_of(kAllowed) == std::string_view::npos;
}

struct Paths {
    fs::path root_dir = "/var/lib/skiff";
    fs::path run_dir = "/run/skiff";
    fs::path pod_log_dir = "/var/log/pods";
    fs::path container_log_dir = "/var/log/containers";

    // Root-dir.
    [[nodiscard]] fs::path root_lock() const { return root_dir / "lock"; }
    [[nodiscard]] fs::path instance() const { return root_dir / "instance"; }
    [[nodiscard]] fs::path artifact_key() const { return root_dir / "artifact.key"; }
    [[nodiscard]] fs::path pki() const { return root_dir / "pki"; }
    [[nodiscard]] fs::path bootstrap_kubeconfig() const {
        return root_dir / "bootstrap-kubeconfig";
    }
    [[nodiscard]] fs::path kubeconfig() const { return root_dir / "kubeconfig"; }
    [[nodiscard]] fs::path pods() const { return root_dir / "pods"; }
    [[nodiscard]] fs::path pod(const PodUid& uid) const { return pods() / uid.str(); }
    [[nodiscard]] fs::path pod_mark(const PodUid& uid) const { return pod(uid) / "skiff"; }
    [[nodiscard]] fs::path pod_volumes(const PodUid& uid) const { return pod(uid) / "volumes"; }
    // `plugin` as the kubelet writes it: "kubernetes.io~configmap".
    [[nodiscard]] fs::path pod_volume(const PodUid& uid, const std::string& plugin,
                                      const std::string& name) const {
        return pod_volumes(uid) / plugin / name;
    }
    [[nodiscard]] fs::path pod_subpaths(const PodUid& uid) const {
        return pod(uid) / "volume-subpaths";
    }
    [[nodiscard]] fs::path pod_containers(const PodUid& uid) const {
        return pod(uid) / "containers";
    }
    [[nodiscard]] fs::path container_layer(const PodUid& uid, const std::string& container,
                                           const ContainerId& id) const {
        return pod_containers(uid) / container / id.str();
    }
    [[nodiscard]] fs::path pod_hosts(const PodUid& uid) const { return pod(uid) / "etc-hosts"; }
    [[nodiscard]] fs::path pod_resolv_conf(const PodUid& uid) const {
        return pod(uid) / "resolv.conf";
    }
    [[nodiscard]] fs::path plugins() const { return root_dir / "plugins"; }
    [[nodiscard]] fs::path plugins_registry() const { return root_dir / "plugins_registry"; }
    [[nodiscard]] fs::path device_plugins() const { return root_dir / "device-plugins"; }
    [[nodiscard]] fs::path device_plugin_socket() const {
        return device_plugins() / "kubelet.sock";
    }
    [[nodiscard]] fs::path pod_resources() const { return root_dir / "pod-resources"; }
    [[nodiscard]] fs::path pod_resources_socket() const { return pod_resources() / "kubelet.sock"; }
    [[nodiscard]] fs::path images() const { return root_dir / "images"; }
    [[nodiscard]] fs::path ended() const { return root_dir / "ended"; }
    [[nodiscard]] fs::path ended_record(const ContainerId& id) const { return ended() / id.str(); }
    [[nodiscard]] fs::path layers() const { return root_dir / "layers"; }
    [[nodiscard]] fs::path compiled() const { return root_dir / "compiled"; }
    [[nodiscard]] fs::path core_dumps() const { return root_dir / "coredumps"; }
    // What is attached to networks of CNI (network/cni_cache.h): a plugin's lease outlives a boot.
    [[nodiscard]] fs::path cni_attachments() const { return root_dir / "cni"; }
    // The ranges that the cluster gave last.
    [[nodiscard]] fs::path pod_ranges() const { return root_dir / "pod-ranges"; }
    [[nodiscard]] fs::path quarantine() const { return root_dir / "quarantine"; }

    // Run-dir.
    [[nodiscard]] fs::path run_lock() const { return run_dir / "lock"; }
    [[nodiscard]] fs::path boot() const { return run_dir / "boot"; }
    [[nodiscard]] fs::path agent_socket() const { return run_dir / "skiff.sock"; }
    [[nodiscard]] fs::path exec_socket() const { return run_dir / "exec.sock"; }
    [[nodiscard]] fs::path cgroups() const { return run_dir / "cgroups"; }
    [[nodiscard]] fs::path keepers() const { return run_dir / "keepers"; }
    [[nodiscard]] fs::path container_records() const { return run_dir / "containers"; }
    [[nodiscard]] fs::path container_record(const ContainerId& id) const {
        return container_records() / id.str();
    }
    [[nodiscard]] fs::path grants() const { return run_dir / "grants"; }
    [[nodiscard]] fs::path grant(const ContainerId& id) const { return grants() / id.str(); }
    [[nodiscard]] fs::path pod_records() const { return run_dir / "pods"; }
    [[nodiscard]] fs::path pod_record(const PodUid& uid) const { return pod_records() / uid.str(); }
    [[nodiscard]] fs::path termination() const { return run_dir / "termination"; }
    [[nodiscard]] fs::path termination_file(const ContainerId& id) const {
        return termination() / id.str();
    }
    [[nodiscard]] fs::path consoles() const { return run_dir / "consoles"; }
    [[nodiscard]] fs::path console_out(const ContainerId& id) const {
        return consoles() / (id.str() + ".out");
    }
    [[nodiscard]] fs::path console_err(const ContainerId& id) const {
        return consoles() / (id.str() + ".err");
    }
    // What a guest with `skiff/stop: file` sees at /run/skiff.
    [[nodiscard]] fs::path stop_folder(const ContainerId& id) const {
        return run_dir / "stop" / id.str();
    }
    [[nodiscard]] fs::path stop_file(const ContainerId& id) const {
        return stop_folder(id) / "terminating";
    }
    [[nodiscard]] fs::path checked_artifacts() const { return run_dir / "checked"; }
    [[nodiscard]] fs::path netns() const { return run_dir / "netns"; }
    // A record for each pod of the built-in network (network/pod_record.h).
    [[nodiscard]] fs::path pod_networks() const { return run_dir / "network"; }

    // Logs (kubelet-contract row 34).
    [[nodiscard]] fs::path pod_logs(const PodName& pod, const PodUid& uid) const {
        return pod_log_dir / (pod.ns + "_" + pod.name + "_" + uid.str());
    }
    [[nodiscard]] fs::path container_logs(const PodName& pod, const PodUid& uid,
                                          const std::string& container) const {
        return pod_logs(pod, uid) / container;
    }
    [[nodiscard]] fs::path container_log_link(const PodName& pod, const std::string& container,
                                              const ContainerId& id) const {
        return container_log_dir /
               (pod.name + "_" + pod.ns + "_" + container + "-" + id.str() + ".log");
    }
};

}  // namespace skiff::state
