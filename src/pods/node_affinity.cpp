#include "pods/node_affinity.h"

#include <algorithm>
#include <optional>

#include "base/text.h"

namespace skiff::pods {
namespace {

// `value`: of the label or field; nullopt when the node has none.
bool holds(const kube::NodeSelectorRequirement& wanted, const std::optional<std::string>& value) {
    const std::string& how = wanted.operator_;
    bool is_listed = value && std::ranges::find(wanted.values, *value) != wanted.values.end();
    if (how == "In") {
        return is_listed;
    }
    if (how == "NotIn") {
        return !is_listed;
    }
    if (how == "Exists") {
        return value.has_value();
    }
    if (how == "DoesNotExist") {
        return !value.has_value();
    }
    if ((how == "Gt" || how == "Lt") && value && wanted.values.size() == 1) {
        auto has = parse_int(*value);
        auto bound = parse_int(wanted.values.front());
        return has && bound && (how == "Gt" ? *has > *bound : *has < *bound);
    }
    return false;
}

bool holds(const kube::NodeSelectorTerm& term, const std::string& node_name,
           const NodeLabels& labels) {
    if (term.matchExpressions.empty() && term.matchFields.empty()) {
        return false;  // an empty term selects nothing
    }
    auto label = [&](const kube::NodeSelectorRequirement& wanted) {
        auto found = labels.find(wanted.key);
        return holds(wanted, found == labels.end() ? std::nullopt : std::optional(found->second));
    };
    auto field = [&](const kube::NodeSelectorRequirement& wanted) {
        return wanted.key == "metadata.name" && holds(wanted, node_name);
    };
    return std::ranges::all_of(term.matchExpressions, label) &&
           std::ranges::all_of(term.matchFields, field);
}

}  // namespace

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
    return required == nullptr ||
           std::ranges::any_of(required->nodeSelectorTerms,
                               [&](const auto& term) { return holds(term, node_name, labels); });
}

}  // namespace skiff::pods
