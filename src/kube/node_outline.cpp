#include "kube/node_outline.h"

#include "kube/codec_internal.h"

namespace skiff::kube {

BOOST_DESCRIBE_STRUCT(NodeOutlineSpec, (), (podCIDR, podCIDRs))
SKIFF_KUBE_TYPE(NodeOutlineSpec)

BOOST_DESCRIBE_STRUCT(NodeOutlineRuntime, (), (containerRuntimeVersion))
SKIFF_KUBE_TYPE(NodeOutlineRuntime)

BOOST_DESCRIBE_STRUCT(NodeOutlineStatus, (), (addresses, nodeInfo))
SKIFF_KUBE_TYPE(NodeOutlineStatus)

BOOST_DESCRIBE_STRUCT(NodeOutline, (), (metadata, spec, status))
SKIFF_KUBE_TYPE(NodeOutline)

}  // namespace skiff::kube
