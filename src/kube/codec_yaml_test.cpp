#include <gtest/gtest.h>

#include "kube/codec.h"

namespace skiff::kube {
namespace {

TEST(Yaml, ReadsScalarsAsKubectlDoes) {
    auto json = yaml_to_json(
        "a: 0644\nb: yes\nc: 'yes'\nd: 1.5\ne: ~\nf: 0x1f\ng: 1e3\nh: v1.2\ni: '8080'\nj: -3\n"
        "k: 2026-01-01\nl: \"\"\nm:\nn: 09\no: !!str 5\np: 100m\n");
    ASSERT_TRUE(json) << format_as(json.error());
    EXPECT_EQ(*json,
              R"({"a":420,"b":true,"c":"yes","d":1.5E0,"e":null,"f":31,"g":1E3,"h":"v1.2",)"
              R"("i":"8080","j":-3,"k":"2026-01-01","l":"","m":null,"n":9E0,"o":"5","p":"100m"})");
}

TEST(Yaml, FollowsAliasesAndMergeKeys) {
    auto json = yaml_to_json("base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\nsame: *b\n");
    ASSERT_TRUE(json) << format_as(json.error());
    EXPECT_EQ(*json, R"({"base":{"x":1,"y":2},"use":{"y":3,"x":1},"same":{"x":1,"y":2}})");
}

// yaml-cpp itself never comes to an end on these.
TEST(Yaml, RefusesACommaOutsideOfBrackets) {
    for (const char* text : {",", "{a: b},", "a: 1\n---\n, x\n", "[a] , b", "!x ,"}) {
        auto json = yaml_to_json(text);
        ASSERT_FALSE(json) << text;
        EXPECT_EQ(json.error().code, Code::invalid);
        EXPECT_FALSE(parse_manifest(text)) << text;
    }
    EXPECT_EQ(yaml_to_json("a: b\n... ,").error().message, "line 2: a ',' outside of brackets");
}

TEST(Yaml, RefusesAKeyThatAppearsTwice) {
    auto json = yaml_to_json("a: 1\nb: 2\na: 3\n");
    ASSERT_FALSE(json);
    EXPECT_EQ(json.error().message, "line 3: key \"a\" appears twice");
}

TEST(Yaml, StopsAliasBombsCyclesAndDeepNesting) {
    std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
    for (int i = 1; i < 9; ++i) {
        bomb += fmt::format("a{0}: &a{0} [", i);
        for (int j = 0; j < 10; ++j) {
            bomb += fmt::format("{}*a{}", j == 0 ? "" : ",", i - 1);
        }
        bomb += "]\n";
    }
    EXPECT_EQ(yaml_to_json(bomb).error().code, Code::invalid);
    EXPECT_EQ(yaml_to_json("a: &a [*a]\n").error().code, Code::invalid);
    EXPECT_EQ(yaml_to_json(std::string(200, '[') + std::string(200, ']')).error().code,
              Code::invalid);
    EXPECT_EQ(yaml_to_json(std::string(100000, '[')).error().code, Code::invalid);
    EXPECT_EQ(yaml_to_json(std::string(kManifestBytesMax + 1, ' ')).error().code, Code::invalid);
}

TEST(Manifest, SplitsDocumentsAndLists) {
    auto documents = parse_manifest(
        "# comment\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n"
        "  - {name: c, image: i}\n---\n---\napiVersion: v1\nkind: List\nitems:\n"
        "- {apiVersion: v1, kind: ConfigMap, metadata: {name: b}}\n"
        "- {apiVersion: v1, kind: Secret, metadata: {name: c}}\n");
    ASSERT_TRUE(documents) << format_as(documents.error());
    ASSERT_EQ(documents->size(), 3u);
    EXPECT_EQ((*documents)[0].kind, "Pod");
    EXPECT_EQ((*documents)[0].name, "a");
    EXPECT_EQ((*documents)[0].line, 3u);
    EXPECT_EQ((*documents)[2].kind, "Secret");
    EXPECT_EQ(from_document<Pod>((*documents)[0])->spec.containers[0].image, "i");
}

TEST(Manifest, ReadsJsonWithTabs) {
    auto documents = parse_manifest("{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Pod\"\n}\n");
    ASSERT_TRUE(documents) << format_as(documents.error());
    EXPECT_EQ(documents->size(), 1u);
}

TEST(Manifest, NamesTheObjectOfAnUnknownField) {
    auto documents =
        parse_manifest("apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec:\n  container: []\n");
    ASSERT_TRUE(documents);
    auto pod = from_document<Pod>((*documents)[0]);
    ASSERT_FALSE(pod);
    EXPECT_EQ(pod.error().message, "Pod \"a\" at line 1: unknown field \"spec.container\"");
}

TEST(Manifest, NamesTheLineOfWhatIsNoObject) {
    EXPECT_EQ(parse_manifest("a: b\n").error().message,
              "line 1: an object without apiVersion and kind");
    EXPECT_EQ(parse_manifest("- 1\n").error().message, "line 1: not an object");
    auto broken = parse_manifest("a: [1\nb: 2\n");
    ASSERT_FALSE(broken);
    EXPECT_TRUE(broken.error().message.starts_with("line ")) << broken.error().message;
}

}  // namespace
}  // namespace skiff::kube
