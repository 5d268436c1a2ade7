#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "base/paths_testing.h"
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
    EXPECT_EQ(
        loaded->warnings[0],
        "f.yaml:3: oomScoreAdj is accepted, it has no meaning here: the service's unit sets it");
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
    const bool beside_a_kubelet = std::filesystem::exists("/var/lib/kubelet/config.yaml");
    EXPECT_EQ(s.pod_log_dir, beside_a_kubelet ? "/var/log/skiff/pods" : "/var/log/pods");
    EXPECT_EQ(s.container_log_dir, "/var/log/containers");
    Settings given;
    given.pod_log_dir = "/logs/pods";
    ASSERT_TRUE(resolve(given));
    EXPECT_EQ(given.container_log_dir, "/logs/containers");
    s.tls_cert_file = "/x";
    EXPECT_FALSE(resolve(s));
}

TEST(Config, TheNetworkPluginsPlacesAreAbsolute) {
    const auto refused = [](const auto& change) {
        Settings s;
        s.node_name = "n";
        change(s);
        auto resolved = resolve(s);
        EXPECT_FALSE(resolved);
        return resolved ? std::string() : resolved.error().message;
    };
    EXPECT_EQ(refused([](Settings& s) { s.pod_network = "bridge"; }),
              "podNetwork: \"bridge\" is not known; allowed: auto, cni, routed, node");
    EXPECT_EQ(refused([](Settings& s) { s.cni_conf_dir = "net.d"; }),
              "cniConfDir: \"net.d\" is not an absolute path");
    EXPECT_EQ(refused([](Settings& s) { s.cni_bin_dirs = {"/a:/b"}; }),
              "cniBinDir: \"/a:/b\" is not an absolute path without a colon");
    EXPECT_EQ(refused([](Settings& s) { s.cni_bin_dirs.clear(); }),
              "cniBinDir: 0 folders; allowed: 1–16");
    EXPECT_EQ(refused([](Settings& s) { s.cni_bin_dirs.assign(17, "/a"); }),
              "cniBinDir: 17 folders; allowed: 1–16");
    EXPECT_EQ(refused([](Settings& s) { s.runtime_request_timeout = {}; }),
              "runtimeRequestTimeout: is not between 1s and 1h");
    Settings s;
    s.node_name = "n";
    EXPECT_TRUE(set_flag(s, *find_flag("cni-bin-dir"), "/opt/cni/bin,/usr/lib/cni"));
    EXPECT_EQ(s.cni_bin_dirs, (std::vector<std::string>{"/opt/cni/bin", "/usr/lib/cni"}));
    EXPECT_TRUE(resolve(s));
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

TEST(Config, PodRoutesAreOneOfFour) {
    Settings s;
    s.node_name = "n";
    EXPECT_EQ(s.pod_routes, "auto");
    for (const char* good : {"auto", "vxlan", "host-gw", "none"}) {
        s.pod_routes = good;
        EXPECT_TRUE(resolve(s)) << good;
    }
    s.pod_routes = "wireguard";
    auto refused = resolve(s);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message,
              "podRoutes: \"wireguard\" is not known; allowed: auto, vxlan, host-gw, none");
}

TEST(Config, ALogsPaceIsNoneOrOneThatPodsCanLiveWith) {
    Settings s;
    s.node_name = "n";
    EXPECT_EQ(s.container_log_max_per_second, 8_MiB);
    for (const Bytes good : {Bytes{}, 4_KiB, 1_GiB}) {
        s.container_log_max_per_second = good;
        EXPECT_TRUE(resolve(s)) << good.value;
    }
    s.container_log_max_per_second = 1_KiB;
    auto refused = resolve(s);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message,
              "containerLogMaxPerSecond: 1.0 KiB is less than 4Ki; 0 means no limit");
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

