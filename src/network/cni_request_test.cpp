#include "network/cni_request.h"

#include <gtest/gtest.h>

namespace skiff::network {
namespace {

CniAttachment make_attachment() {
    CniAttachment attachment;
    attachment.key = {"0123abc", "eth0"};
    attachment.network_namespace = "/run/netns/web";
    attachment.pod = {"shop", "web"};
    attachment.pod_uid = PodUid("uid-web");
    return attachment;
}

CniParameters parameters_of(const CniAttachment& attachment) {
    auto parameters = make_cni_parameters(attachment);
    EXPECT_TRUE(parameters) << (parameters ? "" : parameters.error().message);
    return parameters ? *parameters : CniParameters();
}

CniConfig make_config(const std::string& plugin) {
    auto config = parse_cni_config(
        R"({"cniVersion":"1.1.0","name":"net","plugins":[)" + plugin + "]}", CniFormat::list);
    EXPECT_TRUE(config) << (config ? "" : config.error().message);
    return config ? *config : CniConfig();
}

TEST(CniEnvironment, SaysWhatTheSpecificationWants) {
    const CniParameters parameters = parameters_of(make_attachment());
    const std::vector<std::string> expected = {
        "CNI_COMMAND=ADD",
        "CNI_PATH=/opt/cni/bin:/usr/lib/cni",
        "CNI_CONTAINERID=0123abc",
        "CNI_NETNS=/run/netns/web",
        "CNI_IFNAME=eth0",
        "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;"
        "K8S_POD_INFRA_CONTAINER_ID=0123abc;K8S_POD_UID=uid-web",
    };
    EXPECT_EQ(
        format_cni_environment(CniCommand::add, &parameters, {"/opt/cni/bin", "/usr/lib/cni"}),
        expected);
    const std::vector<std::string> bare = {"CNI_COMMAND=STATUS", "CNI_PATH=/b"};
    EXPECT_EQ(format_cni_environment(CniCommand::status, nullptr, {"/b"}), bare);
}

TEST(CniParameters, RefusesWhatPluginsWouldMisread) {
    struct Case {
        const char* what;
        void (*spoil)(CniAttachment&);
    };
    for (const Case& c : {
             Case{"no container", [](CniAttachment& a) { a.key.container_id = ""; }},
             Case{"a path for a container", [](CniAttachment& a) { a.key.container_id = "../x"; }},
             Case{"no interface", [](CniAttachment& a) { a.key.interface = ""; }},
             Case{"a folder for an interface", [](CniAttachment& a) { a.key.interface = ".."; }},
             Case{"a slash", [](CniAttachment& a) { a.key.interface = "a/b"; }},
             Case{"a colon", [](CniAttachment& a) { a.key.interface = "a:b"; }},
             Case{"a blank", [](CniAttachment& a) { a.key.interface = "a b"; }},
             Case{"no UTF-8", [](CniAttachment& a) { a.key.interface = "a\xff"; }},
             Case{"too long", [](CniAttachment& a) { a.key.interface = "abcdefghijklmnop"; }},
             Case{"a relative path", [](CniAttachment& a) { a.network_namespace = "netns/x"; }},
             Case{"an argument more", [](CniAttachment& a) { a.pod.name = "a;IP=10.0.0.1"; }},
             Case{"a second value", [](CniAttachment& a) { a.pod.ns = "a=b"; }},
         }) {
        CniAttachment attachment = make_attachment();
        c.spoil(attachment);
        const auto parameters = make_cni_parameters(attachment);
        ASSERT_FALSE(parameters) << c.what;
        EXPECT_EQ(parameters.error().code, Code::invalid) << c.what;
    }
    CniAttachment longest = make_attachment();
    longest.key.interface = "abcdefghijklmno";
    EXPECT_TRUE(make_cni_parameters(longest));
    CniAttachment large = make_attachment();
    large.pod_annotations["a"] = std::string(kCniCapabilityBytesMax.value, 'x');
    const auto parameters = make_cni_parameters(large);
    ASSERT_FALSE(parameters);
    EXPECT_EQ(parameters.error().code, Code::exhausted);
}

TEST(CniRequest, IsTheFileWithNameAndVersionOfTheNetwork) {
    const CniConfig config =
        make_config(R"({"name":"other","type":"x","cniVersion":"0.1.0","mtu":1.0,"args":{"a":1},)"
                    R"("capabilities":{"mac":true},"prevResult":{},"cni.dev/odd":1,"cni.dev":2})");
    EXPECT_EQ(format_raw(make_cni_request(config, config.plugins[0])),
              R"({"name":"net","type":"x","cniVersion":"1.1.0","mtu":1.0,"args":{"a":1},)"
              R"("cni.dev":2})");
}

TEST(CniRequest, GivesAPluginTheCapabilitiesThatItDeclares) {
    CniAttachment attachment = make_attachment();
    attachment.port_mappings = {{8080, 80, "tcp", ""}, {53, 5353, "udp", "192.0.2.1"}};
    attachment.bandwidth = CniBandwidth{1000, 2000, 0, 4000};
    attachment.dns = {{"10.96.0.10"}, {"cluster.local"}, {"ndots:5"}};
    attachment.ip_ranges = {"10.1.2.0/24", "fd00::/64"};
    attachment.ips = {"10.1.2.3"};
    attachment.mac = "c2:11:22:33:44:55";
    attachment.cgroup_path = "/kubepods/pod1";
    attachment.pod_annotations = {{"a/b", "c\"d"}};
    const CniParameters parameters = parameters_of(attachment);
    struct Case {
        const char* declared;
        const char* given;
    };
    for (const Case& c : {
             Case{
                 R"("portMappings":true)",
                 R"({"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"},)"
                 R"({"hostPort":53,"containerPort":5353,"protocol":"udp","hostIP":"192.0.2.1"}]})"},
             Case{R"("bandwidth":true)",
                  R"({"bandwidth":{"ingressRate":1000,"ingressBurst":2000}})"},
             Case{R"("dns":true)",
                  R"({"dns":{"servers":["10.96.0.10"],"searches":["cluster.local"],)"
                  R"("options":["ndots:5"]}})"},
             Case{R"("ipRanges":true)",
                  R"({"ipRanges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"fd00::/64"}]]})"},
             Case{R"("ips":true,"mac":true)", R"({"ips":["10.1.2.3"],"mac":"c2:11:22:33:44:55"})"},
             Case{R"("cgroupPath":true,"io.kubernetes.cri.pod-annotations":true)",
                  R"({"cgroupPath":"/kubepods/pod1",)"
                  R"("io.kubernetes.cri.pod-annotations":{"a/b":"c\"d"}})"},
         }) {
        const CniConfig config =
            make_config(fmt::format(R"({{"type":"x","capabilities":{{{}}}}})", c.declared));
        RawObject request = make_cni_request(config, config.plugins[0]);
        add_attachment(request, config.plugins[0], parameters, "");
        const std::string* given = find_raw(request, "runtimeConfig");
        ASSERT_NE(given, nullptr) << c.declared;
        EXPECT_EQ(*given, c.given);
        EXPECT_EQ(find_raw(request, "prevResult"), nullptr);
    }
    const CniConfig refused =
        make_config(R"({"type":"x","capabilities":{"mac":false,"odd":true}})");
    RawObject request = make_cni_request(refused, refused.plugins[0]);
    add_attachment(request, refused.plugins[0], parameters, R"({"ips":[]})");
    EXPECT_EQ(find_raw(request, "runtimeConfig"), nullptr);
    ASSERT_NE(find_raw(request, "prevResult"), nullptr);
    EXPECT_EQ(*find_raw(request, "prevResult"), R"({"ips":[]})");
    // Nothing is offered that the pod does not have.
    EXPECT_TRUE(parameters_of(make_attachment()).capabilities.empty());
}

TEST(CniRequest, ForGcNamesWhatIsInUse) {
    const CniConfig config = make_config(R"({"type":"x"})");
    RawObject request = make_cni_request(config, config.plugins[0]);
    add_valid_attachments(request, {{"a", "eth0"}, {"b", "net1"}});
    const char* list =
        R"([{"containerID":"a","ifname":"eth0"},{"containerID":"b","ifname":"net1"}])";
    EXPECT_EQ(format_raw(request),
              fmt::format(R"({{"type":"x","cniVersion":"1.1.0","name":"net",)"
                          R"("cni.dev/valid-attachments":{},"cni.dev/attachments":{}}})",
                          list, list));
    request.clear();
    add_valid_attachments(request, {});
    EXPECT_EQ(request[0].value, "[]");
    EXPECT_EQ(format_cni_version_request(CniVersion::v1_0_0), R"({"cniVersion":"1.0.0"})");
}

}  // namespace
}  // namespace skiff::network
