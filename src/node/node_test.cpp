#include <gtest/gtest.h>

#include "node/agent.h"
#include "node/certificates.h"
#include "node/join.h"
#include "node/status.h"

namespace skiff::node {
namespace {

WallTime at(std::string_view text) {
    return *parse_rfc3339(text);
}

MachineFacts machine() {
    MachineFacts facts;
    facts.cpus = 2;
    facts.memory_total = Bytes{8ULL << 30};
    facts.memory_available = Bytes{4ULL << 30};
    facts.disk_total = Bytes{100ULL << 30};
    facts.disk_available = Bytes{50ULL << 30};
    facts.inodes_total = 1000;
    facts.inodes_available = 900;
    facts.image_disk_total = Bytes{100ULL << 30};
    facts.image_disk_available = Bytes{50ULL << 30};
    facts.image_inodes_total = 1000;
    facts.image_inodes_available = 900;
    facts.pids_max = 32768;
    facts.architecture = "amd64";
    facts.boot_id = "boot";
    return facts;
}

NodeSettings settings() {
    NodeSettings settings;
    settings.name = "n1";
    settings.ips = {"10.0.0.1", "fd00::1"};
    settings.eviction_hard = {{"memory.available", "100Mi"}, {"nodefs.available", "10%"}};
    return settings;
}

kube::NodeCondition condition(const kube::NodeStatus& status, std::string_view type) {
    for (const auto& each : status.conditions) {
        if (each.type == type) {
            return each;
        }
    }
    ADD_FAILURE() << "no condition " << type;
    return {};
}

TEST(NodeStatus, SaysWhatTheMachineHasAndWhatPodsMayUse) {
    auto config = settings();
    config.system_reserved["cpu"] = *kube::Quantity::parse("500m");
    config.kube_reserved["example.com/none"] = *kube::Quantity::parse("1");
    auto status = make_status(config, machine(), {}, {}, at("2026-01-01T00:00:00Z"));
    EXPECT_EQ(status.capacity.at("cpu").str(), "2");
    EXPECT_EQ(status.capacity.at("memory").str(), "8Gi");
    EXPECT_EQ(status.capacity.at("pods").str(), "110");
    EXPECT_EQ(status.allocatable.at("cpu").str(), "1500m");
    EXPECT_EQ(status.allocatable.at("memory").str(), "8092Mi");
    EXPECT_EQ(status.allocatable.at("ephemeral-storage").str(), "90Gi");
    EXPECT_FALSE(status.allocatable.contains("example.com/none"));
    ASSERT_EQ(status.addresses.size(), 3u);
    EXPECT_EQ(status.addresses[2].address, "n1");
    EXPECT_EQ(status.nodeInfo.operatingSystem, "linux");
    EXPECT_EQ(status.nodeInfo.containerRuntimeVersion, "skiff://" SKIFF_VERSION);
    EXPECT_EQ(status.conditions.back().type, "Ready");
    EXPECT_EQ(status.conditions.back().status, "True");
    EXPECT_TRUE(std::ranges::is_sorted(status.declaredFeatures));
    EXPECT_FALSE(status.declaredFeatures.empty());
}

TEST(NodeStatus, KeepsTransitionTimesAndForeignFieldsUntilSomethingFlips) {
    auto first = make_status(settings(), machine(), {}, {}, at("2026-01-01T00:00:00Z"));
    kube::NodeCondition foreign;
    foreign.type = "NetworkUnavailable";
    foreign.status = "False";
    first.conditions.insert(first.conditions.begin(), foreign);
    first.volumesInUse = {"v"};
    auto second = make_status(settings(), machine(), {}, first, at("2026-01-01T00:01:00Z"));
    EXPECT_EQ(condition(second, "Ready").lastTransitionTime,
              kube::Time(at("2026-01-01T00:00:00Z")));
    EXPECT_EQ(condition(second, "Ready").lastHeartbeatTime, kube::Time(at("2026-01-01T00:01:00Z")));
    EXPECT_EQ(second.volumesInUse, first.volumesInUse);
    EXPECT_EQ(second.conditions.front().type, "NetworkUnavailable");
    EXPECT_FALSE(differs_beyond_heartbeat(first, second));

    StatusInputs broken;
    broken.problems = {"runtime is down"};
    auto third = make_status(settings(), machine(), broken, second, at("2026-01-01T00:02:00Z"));
    EXPECT_TRUE(differs_beyond_heartbeat(second, third));
    EXPECT_EQ(condition(third, "Ready").status, "False");
    EXPECT_EQ(condition(third, "Ready").reason, "KubeletNotReady");
    EXPECT_EQ(condition(third, "Ready").message, "runtime is down");
    EXPECT_EQ(condition(third, "Ready").lastTransitionTime, kube::Time(at("2026-01-01T00:02:00Z")));
}

TEST(NodeStatus, ReportsThePressuresThatHold) {
    StatusInputs inputs;
    inputs.pressures = {"MemoryPressure", "DiskPressure"};
    auto status = make_status(settings(), machine(), inputs, {}, at("2026-01-01T00:00:00Z"));
    EXPECT_EQ(condition(status, "DiskPressure").status, "True");
    EXPECT_EQ(condition(status, "DiskPressure").reason, "KubeletHasDiskPressure");
    EXPECT_EQ(condition(status, "MemoryPressure").status, "True");
    EXPECT_EQ(condition(status, "PIDPressure").status, "False");
    EXPECT_EQ(condition(status, "PIDPressure").reason, "KubeletHasSufficientPID");
}

TEST(NodeStatus, ShowsTheLargestImagesOnly) {
    StatusInputs inputs;
    for (int i = 0; i < 60; ++i) {
        kube::ContainerImage image;
        image.names.assign(9, fmt::format("i{}", i));
        image.sizeBytes = i;
        inputs.images.push_back(image);
    }
    auto status = make_status(settings(), machine(), inputs, {}, at("2026-01-01T00:00:00Z"));
    ASSERT_EQ(status.images.size(), 50U);
    EXPECT_EQ(status.images[0].sizeBytes, 59);
    EXPECT_EQ(status.images[0].names.size(), kImageNamesMax);
    NodeSettings config = settings();
    for (auto [wanted, shown] : {std::pair(3, 3U), std::pair(0, 0U), std::pair(-1, 60U)}) {
        config.status_images_max = wanted;
        status = make_status(config, machine(), inputs, {}, at("2026-01-01T00:00:00Z"));
        EXPECT_EQ(status.images.size(), shown) << wanted;
    }
}

TEST(NodeStatus, IsNotReadyWithoutWhatEveryNodeHas) {
    MachineFacts facts = machine();
    facts.disk_total = Bytes{0};
    facts.cpus = 0;
    auto status = make_status(settings(), facts, {}, {}, at("2026-01-01T00:00:00Z"));
    EXPECT_EQ(condition(status, "Ready").status, "False");
    EXPECT_EQ(condition(status, "Ready").message,
              "missing node capacity for resources: cpu, ephemeral-storage");
}

TEST(NodeStatus, OffersEveryHandlerWithWhatItCan) {
    NodeSettings config = settings();
    config.runtime_handlers = {"", "wasmtime"};
    auto status = make_status(config, machine(), {}, {}, at("2026-01-01T00:00:00Z"));
    ASSERT_EQ(status.runtimeHandlers.size(), 2U);
    EXPECT_EQ(status.runtimeHandlers[1].name, "wasmtime");
    EXPECT_EQ(status.runtimeHandlers[0].features->userNamespaces, true);
    EXPECT_EQ(status.runtimeHandlers[0].features->recursiveReadOnlyMounts, true);
}

TEST(NodeLabels, AreThoseOfDesignAndCanBeOverridden) {
    auto config = settings();
    config.labels = {{"kubernetes.io/os", "linux"}, {"zone", "a"}};
    auto labels = node_labels(config);
    EXPECT_EQ(labels.at("kubernetes.io/hostname"), "n1");
    EXPECT_EQ(labels.at("kubernetes.io/arch"), "wasm32-wasi");
    EXPECT_EQ(labels.at("beta.kubernetes.io/os"), "linux");
    EXPECT_EQ(labels.at("zone"), "a");
    EXPECT_EQ(labels.at("type"), "krustlet");
}

TEST(KubeletVersion, IsNeverNewerThanTheServers) {
    EXPECT_EQ(kubelet_version_for("v1.37.2"), "v1.37.2");
    EXPECT_EQ(kubelet_version_for("v1.38.0"), "v1.37.2");
    EXPECT_EQ(kubelet_version_for("v1.37.0"), "v1.37.0");
    EXPECT_EQ(kubelet_version_for("v1.34.8+k3s1"), "v1.34.8");
    EXPECT_EQ(kubelet_version_for("v1.36.0-rc.1"), "v1.36.0");
    EXPECT_EQ(kubelet_version_for("unknown"), "v1.37.2");
}

TEST(Thresholds, AreQuantitiesOrPercentages) {
    EXPECT_EQ(threshold_of("10%", 1000), 100u);
    EXPECT_EQ(threshold_of("100Mi", 1), 100ULL << 20);
    EXPECT_EQ(threshold_of("101%", 1), std::nullopt);
    EXPECT_EQ(threshold_of("much", 1), std::nullopt);
}

TEST(Certificates, NameARequestByKeyAndPurpose) {
    auto key = *generate_key();
    auto other = *generate_key();
    std::vector<std::string> usages = {"digital signature", "client auth"};
    auto name = *certificate_request_name(key, "system:node:a", "system:nodes", usages);
    EXPECT_TRUE(name.starts_with("node-csr-")) << name;
    EXPECT_EQ(name.size(), 9u + 43u);
    EXPECT_EQ(name, *certificate_request_name(key, "system:node:a", "system:nodes", usages));
    EXPECT_NE(name, *certificate_request_name(key, "system:node:b", "system:nodes", usages));
    EXPECT_NE(name, *certificate_request_name(other, "system:node:a", "system:nodes", usages));
    EXPECT_FALSE(certificate_request_name("nonsense", "a", "b", usages));
}

TEST(Certificates, ARequestIsTheSameForTheSameKeySubjectAndNames) {
    auto key = *generate_key();
    RequestedSubject subject{"system:node:a", "system:nodes", {"a"}, {"10.0.0.1", "fd00::1"}};
    auto request = *make_certificate_request(key, subject);
    EXPECT_TRUE(is_same_request(request, *make_certificate_request(key, subject)));
    EXPECT_FALSE(is_same_request(request, *make_certificate_request(*generate_key(), subject)));
    RequestedSubject other = subject;
    other.ips = {"10.0.0.2"};
    EXPECT_FALSE(is_same_request(request, *make_certificate_request(key, other)));
    other = subject;
    other.common_name = "system:node:b";
    EXPECT_FALSE(is_same_request(request, *make_certificate_request(key, other)));
    EXPECT_FALSE(is_same_request(request, "nonsense"));
    other.dns_names = {"a,IP:10.0.0.9"};
    EXPECT_FALSE(make_certificate_request(key, other));
}

TEST(Certificates, AreRenewedByTheLifeTheyHaveFromWhenTheyCame) {
    CertificateFacts facts;
    facts.not_before = at("2026-01-01T00:00:00Z");
    facts.not_after = at("2026-01-01T10:00:00Z");
    EXPECT_EQ(renewal_time(facts, facts.not_before, 0.7), at("2026-01-01T07:00:00Z"));
    EXPECT_EQ(renewal_time(facts, facts.not_before, 0.9), at("2026-01-01T09:00:00Z"));
    // Dated back by the signer: what is left counts.
    EXPECT_EQ(renewal_time(facts, at("2026-01-01T08:00:00Z"), 0.75), at("2026-01-01T09:30:00Z"));
    // A file from another time.
    EXPECT_EQ(renewal_time(facts, at("2025-01-01T00:00:00Z"), 0.7), at("2026-01-01T07:00:00Z"));
    EXPECT_EQ(renewal_time(facts, at("2027-01-01T00:00:00Z"), 0.7), facts.not_after);
}

TEST(Certificates, SelfSignedOnesFitTheirKeyAndNameTheNode) {
    auto made = make_self_signed("n1", {"n1"}, {"10.0.0.1", "fd00::1"}, at("2026-01-01T00:00:00Z"));
    ASSERT_TRUE(made) << made.error().message;
    auto facts = read_certificate(made->certificate_pem);
    ASSERT_TRUE(facts);
    EXPECT_EQ(facts->common_name, "n1");
    EXPECT_EQ(facts->not_after, at("2027-01-01T00:00:00Z"));
    EXPECT_TRUE(key_fits(made->certificate_pem, made->key_pem));
    EXPECT_FALSE(key_fits(made->certificate_pem, *generate_key()));
    EXPECT_FALSE(make_self_signed("n", {"a,DNS:evil"}, {}, at("2026-01-01T00:00:00Z")));
    EXPECT_FALSE(make_self_signed("n", {}, {"1.2.3"}, at("2026-01-01T00:00:00Z")));
    auto hashes = public_key_hashes(made->certificate_pem + made->certificate_pem);
    ASSERT_TRUE(hashes);
    EXPECT_EQ(hashes->size(), 2u);
    EXPECT_EQ((*hashes)[0].size(), 7u + 64u);
    EXPECT_FALSE(public_key_hashes("none"));
}

TEST(Join, ChecksTheSignatureOfClusterInfo) {
    std::string header = base64url(R"({"alg":"HS256","kid":"abcdef"})");
    std::string content = "apiVersion: v1\n";
    std::string signature =
        hmac_sha256_base64url("0123456789abcdef", header + "." + base64url(content));
    std::string jws = header + ".." + signature;
    EXPECT_TRUE(is_signed_by_token(content, jws, "0123456789abcdef"));
    EXPECT_FALSE(is_signed_by_token(content + " ", jws, "0123456789abcdef"));
    EXPECT_FALSE(is_signed_by_token(content, jws, "fedcba9876543210"));
    EXPECT_FALSE(is_signed_by_token(content, "", "0123456789abcdef"));
    std::string none = base64url(R"({"alg":"none"})") + "..";
    EXPECT_FALSE(is_signed_by_token(content, none, "0123456789abcdef"));
}

TEST(PauseUntilReady, DoublesUpToThePauseOfAReadyNode) {
    using std::chrono::milliseconds;
    constexpr Duration kLongest = std::chrono::seconds(10);
    const int wanted[] = {200, 400, 800, 1600, 3200, 6400, 10000, 10000};
    for (int looks = 0; looks < 8; ++looks) {
        EXPECT_EQ(pause_until_ready(looks, kLongest), milliseconds(wanted[looks])) << looks;
    }
    EXPECT_EQ(pause_until_ready(1'000'000, kLongest), kLongest);
    EXPECT_EQ(pause_until_ready(0, milliseconds(50)), milliseconds(50));
}

}  // namespace
}  // namespace skiff::node