TEST(Config, ADropInFileIsMergedOverTheOthers) {
    std::string kubelet(kKubelet);
    std::vector<Layer> layers = {
        {kubelet + "maxPods: 10\nclusterDNS: [a, b]\nsystemReserved: {cpu: 1, memory: 1Gi}\n"
                   "port: 1234\nauthentication: {x509: {clientCAFile: /ca}}\n",
         "config.yaml"},
        {kubelet +
             "clusterDNS: [c]\nsystemReserved: {cpu: null, pid: '5'}\nport: null\n"
             "authentication: {anonymous: {enabled: true}}\n---\n" +
             std::string(kSkiff) + "nodeLabels: {zone: a}\n",
         "10.conf"},
        {kubelet + "maxPods: 20\nbogus: 1\n", "20.conf"}};
    auto loaded = parse_layers(layers, Settings{});
    ASSERT_TRUE(loaded) << loaded.error().message;
    const Settings& s = loaded->settings;
    EXPECT_EQ(s.max_pods, 20);
    EXPECT_EQ(s.cluster_dns, std::vector<std::string>{"c"}) << "a list replaces";
    std::map<std::string, std::string> reserved = {{"memory", "1Gi"}, {"pid", "5"}};
    EXPECT_EQ(s.system_reserved, reserved) << "a map is merged, null takes away";
    EXPECT_EQ(s.port, 10250);
    EXPECT_EQ(s.client_ca_file, "/ca");
    EXPECT_TRUE(s.anonymous_auth);
    EXPECT_EQ(s.node_labels.at("zone"), "a");
    EXPECT_EQ(loaded->warnings,
              std::vector<std::string>{"20.conf:4: bogus is not a field of KubeletConfiguration"});
}

TEST(Config, AnErrorNamesItsDropInFile) {
    std::vector<Layer> layers = {{std::string(kKubelet) + "maxPods: 10\n", "config.yaml"},
                                 {std::string(kKubelet) + "maxPods: x\n", "10.conf"}};
    EXPECT_EQ(parse_layers(layers, Settings{}).error().message,
              "10.conf:3: maxPods: \"x\" is not a whole number");
}

TEST(Config, ADropInFolderIsReadInTheOrderOfNames) {
    std::string pattern = ::testing::TempDir() + "skiff-config-XXXXXX";
    std::filesystem::path folder = ::mkdtemp(pattern.data());
    std::filesystem::create_directory(folder / "05.d");
    auto write = [&](std::string_view name, int pods) {
        std::ofstream(folder / name) << kKubelet << "maxPods: " << pods << "\n";
    };
    write("20-b.conf", 2);
    write("10-a.conf", 1);
    write("05.d/99.conf", 3);
    write("30-c.yaml", 4);
    ConfigFiles files{folder / "none.yaml", Missing::is_fine, folder};
    auto loaded = load_settings(files, Settings{});
    ASSERT_TRUE(loaded) << loaded.error().message;
    EXPECT_EQ(loaded->settings.max_pods, 2);
    for (std::size_t i = 0; i <= kDropInFilesMax; ++i) {
        write(fmt::format("x{}.conf", i), 1);
    }
    EXPECT_FALSE(load_settings(files, Settings{}));
    std::filesystem::remove_all(folder);
    EXPECT_FALSE(load_settings(files, Settings{})) << "a folder that was named has to be there";
}

TEST(Config, AMapIsBounded) {
    std::string text(kKubelet);
    for (int i = 0; i < 2000; ++i) {
        text += fmt::format("k{}: 1\n", i);
    }
    EXPECT_FALSE(parse(text));
}

TEST(Config, KnowsEveryFieldOfAKubeletOnceAndNoOther) {
    // The JSON names of KubeletConfiguration v1beta1 in k8s.io/kubelet v0.37.2.
    std::ifstream file(tests_source_folder() / "src/config/kubelet_fields.txt");
    std::set<std::string> all;
    for (std::string name; std::getline(file, name);) {
        all.insert(name);
    }
    ASSERT_GT(all.size(), 100U);
    std::set<std::string> known;
    std::set<std::string_view> names;
    auto top = [](std::string_view name) { return std::string(name.substr(0, name.find('.'))); };
    for (const Field& field : fields()) {
        if (field.document == Document::kubelet) {
            EXPECT_TRUE(names.insert(field.name).second) << field.name;
            known.insert(top(field.name));
        }
    }
    for (const UnusedField& field : unused_fields()) {
        EXPECT_TRUE(names.insert(field.name).second) << field.name;
        known.insert(top(field.name));
    }
    EXPECT_EQ(known, all);
}

