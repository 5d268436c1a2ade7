// Label selectors as the API writes them, for objects that are selected on the node. Pure.
#pragma once

#include <map>
#include <string>

#include "base/result.h"
#include "kube/types_meta.h"

namespace skiff::kube {

// Whether all requirements of `selector` hold for `labels`; one that is empty holds for everything.
// Fails with invalid for an operator that is none of In, NotIn, Exists and DoesNotExist.
[[nodiscard]] Result<bool> matches(const LabelSelector& selector,
                                   const std::map<std::string, std::string>& labels);

}  // namespace skiff::kube
