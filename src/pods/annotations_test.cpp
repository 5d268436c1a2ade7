#include "pods/annotations.h"

#include <gtest/gtest.h>

#include "pods/fakes.h"

namespace skiff::pods {
namespace {

using fakes::make_pod;
using Strings = std::vector<std::string>;
constexpr const char* kDomains = "alpha.wasi.krustlet.dev/allowed-domains";
constexpr const char* kRequests = "alpha.wasi.krustlet.dev/max-concurrent-requests";

Result<Annotations> with(const std::string& key, const std::string& value) {
    kube::Pod pod = make_pod("web");
    pod.metadata.annotations[key] = value;
    return annotations_of(pod, pod.spec.containers[0]);
}

TEST(AnnotationsOf, OneContainersOwnWins) {
    kube::Pod pod = make_pod("web");
    const kube::Container& main = pod.spec.containers[0];
    EXPECT_EQ(annotations_of(pod, main)->stop, Annotations::Stop::by_module);
    pod.metadata.annotations["skiff/stop"] = "file";
    EXPECT_EQ(annotations_of(pod, main)->stop, Annotations::Stop::file);
    pod.metadata.annotations["main.skiff/stop"] = "sometimes";
    EXPECT_EQ(annotations_of(pod, main).error().reason, "CreateContainerConfigError");
}

TEST(AnnotationsOf, UnknownOnesAreNamed) {
    kube::Pod pod = make_pod("web");
    pod.metadata.annotations = {{"skiff/stop", "file"},   {"skiff/sotp", "file"},
                                {"main.skiff/stop", ""},  {"other.skiff/stop", ""},
                                {"example.com/stop", ""}, {"plain", ""}};
    EXPECT_EQ(unknown_annotations(pod),
              (Strings{"annotation other.skiff/stop names no container of the pod",
                       "annotation skiff/sotp is unknown and has no effect"}));
}

TEST(AnnotationsOf, ThousandsOfUnknownOnesAreFewLines) {
    kube::Pod pod = make_pod("web");
    for (int i = 0; i < 5000; ++i) {
        pod.metadata.annotations[fmt::format("skiff/x{}", i)] = "";
    }
    const auto lines = unknown_annotations(pod);
    ASSERT_EQ(lines.size(), 11U);
    EXPECT_EQ(lines.back(), "4990 more annotations have no effect");
}

TEST(AnnotationsOf, ReadsWhereAGuestMayConnectTo) {
    EXPECT_FALSE(with("skiff/other", "x")->egress);
    EXPECT_EQ(with("skiff/egress", "none")->egress->reach, Reach::nothing);
    const auto listed = with("skiff/egress", "api.example:443, 10.0.0.0/8");
    ASSERT_TRUE(listed);
    EXPECT_EQ(listed->egress->rules.size(), 2U);
}

// A pod with two containers, `main` and `side`.
Egress of_pod(std::map<std::string, std::string> annotations, const Egress& of_node = {}) {
    kube::Pod pod = make_pod("web");
    pod.spec.containers.emplace_back().name = "side";
    pod.metadata.annotations = std::move(annotations);
    auto egress = pod_egress(pod, of_node);
    EXPECT_TRUE(egress) << egress.error().message;
    return egress.value_or(Egress{});
}

TEST(PodEgress, IsWhatAnyContainerMayReach) {
    EXPECT_EQ(of_pod({}), Egress{});
    EXPECT_EQ(of_pod({{"skiff/egress", "none"}}).reach, Reach::nothing);
    EXPECT_EQ(of_pod({{"skiff/egress", "a.example"}}), *parse_egress("a.example"));
    EXPECT_EQ(
        of_pod({{"skiff/egress", "a.example"}, {"side.skiff/egress", "b.example, a.example"}}),
        *parse_egress("a.example, b.example"));
    EXPECT_EQ(of_pod({{"skiff/egress", "none"}, {"side.skiff/egress", "b.example"}}),
              *parse_egress("b.example"));
    const Egress half = of_pod({{"side.skiff/egress", "169.254.169.254"}});
    EXPECT_EQ(half.reach, Reach::everything) << "main may reach it";
    EXPECT_EQ(half.rules, parse_egress("169.254.169.254")->rules) << "and side what is closed";
}

TEST(PodEgress, TheNodesDefaultHoldsWhereThePodSaysNothing) {
    const Egress of_node = *parse_egress("10.0.0.0/8");
    EXPECT_EQ(of_pod({}, of_node), of_node);
    EXPECT_EQ(of_pod({{"skiff/egress", "a.example"}}, of_node), *parse_egress("a.example"));
    EXPECT_EQ(of_pod({{kDomains, R"(["http://b.example"])"}}, of_node), of_node);
}

TEST(PodEgress, KrustletsDomainsNarrowWhatNothingElseDoes) {
    EXPECT_EQ(of_pod({{kDomains, R"(["https://A.example:8080/x", "http://[fd00::1]:80/"])"}}),
              *parse_egress("a.example, fd00::1"));
    EXPECT_EQ(of_pod({{kDomains, "[]"}}).reach, Reach::nothing);
    EXPECT_EQ(of_pod({{kDomains, R"(["insecure:allow-all"])"}}).reach, Reach::everything);
    EXPECT_EQ(of_pod({{kDomains, "[]"}, {"skiff/egress", "c.example"}}),
              *parse_egress("c.example"));
}

TEST(PodEgress, AContainerThatCannotStartMayNothing) {
    EXPECT_EQ(of_pod({{"skiff/egress", "a b/"}}).reach, Reach::nothing);
    EXPECT_EQ(of_pod({{"skiff/egress", "a b/"}, {"side.skiff/egress", "b.example"}}),
              *parse_egress("b.example"));
}

TEST(PodEgress, IsBounded) {
    kube::Pod pod = make_pod("web");
    for (int i = 0; i < 5; ++i) {
        const std::string name = fmt::format("c{}", i);
        pod.spec.containers.emplace_back().name = name;
        std::string list;
        for (std::size_t n = 0; n < kEgressRulesMax; ++n) {
            list += fmt::format("h{}-{}.example ", i, n);
        }
        pod.metadata.annotations[name + ".skiff/egress"] = list;
    }
    EXPECT_EQ(pod_egress(pod, *parse_egress("none")).error().code, Code::invalid);
    pod.spec.containers.pop_back();
    EXPECT_EQ(pod_egress(pod, *parse_egress("none"))->rules.size(), kPodEgressRulesMax);
}

TEST(AnnotationsOf, ReadsHowAServerServes) {
    EXPECT_FALSE(with("skiff/stop", "file")->http_reuse);
    EXPECT_EQ(with("skiff/http-reuse", "128")->http_reuse->count, 128U);
    EXPECT_EQ(with("skiff/http-reuse", "128")->http_reuse->concurrent, 1U);
    EXPECT_EQ(with("skiff/http-reuse", "128/16")->http_reuse->concurrent, 16U);
    EXPECT_EQ(with("skiff/drain-delay", "1500ms")->drain_delay, std::chrono::milliseconds(1500));
    EXPECT_EQ(with("skiff/drain-delay", "0s")->drain_delay, Duration::zero());
}

TEST(AnnotationsOf, ReadsTheLimitsOfAServer) {
    const auto all = with("skiff/http-limits", "requests=10, time=2m,body=1Mi");
    ASSERT_TRUE(all) << all.error().message;
    EXPECT_EQ(all->http_limits->requests, 10U);
    EXPECT_EQ(all->http_limits->time, std::chrono::minutes(2));
    EXPECT_EQ(all->http_limits->body, 1_MiB);
    EXPECT_EQ(with("skiff/http-limits", "body=100")->http_limits->requests, 0U);
}

TEST(AnnotationsOf, ReadsWhatIsLinked) {
    EXPECT_EQ(with("skiff/link", "/a.wasm, registry.example/b@sha256:00")->link,
              (Strings{"/a.wasm", "registry.example/b@sha256:00"}));
}

TEST(AnnotationsOf, ReadsKrustletsHttp) {
    EXPECT_FALSE(with("plain", "")->http.given);
    EXPECT_EQ(with("plain", "")->http.reach, Reach::nothing);
    const auto listed =
        with(kDomains, R"(["https://example.com/path", "http://a:b@[::1]:8080/", "x://h"])");
    ASSERT_TRUE(listed) << listed.error().message;
    EXPECT_TRUE(listed->http.given);
    EXPECT_EQ(listed->http.reach, Reach::listed);
    EXPECT_EQ(listed->http.hosts, (Strings{"example.com", "[::1]", "h"}));
    EXPECT_EQ(with(kDomains, R"(["insecure:allow-all"])")->http.reach, Reach::everything);
    EXPECT_EQ(with(kRequests, "8")->http.requests_max, 8U);
}

TEST(AnnotationsOf, NamesKeyValueAndWhatIsAllowed) {
    struct Row {
        const char* key;
        const char* value;
        const char* allowed;
    };
    for (const Row& row :
         std::initializer_list<Row>{{"skiff/stop", "no", "\"file\""},
                                    {"skiff/egress", "a b c/", "CIDR"},
                                    {"skiff/egress", "", "CIDR"},
                                    {"skiff/http-reuse", "0", "COUNT"},
                                    {"skiff/http-reuse", "1/0", "COUNT"},
                                    {"skiff/http-reuse", "1/", "COUNT"},
                                    {"skiff/http-reuse", "1/1001", "COUNT"},
                                    {"skiff/http-reuse", "-1", "COUNT"},
                                    {"skiff/http-limits", "", "body=SIZE"},
                                    {"skiff/http-limits", "body", "body=SIZE"},
                                    {"skiff/http-limits", "body=0", "body=SIZE"},
                                    {"skiff/http-limits", "body=-1", "body=SIZE"},
                                    {"skiff/http-limits", "time=1ms", "100ms"},
                                    {"skiff/http-limits", "time=25h", "24h"},
                                    {"skiff/http-limits", "requests=1001", "1000"},
                                    {"skiff/http-limits", "body=1,body=2", "SIZE"},
                                    {"skiff/http-limits", "size=1", "body=SIZE"},
                                    {"skiff/drain-delay", "soon", "duration"},
                                    {"skiff/drain-delay", "2h", "duration"},
                                    {"skiff/coredump", "yes", "true"},
                                    {"skiff/link", "a.wasm", "/x.wasm"},
                                    {"skiff/link", "/a,,/b", "/x.wasm"},
                                    {kDomains, "example.com", "JSON array"},
                                    {kDomains, "[1]", "JSON array"},
                                    {kDomains, R"(["example.com"])", "JSON array"},
                                    {kDomains, R"(["x://a\u0000b"])", "JSON array"},
                                    {kRequests, "0", "1-65536"},
                                    {kRequests, "many", "1-65536"}}) {
        const auto refused = with(row.key, row.value);
        ASSERT_FALSE(refused) << row.key << " " << row.value;
        EXPECT_EQ(refused.error().reason, "CreateContainerConfigError");
        EXPECT_NE(refused.error().message.find(row.key), std::string::npos)
            << refused.error().message;
        EXPECT_NE(refused.error().message.find(row.allowed), std::string::npos)
            << refused.error().message;
    }
}

}  // namespace
}  // namespace skiff::pods
