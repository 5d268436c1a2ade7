#include "server/running_pods.h"

#include <boost/json.hpp>

namespace skiff::server {

namespace json = boost::json;

static void add_running(json::array& containers,
                        const std::vector<kube::ContainerStatus>& statuses) {
    for (const kube::ContainerStatus& status : statuses) {
        if (status.state.running) {
            containers.push_back(
                {{"name", status.name}, {"image", status.image}, {"resources", json::object()}});
        }
    }
}

std::string running_pods_json(const std::vector<std::shared_ptr<const kube::Pod>>& pods) {
    json::array items;
    for (const auto& pod : pods) {
        json::array containers;
        add_running(containers, pod->status.initContainerStatuses);
        add_running(containers, pod->status.containerStatuses);
        add_running(containers, pod->status.ephemeralContainerStatuses);
        if (containers.empty()) {
            continue;
        }
        items.push_back({{"metadata",
                          {{"name", pod->metadata.name},
                           {"namespace", pod->metadata.namespace_},
                           {"uid", pod->metadata.uid}}},
                         {"spec", {{"containers", std::move(containers)}}},
                         {"status", json::object()}});
    }
    return json::serialize(json::object{{"kind", "PodList"},
                                        {"apiVersion", "v1"},
                                        {"metadata", json::object()},
                                        {"items", std::move(items)}}) +
           "\n";
}

}  // namespace skiff::server
