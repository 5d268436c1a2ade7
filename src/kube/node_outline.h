// What the other nodes need to know of a Node; of a large cluster's Nodes nothing else is decoded.
#pragma once

#include <string>
#include <vector>

#include "kube/codec_tables.h"
#include "kube/resource.h"
#include "kube/types_meta.h"
#include "kube/types_node.h"

namespace skiff::kube {

struct NodeOutlineSpec {
    std::string podCIDR;
    std::vector<std::string> podCIDRs;
    friend bool operator==(const NodeOutlineSpec&, const NodeOutlineSpec&) = default;
};

struct NodeOutlineRuntime {
    std::string containerRuntimeVersion;
    friend bool operator==(const NodeOutlineRuntime&, const NodeOutlineRuntime&) = default;
};

struct NodeOutlineStatus {
    std::vector<NodeAddress> addresses;
    NodeOutlineRuntime nodeInfo;
    friend bool operator==(const NodeOutlineStatus&, const NodeOutlineStatus&) = default;
};

struct NodeOutline {
    ObjectMeta metadata;
    NodeOutlineSpec spec;
    NodeOutlineStatus status;
    friend bool operator==(const NodeOutline&, const NodeOutline&) = default;
};

template <>
inline constexpr Resource kResource<NodeOutline> = kResource<Node>;
template <>
const StructTable& struct_table<NodeOutlineSpec>();
template <>
const StructTable& struct_table<NodeOutlineRuntime>();
template <>
const StructTable& struct_table<NodeOutlineStatus>();
template <>
const StructTable& struct_table<NodeOutline>();

}  // namespace skiff::kube
