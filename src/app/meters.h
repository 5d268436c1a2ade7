// What the agent counts as it works. The names are the kubelet's where its notions fit;
// docs/metrics.md says which do not. Reactor thread only.
#pragma once

#include <string>

#include "base/metrics.h"
#include "base/types.h"
#include "server/metrics_text.h"

namespace skiff::app {

// The kubelet's bounds, in seconds.
inline constexpr double kPodStartBounds[] = {0.5, 1,   2,   3,    4,    5,    6,   8,   10,
                                             20,  30,  45,  60,   120,  180,  240, 300, 360,
                                             480, 600, 900, 1200, 1800, 2700, 3600};
inline constexpr double kPullBounds[] = {1,   5,   10,  20,  30,  60,   120,  180,  240,
                                         300, 360, 480, 600, 900, 1200, 1800, 2700, 3600};
inline constexpr double kOperationBounds[] = {0.005,
                                              0.0125,
                                              0.03125,
                                              0.078125,
                                              0.1953125,
                                              0.48828125,
                                              1.220703125,
                                              3.0517578125,
                                              7.62939453125,
                                              19.073486328125,
                                              47.6837158203125,
                                              119.20928955078125,
                                              298.0232238769531,
                                              745.0580596923828};
inline constexpr double kRequestBounds[] = {0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60};
// Starts take milliseconds.
inline constexpr double kPhaseBounds[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                          0.25,   0.5,   1,      2.5,   5,    10,    30,   60};

struct Meters {
    // Pods and containers.
    metrics::Counters started_pods{
        {"kubelet_started_pods_total", "Pods whose start was begun", {}}};
    metrics::Counters started_pods_errors{
        {"kubelet_started_pods_errors_total", "Tries to begin a pod that failed", {}}};
    metrics::Counters started_containers{{"kubelet_started_containers_total",
                                          "Containers whose start was tried",
                                          {"container_type"}}};
    metrics::Counters started_containers_errors{{"kubelet_started_containers_errors_total",
                                                 "Starts of containers that failed",
                                                 {"code", "container_type"}}};
    metrics::Histograms pod_start{{"kubelet_pod_start_duration_seconds",
                                   "From the first step for a pod to all its containers running",
                                   {}},
                                  kPodStartBounds};
    metrics::Histograms pod_start_sli{{"kubelet_pod_start_sli_duration_seconds",
                                       "From the creation of a pod to all its containers running, "
                                       "less the time for images and init containers",
                                       {}},
                                      kPodStartBounds};
    metrics::Histograms pod_start_total{{"kubelet_pod_start_total_duration_seconds",
                                         "From the creation of a pod to all its containers running",
                                         {}},
                                        kPodStartBounds};
    metrics::Histograms pod_worker{
        {"kubelet_pod_worker_duration_seconds",
         "Work on one pod; create: as kubelet_pod_start_duration_seconds",
         {"operation_type"}},
        metrics::kDefaultBounds};

    // The runtime; the operations have the names that a kubelet has for its own.
    metrics::Counters operations{{"kubelet_runtime_operations_total",
                                  "Operations of the runtime and of the image store",
                                  {"operation_type"}}};
    metrics::Counters operation_errors{
        {"kubelet_runtime_operations_errors_total", "Operations that failed", {"operation_type"}}};
    metrics::Histograms operation_seconds{{"kubelet_runtime_operations_duration_seconds",
                                           "Duration of operations",
                                           {"operation_type"}},
                                          kOperationBounds};

    // Pods that the node ended.
    metrics::Counters evictions{
        {"kubelet_evictions", "Pods evicted, by the signal that was short", {"eviction_signal"}}};

    // Requests to the API server.
    metrics::Counters requests{{"rest_client_requests_total",
                                "Requests to the API server; code <error>: without an answer",
                                {"code", "host", "method"}}};
    metrics::Histograms request_seconds{{"rest_client_request_duration_seconds",
                                         "Duration of requests, to the head of the answer",
                                         {"host", "verb"}},
                                        kRequestBounds};

    // Skiff's own.
    metrics::Histograms start_phase{{"skiff_start_phase_seconds",
                                     "One part of the start of a pod (sandbox, volumes) or of a "
                                     "container (image, compile, run)",
                                     {"phase"}},
                                    kPhaseBounds};
    metrics::Counters compiles{
        {"skiff_compiles_total",
         "Modules wanted for a start: compiled, found compiled (cached), or failed",
         {"result"}}};
    metrics::Histograms compile_seconds{{"skiff_compile_duration_seconds",
                                         "Duration of compiles, the wait for a compiler left out",
                                         {}},
                                        kPhaseBounds};
    metrics::Counters pulls{{"skiff_image_pulls_total", "Image pulls: done or failed", {"result"}}};
    metrics::Counters pull_bytes{
        {"skiff_image_pull_bytes_total", "Size of the images that were pulled", {}}};
    metrics::Histograms pull_seconds{
        {"kubelet_image_pull_duration_seconds", "Duration of image pulls", {"image_size_in_bytes"}},
        kPullBounds};
    metrics::Histograms reactor_lag{{"skiff_reactor_lag_seconds",
                                     "How late the thread of the agent is, looked at once a second",
                                     {}},
                                    kPhaseBounds};

    // Those whose labels are known begin at zero.
    Meters();
    void write(server::MetricsText& text) const;
};

// A kubelet's label for an image's size.
[[nodiscard]] std::string size_class(Bytes size);

}  // namespace skiff::app
