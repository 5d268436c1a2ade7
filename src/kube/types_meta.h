// Metadata and references: what every Kubernetes object carries, and how objects name each other.
//
// Fields have the names and meanings of the Kubernetes API reference; see types.h for the mapping
// rules.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kube/scalars.h"

namespace skiff::kube {

struct OwnerReference {
    std::string apiVersion;
    std::string kind;
    std::string name;
    std::string uid;
    std::optional<bool> controller;
    std::optional<bool> blockOwnerDeletion;
    friend bool operator==(const OwnerReference&, const OwnerReference&) = default;
};

struct ObjectMeta {
    std::string name;
    std::string generateName;
    std::string namespace_;
    Ignored selfLink;
    std::string uid;
    std::string resourceVersion;
    std::int64_t generation = 0;
    std::optional<Time> creationTimestamp;
    std::optional<Time> deletionTimestamp;
    std::optional<std::int64_t> deletionGracePeriodSeconds;
    std::map<std::string, std::string> labels;
    std::map<std::string, std::string> annotations;
    std::vector<OwnerReference> ownerReferences;
    std::vector<std::string> finalizers;
    Ignored managedFields;
    friend bool operator==(const ObjectMeta&, const ObjectMeta&) = default;
};

struct ListMeta {
    Ignored selfLink;
    std::string resourceVersion;
    std::string continue_;
    std::optional<std::int64_t> remainingItemCount;
    Ignored shardInfo;
    friend bool operator==(const ListMeta&, const ListMeta&) = default;
};

struct LabelSelectorRequirement {
    std::string key;
    std::string operator_;
    std::vector<std::string> values;
    friend bool operator==(const LabelSelectorRequirement&,
                           const LabelSelectorRequirement&) = default;
};

struct LabelSelector {
    std::map<std::string, std::string> matchLabels;
    std::vector<LabelSelectorRequirement> matchExpressions;
    friend bool operator==(const LabelSelector&, const LabelSelector&) = default;
};

struct StatusCause {
    std::string reason;
    std::string message;
    std::string field;
    friend bool operator==(const StatusCause&, const StatusCause&) = default;
};

struct StatusDetails {
    std::string name;
    std::string group;
    std::string kind;
    std::string uid;
    std::vector<StatusCause> causes;
    std::int32_t retryAfterSeconds = 0;
    friend bool operator==(const StatusDetails&, const StatusDetails&) = default;
};

struct Status {
    std::string apiVersion = "v1";
    std::string kind = "Status";
    ListMeta metadata;
    std::string status;
    std::string message;
    std::string reason;
    std::optional<StatusDetails> details;
    std::int32_t code = 0;
    friend bool operator==(const Status&, const Status&) = default;
};

struct LocalObjectReference {
    std::string name;
    friend bool operator==(const LocalObjectReference&, const LocalObjectReference&) = default;
};

struct ObjectReference {
    std::string kind;
    std::string namespace_;
    std::string name;
    std::string uid;
    std::string apiVersion;
    std::string resourceVersion;
    std::string fieldPath;
    friend bool operator==(const ObjectReference&, const ObjectReference&) = default;
};

struct TypedLocalObjectReference {
    std::optional<std::string> apiGroup;
    std::string kind;
    std::string name;
    friend bool operator==(const TypedLocalObjectReference&,
                           const TypedLocalObjectReference&) = default;
};

struct TypedObjectReference {
    std::optional<std::string> apiGroup;
    std::string kind;
    std::string name;
    std::optional<std::string> namespace_;
    friend bool operator==(const TypedObjectReference&, const TypedObjectReference&) = default;
};

struct ObjectFieldSelector {
    std::string apiVersion;
    std::string fieldPath;
    friend bool operator==(const ObjectFieldSelector&, const ObjectFieldSelector&) = default;
};

struct ResourceFieldSelector {
    std::string containerName;
    std::string resource;
    Quantity divisor;
    friend bool operator==(const ResourceFieldSelector&, const ResourceFieldSelector&) = default;
};

struct Condition {
    std::string type;
    std::string status;
    std::int64_t observedGeneration = 0;
    std::optional<Time> lastTransitionTime;
    std::string reason;
    std::string message;
    friend bool operator==(const Condition&, const Condition&) = default;
};

}  // namespace skiff::kube