TEST(Config, ConfigzShowsWhatHoldsAndNoSecret) {
    auto loaded = parse(std::string(kKubelet) +
                        "maxPods: 250\noomScoreAdj: 5\nstaticPodURL: https://x/\n"
                        "authentication:\n  anonymous: {enabled: true}\n"
                        "staticPodURLHeader: {X-Token: [hunter2]}\n");
    ASSERT_TRUE(loaded) << loaded.error().message;
    std::string text = render_configz(loaded->settings);
    EXPECT_EQ(text.find("hunter2"), std::string::npos);
    EXPECT_EQ(render_settings(loaded->settings).find("hunter2"), std::string::npos);
    for (std::string_view part :
         {R"({"kubeletconfig":{"kind":"KubeletConfiguration")", R"("maxPods":250)",
          R"("oomScoreAdj":-999)", R"("anonymous":{"enabled":true})", R"("syncFrequency":"1m0s")",
          R"("staticPodURLHeader":{"X-Token":["<masked>"]})", R"("containerLogMaxSize":"10Mi")",
          R"("skiffconfig":{"kind":"SkiffConfiguration")",
          R"("registerWithTaints":[{"key":"kubernetes.io/arch")"}) {
        EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
    }
    auto bad = parse(std::string(kKubelet) + "staticPodURLHeader: {X-Token: hunter2}\n");
    ASSERT_FALSE(bad);
    EXPECT_EQ(bad.error().message.find("hunter2"), std::string::npos);
}

TEST(Config, HeadersOfTheFlagAreThoseOfAKubelet) {
    Settings s;
    ASSERT_TRUE(set_flag(s, *find_flag("manifest-url-header"), "a:x,a:y,b:z:1"));
    EXPECT_EQ(s.static_pod_url_header.fields.at("a"), (std::vector<std::string>{"x", "y"}));
    EXPECT_EQ(s.static_pod_url_header.fields.at("b"), std::vector<std::string>{"z:1"});
    EXPECT_FALSE(set_flag(s, *find_flag("manifest-url-header"), "a:x\r\nHost: y"));
}

TEST(Config, ResolveJudgesLoggingAndStaticPods) {
    Settings s;
    s.logging_verbosity = 4;
    s.file_check_frequency = Duration::zero();
    s.eviction_hard = {{"memory.available", "5%"}};
    s.merge_default_eviction_settings = true;
    s.pods_per_core = 1;
    ASSERT_TRUE(resolve(s));
    EXPECT_EQ(s.log_level, "debug");
    EXPECT_EQ(s.file_check_frequency, std::chrono::seconds(20));
    EXPECT_EQ(s.eviction_hard.at("memory.available"), "5%");
    EXPECT_EQ(s.eviction_hard.at("nodefs.available"), "10%");
    EXPECT_LE(s.max_pods, std::max(1U, std::thread::hardware_concurrency()));
    for (auto spoil : std::vector<std::function<void(Settings&)>>{
             [](Settings& its) { its.logging_format = "xml"; },
             [](Settings& its) { its.log_level = "loud"; },
             [](Settings& its) { its.static_pod_url = "file:///etc/passwd"; }}) {
        Settings bad;
        spoil(bad);
        EXPECT_FALSE(resolve(bad));
    }
}

TEST(Config, TheReferencePageIsCurrent) {
    std::ifstream file(tests_source_folder() / "docs/config.md");
    std::stringstream text;
    text << file.rdbuf();
    // To renew it: `skiff config reference > docs/config.md`.
    EXPECT_EQ(text.str(), render_reference());
}

}  // namespace
}  // namespace skiff::config
