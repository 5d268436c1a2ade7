#include "kube/node_selector.h"

#include <algorithm>
#include <optional>

#include "base/text.h"

namespace skiff::kube {
namespace {

// `value`: of the label or field; nullopt when the node has none.
bool holds(const NodeSelectorRequirement& wanted, const std::optional<std::string>& value) {
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

bool holds(const NodeSelectorTerm& term, const std::string& node_name, const NodeLabels& labels) {
    if (term.matchExpressions.empty() && term.matchFields.empty()) {
        return false;  // an empty term selects nothing
    }
    auto label = [&](const NodeSelectorRequirement& wanted) {
        auto found = labels.find(wanted.key);
        return holds(wanted, found == labels.end() ? std::nullopt : std::optional(found->second));
    };
    auto field = [&](const NodeSelectorRequirement& wanted) {
        return wanted.key == "metadata.name" && holds(wanted, node_name);
    };
    return std::ranges::all_of(term.matchExpressions, label) &&
           std::ranges::all_of(term.matchFields, field);
}

}  // namespace

bool selects(const NodeSelector& selector, const std::string& node_name, const NodeLabels& labels) {
    return std::ranges::any_of(selector.nodeSelectorTerms, [&](const NodeSelectorTerm& term) {
        return holds(term, node_name, labels);
    });
}

}  // namespace skiff::kube
