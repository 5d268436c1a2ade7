#include "kube/patch.h"

#include <boost/json/serialize.hpp>

#include "kube/codec_internal.h"

namespace skiff::kube {

namespace {

// Lists that merge by a key; every other list is replaced.
struct MergeList {
    std::string_view field;
    std::string_view key;
};
constexpr std::array<MergeList, 3> kPodLists = {
    MergeList{"conditions", "type"}, MergeList{"podIPs", "ip"}, MergeList{"hostIPs", "ip"}};
constexpr std::array<MergeList, 1> kNodeLists = {MergeList{"conditions", "type"}};

template <typename T>
json::object encode(const T& object) {
    return std::move(encode_struct(&object, struct_table<T>()).as_object());
}

const json::value* find_element(const json::array& list, std::string_view key,
                                const json::value& wanted) {
    for (const json::value& element : list) {
        const json::value* value = element.get_object().if_contains(key);
        if (value != nullptr && *value == wanted) {
            return &element;
        }
    }
    return nullptr;
}

// Members of `to` that differ from `from`; null for those that are gone. Maps are descended into,
// lists replaced.
json::object diff_maps(const json::object& from, const json::object& to) {
    json::object patch;
    for (const auto& [key, value] : to) {
        const json::value* old = from.if_contains(key);
        if (old != nullptr && *old == value) {
            continue;
        }
        if (old != nullptr && old->is_object() && value.is_object()) {
            patch.emplace(key, diff_maps(old->get_object(), value.get_object()));
        } else {
            patch.emplace(key, value);
        }
    }
    for (const auto& [key, value] : from) {
        if (!to.contains(key)) {
            patch.emplace(key, nullptr);
        }
    }
    return patch;
}

json::object only_key(std::string_view key, const json::value& value) {
    json::object object;
    object.emplace(key, value);
    return object;
}

// Adds to `patch` what turns the list `from` into `to`, element by element, in `to`'s order.
void diff_list(const MergeList& list, const json::array& from, const json::array& to,
               json::object& patch) {
    json::array changes;
    json::array order;
    for (const json::value& element : to) {
        const json::value& key = element.get_object().at(list.key);
        order.emplace_back(only_key(list.key, key));
        const json::value* old = find_element(from, list.key, key);
        if (old == nullptr) {
            changes.push_back(element);
        } else if (*old != element) {
            json::object change = diff_maps(old->get_object(), element.get_object());
            change.emplace(list.key, key);
            changes.emplace_back(std::move(change));
        }
    }
    for (const json::value& element : from) {
        const json::value& key = element.get_object().at(list.key);
        if (find_element(to, list.key, key) == nullptr) {
            json::object removal = only_key(list.key, key);
            removal.emplace("$patch", "delete");
            changes.emplace_back(std::move(removal));
        }
    }
    patch.emplace(fmt::format("$setElementOrder/{}", list.field), std::move(order));
    if (!changes.empty()) {
        patch.emplace(list.field, std::move(changes));
    }
}

json::object diff_status(json::object from, json::object to, std::span<const MergeList> lists) {
    json::object merged;
    for (const MergeList& list : lists) {
        const json::value* old = from.if_contains(list.field);
        const json::value* now = to.if_contains(list.field);
        bool same = old == now || (old != nullptr && now != nullptr && *old == *now);
        if (!same) {
            json::array none;
            diff_list(list, old != nullptr ? old->get_array() : none,
                      now != nullptr ? now->get_array() : none, merged);
        }
        from.erase(list.field);
        to.erase(list.field);
    }
    json::object patch = diff_maps(from, to);
    for (auto& [key, value] : merged) {
        patch.emplace(key, std::move(value));
    }
    return patch;
}

json::object missing_entries(const std::map<std::string, std::string>& known,
                             const std::map<std::string, std::string>& wanted) {
    json::object missing;
    for (const auto& [key, value] : wanted) {
        auto found = known.find(key);
        if (found == known.end() || found->second != value) {
            missing.emplace(key, value);
        }
    }
    return missing;
}

}  // namespace

std::optional<std::string> pod_status_patch(const Pod& known, PodStatus wanted) {
    wanted.resourceClaimStatuses = known.status.resourceClaimStatuses;
    wanted.extendedResourceClaimStatus = known.status.extendedResourceClaimStatus;
    wanted.nodeAllocatableResourceClaimStatuses = known.status.nodeAllocatableResourceClaimStatuses;
    json::object status = diff_status(encode(known.status), encode(wanted), kPodLists);
    if (status.empty()) {
        return std::nullopt;
    }
    json::object patch;
    patch.emplace("metadata", only_key("uid", json::value(known.metadata.uid)));
    patch.emplace("status", std::move(status));
    return json::serialize(patch);
}

std::optional<std::string> node_status_patch(const Node& known, const NodeStatus& wanted) {
    json::object status = diff_status(encode(known.status), encode(wanted), kNodeLists);
    if (status.empty()) {
        return std::nullopt;
    }
    if (json::value* addresses = status.if_contains("addresses")) {
        if (json::array* list = addresses->if_array()) {
            list->emplace_back(only_key("$patch", json::value("replace")));
        }
    }
    json::object patch;
    patch.emplace("status", std::move(status));
    return json::serialize(patch);
}

std::optional<std::string> node_metadata_patch(const Node& known, const Node& wanted) {
    json::object metadata;
    json::object labels = missing_entries(known.metadata.labels, wanted.metadata.labels);
    if (!labels.empty()) {
        metadata.emplace("labels", std::move(labels));
    }
    json::object annotations =
        missing_entries(known.metadata.annotations, wanted.metadata.annotations);
    if (!annotations.empty()) {
        metadata.emplace("annotations", std::move(annotations));
    }
    json::object patch;
    if (!metadata.empty()) {
        patch.emplace("metadata", std::move(metadata));
    }
    if (known.spec.providerID.empty() && !wanted.spec.providerID.empty()) {
        patch.emplace("spec", only_key("providerID", json::value(wanted.spec.providerID)));
    }
    if (patch.empty()) {
        return std::nullopt;
    }
    return json::serialize(patch);
}

}  // namespace skiff::kube
