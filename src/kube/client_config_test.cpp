#include "kube/client_config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace skiff::kube {
namespace {

constexpr std::string_view kFile = R"(
apiVersion: v1
kind: Config
current-context: me@prod
clusters:
- name: prod
  cluster:
    server: https://10.0.0.1:6443/
    certificate-authority: pki/ca.crt
- name: dev
  cluster: {server: "https://dev:6443", insecure-skip-tls-verify: true, proxy-url: "http://p:3128"}
users:
- name: me
  user: {client-certificate-data: aGVsbG8=, client-key: /keys/me.key}
- name: robot
  user: {tokenFile: token}
- name: cloud
  user: {exec: {command: get-token}}
contexts:
- name: me@prod
  context: {cluster: prod, user: me, namespace: web}
- name: robot@dev
  context: {cluster: dev, user: robot}
- name: cloud@dev
  context: {cluster: dev, user: cloud}
- name: lost
  context: {cluster: nowhere, user: me}
)";

TEST(Kubeconfig, ReadsTheCurrentContext) {
    auto config = parse_kubeconfig(kFile, "/etc/k");
    ASSERT_TRUE(config) << format_as(config.error());
    EXPECT_EQ(config->server, "https://10.0.0.1:6443");
    EXPECT_EQ(config->tls.ca_file, "/etc/k/pki/ca.crt");
    EXPECT_EQ(config->tls.client_certificate_pem, "hello");
    EXPECT_EQ(config->tls.client_key_file, "/keys/me.key");
    EXPECT_EQ(config->namespace_, "web");
    EXPECT_EQ(config->tls.verify, http::Verify::kPeer);
    EXPECT_EQ(config->proxy, std::nullopt);
}

TEST(Kubeconfig, ReadsANamedContext) {
    auto config = parse_kubeconfig(kFile, "/etc/k", "robot@dev");
    ASSERT_TRUE(config) << format_as(config.error());
    EXPECT_EQ(config->token_file, "/etc/k/token");
    EXPECT_EQ(config->tls.verify, http::Verify::kNothing);
    EXPECT_EQ(config->proxy, "http://p:3128");
    EXPECT_EQ(config->namespace_, "default");
}

TEST(Kubeconfig, SaysWhatIsWrong) {
    auto message = [](std::string_view text, std::string_view context = {}) {
        auto config = parse_kubeconfig(text, "/", context);
        return config ? std::string("accepted") : config.error().message;
    };
    EXPECT_EQ(message(kFile, "cloud@dev"),
              "users[cloud].user.exec is not supported: use a client certificate, token or "
              "tokenFile");
    EXPECT_EQ(message(kFile, "lost"), "no entry \"nowhere\" in clusters");
    EXPECT_EQ(message(kFile, "none"), "no entry \"none\" in contexts");
    EXPECT_EQ(message("a: b"), "not a kubeconfig: no clusters");
    EXPECT_EQ(message("clusters: []"), "no current-context");
    auto absent = load_kubeconfig("/nonexistent/config");
    ASSERT_FALSE(absent);
    EXPECT_EQ(absent.error().code, Code::not_found);
    EXPECT_NE(absent.error().message.find("kubeconfig /nonexistent/config"), std::string::npos);
}

TEST(Kubeconfig, WritesWhatItReads) {
    ClientConfig config;
    config.server = "https://h:6443";
    config.tls.ca_pem = "CA\n";
    config.tls.client_certificate_file = "/pki/current.pem";
    config.tls.client_key_file = "/pki/current.pem";
    config.token = "abc.\"def";
    auto back = parse_kubeconfig(format_kubeconfig(config, "skiff"), "/");
    ASSERT_TRUE(back) << format_as(back.error());
    EXPECT_EQ(back->server, config.server);
    EXPECT_EQ(back->tls, config.tls);
    EXPECT_EQ(back->token, config.token);
}

}  // namespace
}  // namespace skiff::kube
