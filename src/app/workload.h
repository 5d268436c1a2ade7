// What a manifest file asks `skiff run` for: pods to run and the objects they refer to.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "kube/types.h"

namespace skiff::app {

// A set of equal pods, as a Pod (one), a Deployment (replicas) or a Job (completions) asks for.
struct PodSet {
    enum class Kind { pod, deployment, job };
    Kind kind = Kind::pod;
    std::string name;
    kube::Pod pod;                  // defaulted; name and uid are set for each instance
    std::int32_t count = 1;         // replicas, or completions
    std::int32_t parallel = 1;      // job: how many at once
    std::int32_t failures_max = 0;  // job: backoffLimit
};

struct Workload {
    std::vector<PodSet> sets;
    std::vector<std::shared_ptr<const kube::ConfigMap>> config_maps;
    std::vector<std::shared_ptr<const kube::Secret>> secrets;
    std::vector<std::string> warnings;  // documents that are left aside, one line each
};

// Most pods that one file may ask for.
inline constexpr std::int32_t kWorkloadPodsMax = 1000;

// Parses and checks a manifest: Pod, Deployment, Job, CronJob (run once, now), ConfigMap, Secret,
// and List of these. Kinds that only a cluster can serve (Service, Namespace, …) are left aside
// with a warning, an unknown kind is an error. Errors name document, line, field, value and what is
// allowed. Pure.
[[nodiscard]] Result<Workload> parse_workload(std::string_view text);

// The pod that `skiff run IMAGE ARGS…` means.
struct ImageRun {
    std::string name;  // of pod and container
    std::string image;
    std::vector<std::string> args;
    std::vector<std::string> env;      // NAME=VALUE, or NAME to take it from this process
    std::vector<std::string> volumes;  // HOST:CONTAINER[:ro]
    std::vector<std::string> ports;    // [ADDRESS:]HOSTPORT:PORT[/PROTOCOL]
    std::string memory;                // quantity, empty for no limit
    std::string cpus;                  // "0.5", empty for no limit
    std::string working_dir;
    std::string runtime;                   // wasmtime, pulley, wasmi; empty: the node's default
    std::vector<std::string> annotations;  // KEY=VALUE, as "skiff/egress=none"
    bool interactive = false;
    bool terminal = false;
};
[[nodiscard]] Result<kube::Pod> pod_of_image(const ImageRun& run);

}  // namespace skiff::app
