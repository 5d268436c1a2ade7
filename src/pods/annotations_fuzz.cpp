#include "pods/annotations.h"

#include <algorithm>

#include "base/fuzz.h"
#include "base/text.h"

namespace skiff::pods {

static void check_values(const Annotations& annotations) {
    if (annotations.http_reuse) {
        SKIFF_ASSERT(annotations.http_reuse->count > 0);
        SKIFF_ASSERT(annotations.http_reuse->concurrent > 0);
    }
    if (annotations.http_limits) {
        const HttpLimits& limits = *annotations.http_limits;
        SKIFF_ASSERT(limits.requests <= 1000);
        SKIFF_ASSERT(limits.time >= Duration::zero() && limits.time <= std::chrono::hours(24));
        SKIFF_ASSERT(limits.requests > 0 || limits.time > Duration::zero() ||
                     limits.body.value > 0);
    }
    if (annotations.drain_delay) {
        SKIFF_ASSERT(*annotations.drain_delay >= Duration::zero());
        SKIFF_ASSERT(*annotations.drain_delay <= std::chrono::hours(1));
    }
    SKIFF_ASSERT(annotations.link.size() <= 16);
    for (const std::string& entry : annotations.link) {
        SKIFF_ASSERT(!entry.empty());
        SKIFF_ASSERT(trim(entry) == entry);
    }
    const HttpUse& http = annotations.http;
    SKIFF_ASSERT(http.hosts.size() <= 256);
    SKIFF_ASSERT(http.given || (http.hosts.empty() && http.reach == Reach::nothing));
    for (const std::string& host : http.hosts) {
        SKIFF_ASSERT(!host.empty() && host.size() <= 253);
        SKIFF_ASSERT(host.find_first_of("/?#@") == std::string::npos);
        SKIFF_ASSERT(std::ranges::none_of(host, [](unsigned char c) { return c <= ' '; }));
    }
}

// The input: a key, a zero byte, the value, of a pod with the one container "main".
SKIFF_FUZZ(pods_annotations) {
    fuzz::Input input(bytes);
    const std::string key(input.part());
    const std::string value(input.rest());
    kube::Pod pod;
    pod.metadata.name = "pod";
    pod.spec.containers.emplace_back().name = "main";
    pod.metadata.annotations[key] = value;

    const auto unknown = unknown_annotations(pod);
    SKIFF_ASSERT(unknown.size() <= 1);
    const auto read = annotations_of(pod, pod.spec.containers.front());
    if (read) {
        check_values(*read);
    } else {
        fuzz::check_error(read.error());
        SKIFF_ASSERT(read.error().reason == "CreateContainerConfigError");
        SKIFF_ASSERT(read.error().message.find(key) != std::string::npos);
        SKIFF_ASSERT(unknown.empty());
    }
    const auto egress = pod_egress(pod, Egress{});
    SKIFF_ASSERT(egress.has_value());
    SKIFF_ASSERT(read || egress->reach == Reach::nothing);
    SKIFF_ASSERT(!read || !read->egress || *egress == *read->egress ||
                 egress->rules.size() < read->egress->rules.size());
    // What one container says of itself holds for it as if the pod had said it.
    if (key.starts_with("skiff/")) {
        pod.metadata.annotations.clear();
        pod.metadata.annotations["main." + key] = value;
        const auto own = annotations_of(pod, pod.spec.containers.front());
        SKIFF_ASSERT(own.has_value() == read.has_value());
        SKIFF_ASSERT(unknown_annotations(pod).size() == unknown.size());
    }
}

}  // namespace skiff::pods
