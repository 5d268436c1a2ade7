#include "app/pod_network.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iterator>

#include "base/log.h"
#include "base/text.h"
#include "network/dns.h"
#include "network/egress.h"
#include "os/file.h"
#include "state/checkpoint.h"

namespace skiff::app {

// Where a node's agent is asked, unless it is told otherwise.
static constexpr std::uint16_t kKubeletPort = 10250;

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

std::vector<std::uint16_t> agent_ports(const config::Settings& settings) {
    // A kubelet beside this agent has the usual port.
    std::vector<std::uint16_t> ports = {kKubeletPort};
    if (settings.port != kKubeletPort) {
        ports.push_back(static_cast<std::uint16_t>(settings.port));
    }
    return ports;
}

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
                                        const config::Settings& settings,
                                        const std::vector<std::string>& node_ips) {
    network::RoutedSettings its;
    its.wire = wire_settings(instance, node_ips);
    its.records = instance.paths().pod_networks();
    its.quarantine = instance.paths().quarantine();
    if (settings.default_egress.empty()) {
        its.close_ahead = [ports = agent_ports(settings)](const std::filesystem::path& pin) {
            return network::close_ahead(pin, ports);
        };
    }
    its.remedy =
        "the Node has no spec.podCIDR; let kube-controller-manager give it one "
        "(--allocate-node-cidrs=true --cluster-cidr=RANGE), or set podCIDR in the node's "
        "KubeletConfiguration";
    return its;
}

std::vector<std::string> given_ranges(const config::Settings& settings,
                                      PodNetwork::Company company) {
    auto texts = texts_of(settings.pod_cidr);
    if (texts.empty() && company == PodNetwork::Company::alone) {
        texts.emplace_back(kPrivateRange);
    }
    return texts;
}

constexpr std::size_t kPluginsAtOnce = 8;
constexpr std::size_t kPluginsWaiting = 4096;

network::CniAttacherSettings cni_settings(const state::Instance& instance,
                                          const config::Settings& settings) {
    network::CniAttacherSettings its;
    its.cni.config_folder = settings.cni_conf_dir;
    its.cni.plugin_folders.assign(settings.cni_bin_dirs.begin(), settings.cni_bin_dirs.end());
    its.cni.cache_folder = instance.paths().cni_attachments();
    its.instance = instance.id();
    its.namespaces = instance.paths().netns();
    its.use = settings.cni_exclusive ? network::NetworkUse::exclusive : network::NetworkUse::shared;
    its.call_time = settings.runtime_request_timeout;
    its.dns = [file = settings.resolv_conf, servers = settings.cluster_dns,
               domain = settings.cluster_domain](const kube::Pod& pod) {
        const auto text = os::read_kernel_file(file);
        const network::ClusterDns cluster{servers, domain};
        return network::form_dns(pod, network::parse_resolv_conf(text.value_or("")), cluster)
            .config;
    };
    return its;
}

network::CniAttacherSettings cni_settings(const state::Instance& instance,
                                          const config::Settings& settings,
                                          const std::vector<std::string>& node_ips) {
    auto its = cni_settings(instance, settings);
    const bool is_v6 = !node_ips.empty() && node_ips.front().find(':') != std::string::npos;
    its.preferred = is_v6 ? network::IpFamily::v6 : network::IpFamily::v4;
    return its;
}

}  // namespace

Result<void> detach_plugins(const state::Instance& instance, const config::Settings& settings) {
    return network::remove_cni_network(cni_settings(instance, settings));
}

Result<void> remove_wires(const state::Instance& instance) {
    return network::remove_routed_network(wire_settings(instance, {}),
                                          instance.paths().pod_networks());
}

