#include "kube/label_selector.h"

#include <gtest/gtest.h>

namespace skiff::kube {
namespace {

const std::map<std::string, std::string> kLabels = {{"crew", "two"}, {"live", ""}};

bool selects(std::string key, std::string wanted, std::vector<std::string> values) {
    LabelSelector selector;
    selector.matchExpressions.push_back({std::move(key), std::move(wanted), std::move(values)});
    return matches(selector, kLabels).value();
}

TEST(LabelSelector, AnEmptyOneSelectsEverything) {
    EXPECT_TRUE(matches(LabelSelector{}, kLabels).value());
    EXPECT_TRUE(matches(LabelSelector{}, {}).value());
}

TEST(LabelSelector, MatchLabelsMustAllBeEqual) {
    LabelSelector selector;
    selector.matchLabels = {{"crew", "two"}};
    EXPECT_TRUE(matches(selector, kLabels).value());
    selector.matchLabels["live"] = "yes";
    EXPECT_FALSE(matches(selector, kLabels).value());
}

TEST(LabelSelector, TheFourOperators) {
    EXPECT_TRUE(selects("crew", "In", {"one", "two"}));
    EXPECT_FALSE(selects("crew", "In", {"one"}));
    EXPECT_FALSE(selects("none", "In", {"one"}));
    EXPECT_TRUE(selects("crew", "NotIn", {"one"}));
    EXPECT_TRUE(selects("none", "NotIn", {"one"}));
    EXPECT_FALSE(selects("crew", "NotIn", {"two"}));
    EXPECT_TRUE(selects("live", "Exists", {}));
    EXPECT_FALSE(selects("none", "Exists", {}));
    EXPECT_TRUE(selects("none", "DoesNotExist", {}));
    EXPECT_FALSE(selects("live", "DoesNotExist", {}));
}

TEST(LabelSelector, AnUnknownOperatorIsNamed) {
    LabelSelector selector;
    selector.matchExpressions.push_back({"crew", "Near", {}});
    auto result = matches(selector, kLabels);
    ASSERT_FALSE(result);
    EXPECT_NE(result.error().message.find("Near"), std::string::npos);
}

}  // namespace
}  // namespace skiff::kube
