// The annotations of a pod that Skiff obeys: `skiff/NAME` (every container), `CONTAINER.skiff/NAME`
// (one, which wins), and Krustlet's two about HTTP. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/egress.h"
#include "base/result.h"
#include "base/time.h"
#include "kube/types.h"
#include "pods/ports.h"

namespace skiff::pods {

struct Annotations {
    enum class Stop { by_module, file } stop = Stop::by_module;  // skiff/stop: file
    std::optional<Egress> egress;                                // skiff/egress
    // skiff/http-reuse: COUNT[/CONCURRENT]
    struct Reuse {
        std::uint32_t count = 1;
        std::uint32_t concurrent = 1;
    };
    std::optional<Reuse> http_reuse;
    std::optional<HttpLimits> http_limits;  // skiff/http-limits: "requests=N,time=T,body=SIZE"
    std::optional<Duration> drain_delay;    // skiff/drain-delay: how long a server accepts on
    CoreDump coredump = CoreDump::none;     // skiff/coredump: "true"
    // skiff/link: files of the image ("/x.wasm") or images by digest, linked into the module in
    // this order.
    std::vector<std::string> link;
    // alpha.wasi.krustlet.dev/allowed-domains and …/max-concurrent-requests
    HttpUse http;
};

// Fails with reason CreateContainerConfigError for a value that the setting does not have; the
// message names annotation, value and what is allowed.
[[nodiscard]] Result<Annotations> annotations_of(const kube::Pod& pod,
                                                 const kube::Container& container);
// What the containers of a pod may reach, any of them: what the kernel holds their namespace to.
// Each may what its `skiff/egress` says, else `of_node`; where neither narrows it,
// Krustlet's allowed-domains do. A container whose annotations are wrong does not start, and may
// nothing. Fails with Code::invalid for more than kPodEgressRulesMax different entries.
[[nodiscard]] Result<Egress> pod_egress(const kube::Pod& pod, const Egress& of_node);
inline constexpr std::size_t kPodEgressRulesMax = 1024;
// One line for each annotation below `skiff/` that nobody knows, the first ten of them: Warning
// events.
[[nodiscard]] std::vector<std::string> unknown_annotations(const kube::Pod& pod);

}  // namespace skiff::pods
