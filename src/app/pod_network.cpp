#include "app/pod_network.h"

#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "state/checkpoint.h"

namespace skiff::app {

namespace {

constexpr std::string_view kKind = "pod-ranges";
// Private (RFC 1918), and neither what container engines nor what cluster tools begin with. Several
// instances on a machine share it: each looks whether an address is in use.
constexpr const char* kPrivateRange = "10.187.0.0/16";

std::vector<std::string> texts_of(std::string_view joined) {
    std::vector<std::string> texts;
    for (const std::string_view part : split(joined, ',')) {
        if (!trim(part).empty()) {
            texts.emplace_back(trim(part));
        }
    }
    return texts;
}

network::RoutedSettings routed_settings(const state::Instance& instance,
                                        const std::vector<std::string>& node_ips) {
    network::RoutedSettings settings;
    settings.wire = wire_settings(instance, node_ips);
    settings.records = instance.paths().pod_networks();
    settings.quarantine = instance.paths().quarantine();
    settings.remedy =
        "the Node has no spec.podCIDR; let kube-controller-manager give it one "
        "(--allocate-node-cidrs=true --cluster-cidr=RANGE), or set podCIDR in the node's "
        "KubeletConfiguration";
    return settings;
}

std::vector<std::string> given_ranges(const config::Settings& settings,
                                      PodNetwork::Company company) {
    auto texts = texts_of(settings.pod_cidr);
    if (texts.empty() && company == PodNetwork::Company::alone) {
        texts.emplace_back(kPrivateRange);
    }
    return texts;
}

}  // namespace

network::WireSettings wire_settings(const state::Instance& instance,
                                    const std::vector<std::string>& node_ips) {
    network::WireSettings settings;
    settings.instance = instance.id();
    settings.folder = instance.paths().netns();
    const bool lonely =
        node_ips.empty() || (node_ips.size() == 1 && node_ips.front() == "127.0.0.1");
    settings.node_end =
        lonely ? network::WireSettings::NodeEnd::addressed : network::WireSettings::NodeEnd::bare;
    return settings;
}

PodNetwork::PodNetwork(Parts parts, const config::Settings& settings,
                       const std::vector<std::string>& node_ips, Company company)
    : instance_(parts.instance),
      given_(given_ranges(settings, company)),
      network_(parts.executor, routed_settings(parts.instance, node_ips), parts.pool, parts.random),
      files_(parts.executor, parts.pool),
      scope_(parts.executor) {}

async::Task<Result<void>> PodNetwork::open(std::vector<PodUid> pods) {
    auto recovered = co_await network_.recover(std::move(pods));
    if (!recovered) {
        log::warn("something of an ended pod's network stays",
                  log::kv("error", format_as(recovered.error())));
    }
    if (auto valid = network::parse_pod_ranges(given_); !given_.empty() && !valid) {
        co_return fail(std::move(valid.error()).context("podCIDR"));
    }
    auto texts = given_;
    if (auto stored = state::load_checkpoint(instance_.paths().pod_ranges(), kKind)) {
        texts = texts_of(*stored);
    }
    auto ranges = network::parse_pod_ranges(texts);
    if (!ranges) {
        co_return Result<void>{};  // ready() says so
    }
    auto set = co_await network_.set_ranges(std::move(*ranges));
    if (!set) {
        log::warn("pods have no network", log::kv("error", format_as(set.error())));
    }
    co_return Result<void>{};
}

void PodNetwork::tell_ranges(const std::vector<std::string>& texts, std::function<void()> changed) {
    if (texts.empty() || texts == told_) {
        return;
    }
    told_ = texts;
    auto ranges = network::parse_pod_ranges(texts);
    if (!ranges) {
        log::error("the Node's podCIDRs are of no use",
                   log::kv("error", format_as(ranges.error())));
        return;
    }
    scope_.spawn("pod ranges", take_ranges(std::move(*ranges), std::move(changed)));
}

async::Task<void> PodNetwork::take_ranges(std::vector<network::IpRange> ranges,
                                          std::function<void()> changed) {
    const std::string text = fmt::format("{}", fmt::join(ranges, ","));
    const auto path = instance_.paths().pod_ranges();
    auto set = co_await network_.set_ranges(std::move(ranges));
    if (set) {
        log::info("pods have addresses of their own", log::kv("ranges", text));
    } else {
        log::warn("pods have no network", log::kv("error", format_as(set.error())));
        told_.clear();  // the next look at the Node tries again
    }
    changed();
    auto work = [path, text]() -> Result<void> {
        if (auto stored = state::load_checkpoint(path, kKind); stored && *stored == text) {
            return {};
        }
        return state::store_checkpoint(path, kKind, text, os::Durability::power);
    };
    auto stored = co_await files_.run("ranges", std::move(work));
    if (!stored) {
        log::warn("the ranges of pods are not kept", log::kv("error", format_as(stored.error())));
    }
}

async::Task<void> PodNetwork::stop() {
    co_await scope_.stop();
    auto written = co_await files_.stop();
    auto stopped = co_await network_.stop();
    if (!written || !stopped) {
        log::debug("the network did not stop in order");
    }
}

}  // namespace skiff::app
