#include "pods/node_affinity.h"

namespace skiff::pods {

bool wants_node(const kube::PodSpec& spec, const std::string& node_name, const NodeLabels& labels) {
    for (const auto& [key, value] : spec.nodeSelector) {
        auto found = labels.find(key);
        if (found == labels.end() || found->second != value) {
            return false;
        }
    }
    const kube::NodeSelector* required = nullptr;
    if (spec.affinity && spec.affinity->nodeAffinity &&
        spec.affinity->nodeAffinity->requiredDuringSchedulingIgnoredDuringExecution) {
        required = &*spec.affinity->nodeAffinity->requiredDuringSchedulingIgnoredDuringExecution;
    }
    return required == nullptr || kube::selects(*required, node_name, labels);
}

}  // namespace skiff::pods
