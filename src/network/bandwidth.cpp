#include "network/bandwidth.h"

#include "base/text.h"
#include "kube/scalars.h"
#include "network/shaping.h"

namespace skiff::network {

namespace {

constexpr std::int64_t kRateMin = 1000;
constexpr std::int64_t kRateMax = 1'000'000'000'000'000;
constexpr std::size_t kShownMax = 100;

Result<std::uint64_t> rate_of(const kube::Pod& pod, const std::string& annotation) {
    const auto found = pod.metadata.annotations.find(annotation);
    if (found == pod.metadata.annotations.end()) {
        return std::uint64_t{0};
    }
    const auto rate = kube::Quantity::parse(found->second);
    if (!rate || rate->value() < kRateMin || rate->value() > kRateMax) {
        return fail(Code::invalid,
                    "annotation {} is \"{}\"; it may be a quantity of bits a second from 1k to 1P, "
                    "as in \"10M\"",
                    annotation, bounded_utf8(found->second, kShownMax));
    }
    return static_cast<std::uint64_t>(rate->value());
}

}  // namespace

Result<PodBandwidth> parse_bandwidth(const kube::Pod& pod) {
    PodBandwidth bandwidth;
    SKIFF_TRY(bandwidth.to_pod, rate_of(pod, "kubernetes.io/ingress-bandwidth"));
    SKIFF_TRY(bandwidth.from_pod, rate_of(pod, "kubernetes.io/egress-bandwidth"));
    return bandwidth;
}

Result<void> apply_bandwidth(Wire& wire, const PodBandwidth& bandwidth) {
    Result<void> done;
    if (bandwidth.to_pod != 0) {
        SKIFF_TRY(Netlink node, Netlink::open());
        NetlinkBatch batch;
        shape_outgoing(batch, wire.node_link, bandwidth.to_pod);
        done = node.carry_out(batch);
    }
    if (done && bandwidth.from_pod != 0) {
        NetlinkBatch batch;
        shape_outgoing(batch, wire.pod_link, bandwidth.from_pod);
        done = wire.pod.carry_out(batch);
    }
    if (!done && done.error().code == Code::exists) {
        // To the attacher that would mean: an address is taken.
        done.error().code = Code::internal;
    }
    return done;
}

}  // namespace skiff::network
