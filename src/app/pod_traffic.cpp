#include "app/pod_traffic.h"

#include <set>

#include "base/log.h"
#include "network/traffic.h"
#include "pods/observed.h"

namespace skiff::app {

static std::vector<server::LinkStats> links_of(const network::Traffic& traffic) {
    std::vector<server::LinkStats> links;
    for (const network::LinkTraffic& its : traffic) {
        const auto& received = its.received;
        const auto& sent = its.sent;
        links.push_back({its.name, received.bytes, received.packets, received.errors,
                         received.dropped, sent.bytes, sent.packets, sent.errors, sent.dropped});
    }
    return links;
}

async::Task<void> PodTraffic::add_to(const std::vector<pods::PodSnapshot>& snapshots,
                                     server::NodeStats& stats) const {
    std::map<PodUid, network::Attachment> attached;
    std::set<PodUid> on_node;
    for (const pods::PodSnapshot& snapshot : snapshots) {
        const PodUid uid(snapshot.pod->metadata.uid);
        const bool ended = pods::is_terminal(snapshot.pod->status.phase);
        if (snapshot.pod->spec.hostNetwork && !ended) {
            on_node.insert(uid);
        } else if (auto found = attacher_ == nullptr ? std::nullopt : attacher_->find(uid)) {
            attached.emplace(uid, std::move(*found));
        }
    }
    auto work = [attached = std::move(attached), wires = wires_] {
        return network::observe_traffic(attached, wires);
    };
    auto traffic = co_await pool_.run(std::move(work));
    if (!traffic) {
        log::debug("no figures of the network", log::kv("error", format_as(traffic.error())));
        co_return;
    }
    stats.links = links_of(traffic->node);
    for (server::PodStats& pod : stats.pods) {
        if (auto its = traffic->pods.find(pod.uid); its != traffic->pods.end()) {
            pod.links = links_of(its->second);
        } else if (on_node.contains(pod.uid)) {
            pod.links = stats.links;
        }
    }
}

}  // namespace skiff::app
