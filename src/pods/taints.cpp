#include "pods/taints.h"

#include <algorithm>

#include "base/text.h"

namespace skiff::pods {
namespace {

bool fits(const kube::Toleration& toleration, const kube::Taint& taint) {
    const std::string& op = toleration.operator_;
    if (op.empty() || op == "Equal") {
        return toleration.value == taint.value;
    }
    if (op == "Exists") {
        return true;
    }
    auto its = parse_int(taint.value);
    auto bound = parse_int(toleration.value);
    if (!its || !bound) {
        return false;
    }
    return op == "Gt" ? *its > *bound : op == "Lt" && *its < *bound;
}

}  // namespace

bool tolerates(const kube::Toleration& toleration, const kube::Taint& taint) {
    return (toleration.effect.empty() || toleration.effect == taint.effect) &&
           (toleration.key.empty() || toleration.key == taint.key) && fits(toleration, taint);
}

const kube::Taint* find_untolerated(const std::vector<kube::Taint>& taints,
                                    const std::vector<kube::Toleration>& tolerations,
                                    std::string_view effect) {
    auto found = std::ranges::find_if(taints, [&](const kube::Taint& taint) {
        return taint.effect == effect &&
               std::ranges::none_of(tolerations, [&](const kube::Toleration& toleration) {
                   return tolerates(toleration, taint);
               });
    });
    return found == taints.end() ? nullptr : &*found;
}

}  // namespace skiff::pods
