// One probe, asked once: over HTTP, TCP, gRPC, or by a command in the container.
#pragma once

#include <string>

#include "async/task.h"
#include "base/result.h"
#include "http/client.h"
#include "pods/ports.h"
#include "pods/probe_ports.h"
#include "probes/outcome.h"

namespace skiff::probes {

// Most of a body that is looked at (contract row 36).
inline constexpr std::size_t kBodyBytesMax = 10 << 10;
inline constexpr int kRedirectsMax = 10;

struct Tools {
    http::Client& client;
    pods::Commands& commands;
    std::string probe_agent;  // "kube-probe/1.37"
    std::string hook_agent;   // "kube-lifecycle/1.37"
};

// What is asked, and of whom. Everything outlives the check.
struct Subject {
    const kube::Probe& probe;
    const kube::Container& container;
    ContainerId id;
    std::string address;  // the pod's
    Duration timeout{};
};

// A success, a warning or a failure with the kubelet's words. An error says that the container was
// not asked at all (no such port, no command could run), or cancelled.
[[nodiscard]] async::Task<Result<Outcome>> check(const Tools& tools, const Subject& subject);

// An httpGet hook: see pods::Probes::call_hook().
[[nodiscard]] async::Task<Result<pods::Probes::HookAnswer>> call_hook(const Tools& tools,
                                                                      pods::HookRequest hook);

}  // namespace skiff::probes