PodNetwork::PodNetwork(Parts parts, const config::Settings& settings,
                       const std::vector<std::string>& node_ips, Company company)
    : instance_(parts.instance),
      wanted_(settings.pod_network),
      cni_folder_(settings.cni_conf_dir),
      given_(given_ranges(settings, company)),
      plugins_(parts.reactor, kPluginsAtOnce, kPluginsWaiting),
      routed_(parts.reactor.executor(), routed_settings(parts.instance, settings, node_ips),
              parts.pool, parts.random),
      cni_(parts.reactor.executor(), cni_settings(parts.instance, settings, node_ips), plugins_,
           parts.pool),
      files_(parts.reactor.executor(), parts.pool),
      scope_(parts.reactor.executor()) {}

async::Task<Result<void>> PodNetwork::open(Before before) {
    if (auto valid = network::parse_pod_ranges(given_); !given_.empty() && !valid) {
        co_return fail(std::move(valid.error()).context("podCIDR"));
    }
    // Without its folder no built-in network has been here in this boot.
    std::error_code error;
    had_wires_ = std::filesystem::exists(instance_.paths().pod_networks(), error);
    if (had_wires_) {
        co_await recover_wires(before.pods);
    }
    auto attached = co_await cni_.recover(before.pods);
    if (!attached) {
        log::warn("what the network plugin attached is not known",
                  log::kv("error", format_as(attached.error())));
    }
    in_nodes_ = std::move(before.started);
    for (const PodUid& uid : list()) {
        in_nodes_.erase(uid);
    }
    co_await choose();
    if (kind_ == NetworkKind::routed && !had_wires_) {
        co_await recover_wires(before.pods);
    }
    auto ranges = known_ranges();
    cni_.set_ranges(texts_of(fmt::format("{}", fmt::join(ranges, ","))));
    co_await open_routed(std::move(ranges));
    using Intake = network::CniAttacher::Intake;
    const Intake intake = kind_ == NetworkKind::cni ? Intake::open : Intake::closed;
    std::function<void()> tell = [this] { changed(); };
    co_await cni_.start(intake, std::move(tell));
    co_return Result<void>{};
}

async::Task<void> PodNetwork::recover_wires(std::vector<PodUid> pods) {
    auto recovered = co_await routed_.recover(std::move(pods));
    if (!recovered) {
        log::warn("something of an ended pod's network stays",
                  log::kv("error", format_as(recovered.error())));
    }
}

async::Task<void> PodNetwork::choose() {
    auto facts = std::make_shared<NetworkKindFacts>();
    facts->has_cni_pods = !cni_.list().empty();
    facts->has_routed_pods = !routed_.list().empty();
    auto look = [facts, folder = cni_folder_]() -> Result<void> {
        auto config = network::load_cni_config(folder);
        facts->has_cni_config = !config || config->has_value();
        return {};
    };
    auto looked = co_await files_.run("choice", std::move(look));
    (void)looked;
    NetworkChoice choice = choose_network(wanted_, *facts);
    kind_ = choice.kind;
    log::info("network of pods", log::kv("kind", to_string(kind_)), log::kv("why", choice.why));
    if (kind_ == NetworkKind::routed) {
        auto possible = co_await files_.run("choice", try_routed_network);
        if (!possible) {
            log::warn("limited", log::kv("detail", possible.error().message));
        }
    }
}

async::Task<void> PodNetwork::open_routed(std::vector<network::IpRange> ranges) {
    if (kind_ != NetworkKind::routed && !had_wires_) {
        co_return;
    }
    if (kind_ != NetworkKind::routed && routed_.list().empty()) {
        // What belongs to no pod: rules, wires that were laid ahead.
        auto work = [instance = &instance_] { return remove_wires(*instance); };
        auto removed = co_await files_.run("wires", std::move(work));
        if (!removed) {
            log::warn("something of the built-in network stays",
                      log::kv("error", format_as(removed.error())));
        }
        co_return;
    }
    if (kind_ != NetworkKind::routed) {
        routed_.lay_none_ahead();
    }
    if (ranges.empty()) {
        co_return;  // ready() says so
    }
    auto set = co_await routed_.set_ranges(std::move(ranges));
    if (!set) {
        log::warn("pods have no network", log::kv("error", format_as(set.error())));
    }
}

