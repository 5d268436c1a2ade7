#include "network/network.h"

#include <fcntl.h>

#include "os/file.h"
#include "state/pod_mark.h"

namespace skiff::network {

namespace fs = std::filesystem;
using async::Task;

namespace {

constexpr Bytes kNodeFileBytesMax = 1_MiB;

// Looking for a port's holder reads the descriptors of every process: pods that are tried again and
// again, each with ports of its own, must not keep a thread at it.
constexpr auto kSeenFor = std::chrono::seconds(30);
constexpr auto kLookPause = std::chrono::seconds(1);
constexpr auto kLookPatience = std::chrono::seconds(5);
constexpr std::size_t kSeenMax = 256;
constexpr std::string_view kSomebody = "another process";
static_assert(kLookPause < kSeenFor);

// A node file may be a link (systemd-resolved); it is the node's own, so it is followed.
std::string node_file(const fs::path& path) {
    if (path.empty()) {
        return {};
    }
    auto fd = os::open(path, O_RDONLY | O_NONBLOCK);
    if (!fd) {
        return {};
    }
    return os::read_all(fd->get(), kNodeFileBytesMax).value_or("");
}

Result<void> write_if_changed(const fs::path& path, const std::string& text) {
    auto present = os::read_file(path, kNodeFileBytesMax);
    if (present && *present == text) {
        return {};
    }
    return os::write_file_atomic(path, text, 0644, os::Durability::process);
}

std::uint16_t node_port(const kube::ContainerPort& port) {
    return static_cast<std::uint16_t>(port.hostPort != 0 ? port.hostPort : port.containerPort);
}

}  // namespace

NodeNetwork::NodeNetwork(async::Executor executor, NetworkSettings settings,
                         const state::Paths& paths, async::BlockingPool& pool,
                         pods::EventSink& events)
    : settings_(std::move(settings)),
      paths_(paths),
      pool_(pool),
      file_work_(std::move(executor), pool),
      events_(events) {}

Task<Result<pods::PodNetwork>> NodeNetwork::set_up(const kube::Pod& pod) {
    PodUid uid(pod.metadata.uid);
    auto formed = std::make_shared<FormedDns>();
    auto hosts_now = std::make_shared<std::string>();
    auto copy = std::make_shared<const kube::Pod>(pod);
    NetworkSettings settings = settings_;
    fs::path hosts = paths_.pod_hosts(uid);
    fs::path resolv = paths_.pod_resolv_conf(uid);
    state::Paths paths = paths_;
    pods::PodNetwork network;
    network.pod_ips = settings.node_ips;
    std::string egress_table;
    if (is_attached(pod)) {
        SKIFF_CO_TRY(Attachment attachment, co_await settings_.attacher->attach(copy));
        egress_table = std::move(attachment.egress_table);
        network.pod_ips = std::move(attachment.addresses);
        network.netns = std::move(attachment.name_space);
    }
    auto ips = network.pod_ips;
    auto work = [paths, uid, copy, settings, hosts, resolv, formed, hosts_now,
                 ips]() -> Result<void> {
        // The first files of a pod that outlive a reboot are made here.
        SKIFF_CHECK(state::mark_pod(paths, uid));
        FormedDns dns = form_dns(*copy, parse_resolv_conf(node_file(settings.resolv_conf)),
                                 settings.cluster_dns);
        std::string node_hosts = copy->spec.hostNetwork ? node_file(settings.node_hosts) : "";
        *hosts_now = hosts_text(*copy, ips, node_hosts, settings.cluster_dns);
        SKIFF_CHECK(write_if_changed(hosts, *hosts_now));
        SKIFF_CHECK(write_if_changed(resolv, format_resolv_conf(dns.config)));
        *formed = std::move(dns);
        return {};
    };
    auto written = co_await file_work_.run(uid.str(), std::move(work));
    if (!written) {
        co_return fail(std::move(written.error()).with_reason("FailedCreatePodSandBox"));
    }
    // `pod` may have been replaced while we waited: only the copy is used from here on.
    complain(*copy, formed->complaints);
    if (is_attached(*copy) && settings_.egress != nullptr) {
        EgressControl::Place place{network.netns, network.pod_ips, std::move(formed->config),
                                   std::move(*hosts_now), std::move(egress_table)};
        SKIFF_CO_CHECK(co_await settings_.egress->apply(*copy, std::move(place)));
    }
    network.hosts_file = std::move(hosts);
    network.resolv_conf = std::move(resolv);
    network.hostname = pod_hostname(*copy, settings.node_hostname, settings.cluster_dns);
    co_return network;
}

void NodeNetwork::complain(const kube::Pod& pod,
                           const std::vector<FormedDns::Complaint>& complaints) {
    std::string all;
    for (const auto& complaint : complaints) {
        all += complaint.reason + complaint.message + "\n";
    }
    std::string& told = told_[PodUid(pod.metadata.uid)];
    if (all == told) {
        return;
    }
    told = all;
    for (const auto& complaint : complaints) {
        events_.emit(pod, "", pods::EventType::warning, complaint.reason, complaint.message);
    }
}

Task<std::string> NodeNetwork::process_that_holds(Port port) {
    auto permit = co_await looking_.acquire(after(kLookPatience));
    SteadyTime now = std::chrono::steady_clock::now();
    auto known = seen_.find(port);
    if (known != seen_.end() && now - known->second.at < kSeenFor) {
        co_return known->second.process;
    }
    if (!permit || (last_look_ && now - *last_look_ < kLookPause)) {
        co_return std::string(kSomebody);
    }
    last_look_ = now;
    auto work = [port]() -> Result<std::string> {
        return find_port_holder(port.first, port.second).value_or(std::string(kSomebody));
    };
    auto found = co_await pool_.run(std::move(work));
    if (!found) {
        co_return std::string(kSomebody);
    }
    if (seen_.size() >= kSeenMax) {
        seen_.clear();
    }
    seen_[port] = Seen{*found, now};
    co_return *found;
}

Task<Result<void>> NodeNetwork::check_port(const kube::Pod& pod, const kube::Container& container,
                                           const kube::ContainerPort& port) {
    auto transport = parse_transport(port.protocol);
    if (!transport || is_port_free(*transport, port.hostIP, node_port(port))) {
        co_return Result<void>{};
    }
    Port number(*transport, node_port(port));
    std::string holder;
    auto known = holders_.find(number);
    bool is_other = known != holders_.end() && (known->second.pod.str() != pod.metadata.uid ||
                                                known->second.container != container.name);
    if (is_other) {
        holder =
            fmt::format("container {} of pod {}", known->second.container, known->second.pod_name);
    } else {
        holder = co_await process_that_holds(number);
    }
    co_return fail_because(Code::conflict, "CreateContainerError",
                           "port {}/{} of the node is taken by {}", number.second,
                           to_string(*transport), holder);
}

Task<Result<pods::NetworkMode>> NodeNetwork::mode_for(const kube::Pod& pod,
                                                      const kube::Container& container,
                                                      bool module_can_open_sockets) {
    if (is_attached(pod)) {
        if (settings_.egress != nullptr) {
            SKIFF_CO_CHECK(co_await settings_.egress->update(pod));
        }
        // Ports of its own namespace are its own. A port of the node would be taken from whoever
        // listens there, without a word.
        for (const kube::ContainerPort& port : container.ports) {
            if (port.hostPort != 0) {
                SKIFF_CO_CHECK(co_await check_port(pod, container, port));
            }
        }
        co_return pods::NetworkMode::pod;
    }
    if (!pod.spec.hostNetwork && !module_can_open_sockets) {
        co_return pods::NetworkMode::empty;
    }
    for (const kube::ContainerPort& port : container.ports) {
        SKIFF_CO_CHECK(co_await check_port(pod, container, port));
    }
    for (const kube::ContainerPort& port : container.ports) {
        if (auto transport = parse_transport(port.protocol)) {
            holders_[{*transport, node_port(port)}] =
                Holder{PodUid(pod.metadata.uid),
                       PodName{pod.metadata.namespace_, pod.metadata.name}, container.name};
        }
    }
    co_return pods::NetworkMode::host;
}

Task<Result<void>> NodeNetwork::tear_down(const PodUid& pod) {
    PodUid uid = pod;
    std::erase_if(holders_, [&](const auto& entry) { return entry.second.pod == uid; });
    told_.erase(uid);
    if (settings_.egress != nullptr) {
        SKIFF_CO_CHECK(co_await settings_.egress->forget(uid));
    }
    if (settings_.attacher != nullptr) {
        auto detached = co_await settings_.attacher->detach(uid);
        if (!detached) {
            co_return detached;
        }
    }
    state::Paths paths = paths_;
    auto work = [paths, uid]() -> Result<void> {
        SKIFF_CHECK(os::remove_file(paths.pod_hosts(uid)));
        // An agent that was killed while it wrote one of them left another name.
        os::remove_stale_temporaries(paths.pod(uid));
        return os::remove_file(paths.pod_resolv_conf(uid));
    };
    co_return co_await file_work_.run(uid.str(), std::move(work));
}

}  // namespace skiff::network
