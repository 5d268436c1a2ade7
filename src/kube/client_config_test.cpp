#include "kube/client_config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "kube/client_exec.h"

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
  cluster:
    server: "https://dev:6443"
    insecure-skip-tls-verify: true
    proxy-url: "http://p:3128"
    extensions:
    - {name: other, extension: 1}
    - {name: client.authentication.k8s.io/exec, extension: {audience: a}}
users:
- name: me
  user: {client-certificate-data: aGVsbG8=, client-key: /keys/me.key}
- name: robot
  user: {tokenFile: token}
- name: cloud
  user: {exec: {command: get-token}}
- name: plugin
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: bin/get-token
      args: [--for, node]
      env: [{name: REGION, value: here}]
      installHint: ask ops
      interactiveMode: IfAvailable
      provideClusterInfo: true
contexts:
- name: me@prod
  context: {cluster: prod, user: me, namespace: web}
- name: robot@dev
  context: {cluster: dev, user: robot}
- name: cloud@dev
  context: {cluster: dev, user: cloud}
- name: plugin@dev
  context: {cluster: dev, user: plugin}
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
              "users[cloud].user.exec.apiVersion: \"\" is not supported; allowed: "
              "client.authentication.k8s.io/v1, client.authentication.k8s.io/v1beta1");
    EXPECT_EQ(message(kFile, "lost"), "no entry \"nowhere\" in clusters");
    EXPECT_EQ(message(kFile, "none"), "no entry \"none\" in contexts");
    EXPECT_EQ(message("a: b"), "not a kubeconfig: no clusters");
    EXPECT_EQ(message("clusters: []"), "no current-context");
    auto absent = load_kubeconfig("/nonexistent/config");
    ASSERT_FALSE(absent);
    EXPECT_EQ(absent.error().code, Code::not_found);
    EXPECT_NE(absent.error().message.find("kubeconfig /nonexistent/config"), std::string::npos);
}

TEST(Kubeconfig, ReadsAPlugin) {
    auto config = parse_kubeconfig(kFile, "/etc/k", "plugin@dev");
    ASSERT_TRUE(config) << format_as(config.error());
    ASSERT_TRUE(config->exec);
    EXPECT_EQ(config->exec->command, "/etc/k/bin/get-token");
    EXPECT_EQ(config->exec->args, (std::vector<std::string>{"--for", "node"}));
    ASSERT_EQ(config->exec->env.size(), 1u);
    EXPECT_EQ(config->exec->env[0].second, "here");
    EXPECT_EQ(config->exec->install_hint, "ask ops");
    EXPECT_EQ(format_exec_info(*config),
              R"({"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1",)"
              R"("spec":{"cluster":{"server":"https://dev:6443","insecure-skip-tls-verify":true,)"
              R"("proxy-url":"http://p:3128","config":{"audience":"a"}},"interactive":false}})");
    config->exec->cluster_facts = ExecPlugin::ClusterFacts::withheld;
    EXPECT_EQ(format_exec_info(*config),
              R"({"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1",)"
              R"("spec":{"interactive":false}})");
}

// What `user.exec` of a kubeconfig with these fields means.
std::string plugin_problem(std::string_view fields) {
    auto config = parse_kubeconfig(
        fmt::format(
            "current-context: c\nclusters: [{{name: c, cluster: {{server: "
            "\"https://h\"}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n"
            "users: [{{name: u, user: {{exec: {{{}}}}}}}]\n",
            fields),
        "/");
    return config ? std::string() : config.error().message;
}

TEST(Kubeconfig, RefusesPluginsThatANodeCannotRun) {
    std::string v1 = "apiVersion: client.authentication.k8s.io/v1, command: x";
    std::string beta = "apiVersion: client.authentication.k8s.io/v1beta1, command: x";
    EXPECT_EQ(plugin_problem(v1 + ", interactiveMode: Never"), "");
    EXPECT_EQ(plugin_problem(beta), "");
    EXPECT_EQ(plugin_problem(v1),
              "users[u].user.exec.interactiveMode: \"\"; allowed: Never, IfAvailable");
    EXPECT_EQ(plugin_problem(beta + ", interactiveMode: Always"),
              "users[u].user.exec.interactiveMode: Always, but a node has no terminal");
    EXPECT_EQ(plugin_problem("apiVersion: client.authentication.k8s.io/v1beta1"),
              "users[u].user.exec.command is not the name of a program");
    EXPECT_EQ(plugin_problem(beta + ", args: [1]"),
              "users[u].user.exec.args: not a list of strings");
    EXPECT_EQ(plugin_problem(beta + ", env: [{name: \"A=B\", value: c}]"),
              "users[u].user.exec.env: an entry without a usable name");
}

std::string answer(std::string_view status) {
    return fmt::format(
        R"({{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{}}})",
        status);
}

TEST(ExecCredential, IsATokenOrACertificateWithItsKey) {
    auto read = [](std::string_view status) {
        auto credential = parse_exec_credential(answer(status), kExecApiVersions[0]);
        return credential ? *credential : Credential{credential.error().message, {}, {}, {}};
    };
    auto token = read(R"({"token":"abc","expirationTimestamp":"2026-01-02T03:04:05Z"})");
    EXPECT_EQ(token.token, "abc");
    EXPECT_EQ(token.expires, parse_rfc3339("2026-01-02T03:04:05Z"));
    auto certificate = read(R"({"clientCertificateData":"C","clientKeyData":"K"})");
    EXPECT_EQ(certificate.certificate_pem + certificate.key_pem + certificate.token, "CK");
    EXPECT_EQ(read(R"({"clientCertificateData":"C"})").token,
              "ExecCredential: clientCertificateData and clientKeyData come together");
    EXPECT_EQ(read("{}").token, "ExecCredential: neither a token nor a client certificate");
    EXPECT_EQ(read("null").token, "ExecCredential: no status");
    EXPECT_EQ(read(R"({"token":1})").token, "ExecCredential: token is not a string");
    EXPECT_EQ(read(R"({"token":"a\nb"})").token, "ExecCredential: the token has a line break");
    EXPECT_EQ(read(R"({"token":"a","expirationTimestamp":"soon"})").token,
              "ExecCredential: expirationTimestamp \"soon\" is no time");
}

TEST(ExecCredential, IsOfTheVersionThatWasAskedFor) {
    auto other = parse_exec_credential(answer(R"({"token":"t"})"), kExecApiVersions[1]);
    ASSERT_FALSE(other);
    EXPECT_EQ(other.error().message,
              "ExecCredential: apiVersion \"client.authentication.k8s.io/v1\" instead of "
              "client.authentication.k8s.io/v1beta1");
    EXPECT_FALSE(parse_exec_credential("not JSON", kExecApiVersions[0]));
    EXPECT_FALSE(parse_exec_credential(R"({"kind":"Pod"})", kExecApiVersions[0]));
    EXPECT_FALSE(
        parse_exec_credential(std::string(kExecCredentialBytesMax + 1, ' '), kExecApiVersions[0]));
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
    // In base64 nothing but digits, which YAML would take for a number.
    config.tls.ca_pem = "\xeb\xae\xba\xeb\xae\xba\xeb\xae\xba";
    back = parse_kubeconfig(format_kubeconfig(config, "skiff"), "/");
    ASSERT_TRUE(back) << format_as(back.error());
    EXPECT_EQ(back->tls, config.tls);
}

}  // namespace
}  // namespace skiff::kube