std::vector<network::IpRange> PodNetwork::known_ranges() const {
    auto texts = given_;
    if (auto stored = state::load_checkpoint(instance_.paths().pod_ranges(), kKind)) {
        texts = texts_of(*stored);
    }
    return network::parse_pod_ranges(texts).value_or(std::vector<network::IpRange>());
}

void PodNetwork::tell_ranges(const std::vector<std::string>& texts) {
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
    scope_.spawn("pod ranges", take_ranges(std::move(*ranges)));
}

async::Task<void> PodNetwork::take_ranges(std::vector<network::IpRange> ranges) {
    const std::string text = fmt::format("{}", fmt::join(ranges, ","));
    const auto path = instance_.paths().pod_ranges();
    cni_.set_ranges(texts_of(text));
    if (kind_ == NetworkKind::routed) {
        auto set = co_await routed_.set_ranges(std::move(ranges));
        if (set) {
            log::info("pods have addresses of their own", log::kv("ranges", text));
        } else {
            log::warn("pods have no network", log::kv("error", format_as(set.error())));
            told_.clear();  // the next look at the Node tries again
        }
        changed();
    }
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

void PodNetwork::changed() const {
    if (changed_) {
        changed_();
    }
}

async::Task<Result<network::Attachment>> PodNetwork::attach(std::shared_ptr<const kube::Pod> pod) {
    const PodUid uid(pod->metadata.uid);
    const bool is_new = !find(uid).has_value();
    const bool by_plugin =
        cni_.find(uid).has_value() || (kind_ == NetworkKind::cni && !routed_.find(uid).has_value());
    auto task = by_plugin ? cni_.attach(std::move(pod)) : routed_.attach(std::move(pod));
    auto made = co_await std::move(task);
    if (made && is_new && is_anothers(uid, made->addresses)) {
        auto detached = co_await detach(uid);
        (void)detached;
        co_return fail_because(Code::conflict, "FailedCreatePodSandBox",
                               "the address {} is that of a pod that began with another kind of "
                               "network, another one is tried",
                               made->addresses.front());
    }
    co_return made;
}

bool PodNetwork::is_anothers(const PodUid& uid, const std::vector<std::string>& addresses) const {
    for (const PodUid& other : list()) {
        const auto theirs = other == uid ? std::nullopt : find(other);
        for (const std::string& address : theirs ? theirs->addresses : std::vector<std::string>()) {
            if (std::ranges::find(addresses, address) != addresses.end()) {
                return true;
            }
        }
    }
    return false;
}

async::Task<Result<void>> PodNetwork::detach(PodUid pod) {
    const PodUid uid = pod;
    auto by_plugin = co_await cni_.detach(uid);
    auto by_node = co_await routed_.detach(uid);
    if (by_plugin && by_node) {
        in_nodes_.erase(uid);
    }
    co_return by_plugin ? by_node : by_plugin;
}

bool PodNetwork::serves(const PodUid& pod) const {
    return !in_nodes_.contains(pod) && (kind_ != NetworkKind::node || find(pod).has_value());
}

std::optional<network::Attachment> PodNetwork::find(const PodUid& pod) const {
    auto found = routed_.find(pod);
    return found ? found : cni_.find(pod);
}

std::vector<PodUid> PodNetwork::list() const {
    auto all = routed_.list();
    std::ranges::copy(cni_.list(), std::back_inserter(all));
    return all;
}

Result<void> PodNetwork::ready() const {
    return kind_ == NetworkKind::cni      ? cni_.ready()
           : kind_ == NetworkKind::routed ? routed_.ready()
                                          : Result<void>();
}

async::Task<Result<void>> PodNetwork::stop() {
    co_await scope_.stop();
    auto written = co_await files_.stop();
    auto plugins = co_await cni_.stop();
    auto wires = co_await routed_.stop();
    if (!written || !plugins || !wires) {
        log::debug("the network did not stop in order");
    }
    co_return Result<void>{};
}

}  // namespace skiff::app
