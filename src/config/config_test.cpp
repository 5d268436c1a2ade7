#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "config/fields.h"

namespace skiff::config {
namespace {

constexpr std::string_view kKubelet =
    "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";
constexpr std::string_view kSkiff = "apiVersion: skiff.dev/v1alpha1\nkind: SkiffConfiguration\n";

Result<Loaded> parse(std::string text) {
    return parse_settings(text, "f.yaml", Settings{});
}

TEST(Config, ReadsBothDocuments) {
    auto loaded = parse(std::string(kKubelet) +
                        "maxPods: 250\nauthentication:\n  anonymous: {enabled: true}\n"
                        "containerLogMaxSize: 5Mi\n---\n" +
                        std::string(kSkiff) +
                        "registries:\n- host: r:5000\n  scheme: http\n  mirrors: [m:1]\n"
                        "nodeLabels: {zone: a}\n");
    ASSERT_TRUE(loaded) << loaded.error().message;
    const Settings& s = loaded->settings;
    EXPECT_EQ(s.max_pods, 250);
    EXPECT_TRUE(s.anonymous_auth);
    EXPECT_EQ(s.container_log_max_size, 5_MiB);
    ASSERT_EQ(s.registries.size(), 1u);
    EXPECT_EQ(s.registries[0].scheme, RegistrySetting::Scheme::http);
    EXPECT_EQ(s.node_labels.at("zone"), "a");
    EXPECT_TRUE(loaded->warnings.empty());
}

TEST(Config, EvictionAndDebuggingHandlersAreTheKubeletsUntilTheFileSaysOtherwise) {
    Settings s;
    EXPECT_TRUE(s.enable_debugging_handlers);
    std::map<std::string, std::string> kubelets = {{"memory.available", "100Mi"},
                                                   {"nodefs.available", "10%"},
                                                   {"nodefs.inodesFree", "5%"},
                                                   {"imagefs.available", "15%"},
                                                   {"imagefs.inodesFree", "5%"}};
    EXPECT_EQ(s.eviction_hard, kubelets);
    auto loaded = parse(std::string(kKubelet) +
                        "enableDebuggingHandlers: false\nevictionHard: {memory.available: 5%}\n");
    ASSERT_TRUE(loaded) << loaded.error().message;
    EXPECT_TRUE(loaded->warnings.empty());
    EXPECT_FALSE(loaded->settings.enable_debugging_handlers);
    EXPECT_EQ(loaded->settings.eviction_hard.size(), 1u);
}

TEST(Config, AnUnknownSkiffFieldIsAnErrorThatNamesIt) {
    auto loaded = parse(std::string(kSkiff) + "nodeNaem: x\n");
    ASSERT_FALSE(loaded);
    EXPECT_EQ(loaded.error().message, "f.yaml:3: SkiffConfiguration has no field \"nodeNaem\"");
}

TEST(Config, AnUnknownOrUnusedKubeletFieldIsAWarning) {
    auto loaded = parse(std::string(kKubelet) + "oomScoreAdj: -999\nbogus: 1\n");
    ASSERT_TRUE(loaded);
    ASSERT_EQ(loaded->warnings.size(), 2u);
    EXPECT_EQ(loaded->warnings[0], "f.yaml:3: oomScoreAdj has no effect on a Skiff node");
    EXPECT_EQ(loaded->warnings[1], "f.yaml:4: bogus is not a field of KubeletConfiguration");
}

TEST(Config, ABadValueNamesFieldValueAndWhatIsAllowed) {
    EXPECT_EQ(parse(std::string(kKubelet) + "maxPods: many\n").error().message,
              "f.yaml:3: maxPods: \"many\" is not a whole number");
    EXPECT_EQ(parse(std::string(kKubelet) + "port: 70000\n").error().message,
              "f.yaml:3: port: \"70000\" is not in 1–65535");
    EXPECT_EQ(parse(std::string(kSkiff) + "rootDir: here\n").error().message,
              "f.yaml:3: rootDir: \"here\" is not an absolute path");
    EXPECT_EQ(
        parse(std::string(kSkiff) + "registries: [{host: r, shceme: http}]\n").error().message,
        "f.yaml:3: registries: \"[{host: r, shceme: http}]\" has the unknown key \"shceme\"; "
        "allowed: host, scheme, verify, caFile, mirrors");
}

TEST(Config, RefusesMalformedAndForeignDocuments) {
    EXPECT_FALSE(parse("a: [1"));
    EXPECT_FALSE(parse("kind: Pod\napiVersion: v1\n"));
    EXPECT_FALSE(parse(std::string(kSkiff) + "---\n" + std::string(kSkiff)));
    EXPECT_FALSE(parse(std::string(40, '[')));
    EXPECT_FALSE(parse(std::string(2 << 20, ' ')));
}

TEST(Config, FlagsOverrideWithTheKubeletsNames) {
    Settings s;
    auto set = [&](std::string_view flag, std::string_view text) {
        const Field* field = find_flag(flag);
        EXPECT_NE(field, nullptr) << flag;
        return set_flag(s, *field, text);
    };
    EXPECT_TRUE(set("max-pods", "7"));
    EXPECT_TRUE(set("node-labels", "a=b,c=d"));
    EXPECT_TRUE(set("register-with-taints", "k=v:NoExecute,x:NoSchedule"));
    EXPECT_EQ(s.max_pods, 7);
    EXPECT_EQ(s.node_labels.at("c"), "d");
    ASSERT_EQ(s.register_with_taints.size(), 2u);
    EXPECT_EQ(s.register_with_taints[1].key, "x");
    EXPECT_TRUE(set("register-with-taints", ""));
    EXPECT_TRUE(s.register_with_taints.empty());
    EXPECT_EQ(set("max-pods", "no").error().message, "--max-pods: \"no\" is not a whole number");
}

TEST(Config, ResolveChecksNamesAndFillsPlaces) {
    Settings s;
    s.node_name = "Bad_Name";
    EXPECT_FALSE(resolve(s));
    s.node_name = "edge-1.example";
    ASSERT_TRUE(resolve(s));
    EXPECT_EQ(s.cert_dir, "/var/lib/skiff/pki");
    s.tls_cert_file = "/x";
    EXPECT_FALSE(resolve(s));
}

TEST(Config, FurtherApiServersAreHttpsAddresses) {
    Settings s;
    s.node_name = "n";
    s.api_servers = {"https://10.0.0.2:6443", "https://[fd00::1]:6443/prefix"};
    EXPECT_TRUE(resolve(s));
    for (const char* bad :
         {"10.0.0.2:6443", "http://a:1", "https://", "https://a:1/", "https://a b"}) {
        s.api_servers = {bad};
        auto refused = resolve(s);
        ASSERT_FALSE(refused) << bad;
        EXPECT_EQ(
            refused.error().message,
            fmt::format("apiServers: \"{}\" is not an address such as https://10.0.0.1:6443", bad));
    }
    s.api_servers.assign(17, "https://a:1");
    EXPECT_FALSE(resolve(s));
}

TEST(Config, CertificatesRotateUnlessTheFileSaysOtherwise) {
    EXPECT_TRUE(Settings().rotate_certificates);
    EXPECT_FALSE(Settings().server_tls_bootstrap);
    auto loaded =
        parse(std::string(kKubelet) + "rotateCertificates: false\nserverTLSBootstrap: true\n");
    ASSERT_TRUE(loaded) << loaded.error().message;
    EXPECT_TRUE(loaded->warnings.empty());
    EXPECT_FALSE(loaded->settings.rotate_certificates);
    EXPECT_TRUE(loaded->settings.server_tls_bootstrap);
}

TEST(Config, TheReferencePageIsCurrent) {
    std::ifstream file(SKIFF_SOURCE_DIR "/docs/config.md");
    std::stringstream text;
    text << file.rdbuf();
    // To renew it: `skiff config reference > docs/config.md`.
    EXPECT_EQ(text.str(), render_reference());
}

}  // namespace
}  // namespace skiff::config
