#include "kube/label_selector.h"

#include <algorithm>

#include "base/text.h"

namespace skiff::kube {

namespace {

constexpr std::size_t kShownBytesMax = 64;

Result<bool> holds(const LabelSelectorRequirement& wanted,
                   const std::map<std::string, std::string>& labels) {
    auto label = labels.find(wanted.key);
    bool present = label != labels.end();
    bool listed = present && std::ranges::find(wanted.values, label->second) != wanted.values.end();
    if (wanted.operator_ == "In") {
        return listed;
    }
    if (wanted.operator_ == "NotIn") {
        return !listed;
    }
    if (wanted.operator_ == "Exists") {
        return present;
    }
    if (wanted.operator_ == "DoesNotExist") {
        return !present;
    }
    return fail(Code::invalid,
                "label selector operator \"{}\" is none of In, NotIn, Exists, DoesNotExist",
                bounded_utf8(wanted.operator_, kShownBytesMax));
}

}  // namespace

Result<bool> matches(const LabelSelector& selector,
                     const std::map<std::string, std::string>& labels) {
    for (const auto& [key, value] : selector.matchLabels) {
        auto label = labels.find(key);
        if (label == labels.end() || label->second != value) {
            return false;
        }
    }
    for (const LabelSelectorRequirement& wanted : selector.matchExpressions) {
        SKIFF_TRY(bool held, holds(wanted, labels));
        if (!held) {
            return false;
        }
    }
    return true;
}

}  // namespace skiff::kube
