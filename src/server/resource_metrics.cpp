#include <fmt/format.h>

#include "server/stats.h"

namespace skiff::server {

namespace {

double seconds(std::chrono::nanoseconds time) {
    return std::chrono::duration<double>(time).count();
}

double unix_seconds(WallTime time) {
    return seconds(std::chrono::nanoseconds(time.time_since_epoch()));
}

void add_errors(MetricsText& text, int errors) {
    text.begin("resource_scrape_error", MetricsText::Type::gauge,
               "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise");
    text.sample({}, errors);
    text.begin("scrape_error", MetricsText::Type::gauge,
               "[ALPHA] 1 if there was an error while getting container metrics, 0 otherwise");
    text.sample({}, errors);
}

// One family over all containers, or over all pods.
template <typename Value>
void add_containers(MetricsText& text, const NodeStats& stats, Value&& value) {
    for (const PodStats& pod : stats.pods) {
        for (const ContainerStats& container : pod.containers) {
            text.sample(
                {{"container", container.name}, {"namespace", pod.name.ns}, {"pod", pod.name.name}},
                value(container), stats.at);
        }
    }
}

template <typename Value>
void add_pods(MetricsText& text, const NodeStats& stats, Value&& value) {
    for (const PodStats& pod : stats.pods) {
        text.sample({{"namespace", pod.name.ns}, {"pod", pod.name.name}}, value(pod), stats.at);
    }
}

}  // namespace

void write_resource_metrics(const NodeStats& stats, MetricsText& text) {
    using Type = MetricsText::Type;
    text.begin("container_cpu_usage_seconds_total", Type::counter,
               "[STABLE] Cumulative cpu time consumed by the container in core-seconds");
    add_containers(text, stats, [](const ContainerStats& c) { return seconds(c.cpu.total); });
    text.begin("container_memory_working_set_bytes", Type::gauge,
               "[STABLE] Current working set of the container in bytes");
    add_containers(text, stats, [](const ContainerStats& c) {
        return static_cast<double>(c.memory_working_set.value);
    });
    text.begin("container_start_time_seconds", Type::gauge,
               "[STABLE] Start time of the container since unix epoch in seconds");
    add_containers(text, stats, [](const ContainerStats& c) { return unix_seconds(c.started); });
    text.begin("node_cpu_usage_seconds_total", Type::counter,
               "[STABLE] Cumulative cpu time consumed by the node in core-seconds");
    text.sample({}, seconds(stats.cpu.total), stats.at);
    text.begin("node_memory_working_set_bytes", Type::gauge,
               "[STABLE] Current working set of the node in bytes");
    text.sample({}, static_cast<double>(stats.memory_working_set().value), stats.at);
    text.begin("pod_cpu_usage_seconds_total", Type::counter,
               "[STABLE] Cumulative cpu time consumed by the pod in core-seconds");
    add_pods(text, stats, [](const PodStats& pod) { return seconds(pod.cpu.total); });
    text.begin("pod_memory_working_set_bytes", Type::gauge,
               "[STABLE] Current working set of the pod in bytes");
    add_pods(text, stats,
             [](const PodStats& pod) { return static_cast<double>(pod.memory_working_set.value); });
    add_errors(text, 0);
}

void write_failed_resource_metrics(MetricsText& text) {
    add_errors(text, 1);
}

}  // namespace skiff::server
