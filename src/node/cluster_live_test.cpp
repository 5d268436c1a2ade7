// A node's whole acquaintance with a real API server: joining, certificate, registration, lease,
// status, events, objects, tokens, patches. Needs the environment of `tools/cluster up`
// (build/cluster/env): KUBECONFIG, SERVER, BOOTSTRAP_TOKEN, CA_CERT_HASH.
#include <gtest/gtest.h>

#include <cstdlib>

#include "kube/defaults.h"
#include "kube/patch.h"
#include "node/agent.h"
#include "node/api_objects.h"
#include "node/bootstrap.h"
#include "node/join.h"
#include "os/file.h"

namespace skiff::node {
namespace {

using async::Task;

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
}

class ClusterTest : public testing::Test {
public:
    void SetUp() override {
        if (environment("BOOTSTRAP_TOKEN").empty() || environment("KUBECONFIG").empty()) {
            GTEST_SKIP() << "no cluster: run tools/cluster up and export build/cluster/env";
        }
        char folder[] = "/tmp/skiff-node-XXXXXX";
        root = mkdtemp(folder);
        settings.name = "live-" + random.hex(4);
        settings.ips = {"192.0.2.7"};
        settings.root_dir = root;
        settings.cert_dir = root / "pki";
        settings.kubeconfig = root / "kubeconfig";
        settings.bootstrap_kubeconfig = root / "bootstrap-kubeconfig";
        kube::Taint taint;
        taint.key = "kubernetes.io/arch";
        taint.value = "wasm32-wasi";
        taint.effect = "NoSchedule";
        settings.taints = {taint};
    }
    void TearDown() override {
        if (!root.empty()) {
            (void)os::remove_tree(root);
        }
    }
    template <typename T>
    Result<T> run(Task<Result<T>> task) {
        auto deadline = clock.steady_now() + std::chrono::seconds(60);
        return async::run_to_end(reactor, async::with_deadline(std::move(task), deadline, "test"));
    }
    Task<Result<kube::ClientConfig>> join_cluster() {
        JoinRequest request;
        request.server = environment("SERVER");
        request.token = environment("BOOTSTRAP_TOKEN");
        request.ca_cert_hashes = {environment("CA_CERT_HASH")};
        request.bootstrap_kubeconfig = settings.bootstrap_kubeconfig;
        auto joined = join(std::move(request), clock);
        SKIFF_CO_CHECK(co_await std::move(joined));
        co_return co_await ensure_identity(settings, clock);
    }

    SystemClock clock;
    SystemRandom random;
    async::Reactor reactor;
    std::filesystem::path root;
    NodeSettings settings;
};

kube::Pod bound_pod(const std::string& node, const std::string& suffix) {
    auto pod = kube::from_json_strict<kube::Pod>(fmt::format(
        R"({{"metadata":{{"name":"live-{0}","namespace":"default"}},"spec":{{"nodeName":"{1}",)"
        R"("automountServiceAccountToken":false,"containers":[{{"name":"c","image":"x:1",)"
        R"("ports":[{{"containerPort":80}}],"env":[{{"name":"K","valueFrom":{{"configMapKeyRef":)"
        R"({{"name":"live-{0}","key":"k"}}}}}},{{"name":"N","valueFrom":{{"fieldRef":)"
        R"({{"fieldPath":"metadata.name"}}}}}}],"resources":{{"limits":{{"cpu":"0.5"}}}},)"
        R"("livenessProbe":{{"httpGet":{{"port":80}}}}}}],"volumes":[{{"name":"e"}},)"
        R"({{"name":"t","projected":{{"sources":[{{"serviceAccountToken":{{"path":"token"}}}}]}}}}]}}}})",
        suffix, node));
    return *pod;
}

// What admission plugins and the API server add beyond defaulting.
kube::PodSpec without_admission(kube::PodSpec spec) {
    spec.priority.reset();
    spec.preemptionPolicy.reset();
    std::erase_if(spec.tolerations, [](const kube::Toleration& toleration) {
        return toleration.tolerationSeconds.has_value();
    });
    spec.serviceAccountName.clear();
    spec.serviceAccount.clear();
    return spec;
}

TEST_F(ClusterTest, JoinsRegistersAndIsReady) {
    auto scenario = [](ClusterTest* self, auto identity) -> Task<Result<kube::Node>> {
        SKIFF_CO_TRY(auto config, co_await std::move(identity));
        auto executor = co_await async::current_executor();
        kube::ApiClient client(executor, self->clock, config);
        EventRecorder events(client, self->clock, self->random, self->settings.name);
        NodeAgent agent(executor, client, self->clock, self->random, events, self->settings,
                        StatusSources());
        async::Scope scope(executor);
        scope.spawn("events", events.run());
        agent.start();
        auto deadline = self->clock.steady_now() + std::chrono::seconds(30);
        auto registered = co_await agent.wait_registered(deadline);
        kube::Node seen;
        while (registered && self->clock.steady_now() < deadline) {
            bool ready = agent.node() != nullptr && agent.heartbeat_is_fresh() &&
                         events.waiting() == 0 && !agent.node()->status.conditions.empty() &&
                         agent.node()->status.conditions.back().status == "True";
            if (ready) {
                seen = *agent.node();
                break;
            }
            (void)co_await async::sleep_for(std::chrono::milliseconds(50));
        }
        co_await agent.stop();
        co_await scope.stop();
        if (!registered) {
            co_return fail(std::move(registered.error()));
        }
        co_return seen;
    };
    auto node = run(scenario(this, join_cluster()));
    ASSERT_TRUE(node) << format_as(node.error());
    EXPECT_EQ(node->metadata.name, settings.name);
    EXPECT_EQ(node->metadata.labels.at("kubernetes.io/arch"), "wasm32-wasi");
    EXPECT_EQ(node->status.nodeInfo.containerRuntimeVersion, "skiff://" SKIFF_VERSION);
    EXPECT_EQ(node->status.conditions.back().type, "Ready");
    bool tainted = std::any_of(node->spec.taints.begin(), node->spec.taints.end(),
                               [](const auto& taint) { return taint.value == "wasm32-wasi"; });
    EXPECT_TRUE(tainted);

    auto admin = kube::load_kubeconfig(environment("KUBECONFIG"));
    ASSERT_TRUE(admin);
    kube::ApiClient client(reactor.executor(), clock, *admin);
    auto lease = run(client.get<kube::Lease>("kube-node-lease", settings.name));
    ASSERT_TRUE(lease) << format_as(lease.error());
    EXPECT_EQ(lease->spec.holderIdentity, settings.name);
    ASSERT_EQ(lease->metadata.ownerReferences.size(), 1u);
    EXPECT_EQ(lease->metadata.ownerReferences[0].uid, node->metadata.uid);
    auto events = run(client.list<kube::Event>(
        "default", "involvedObject.kind=Node,involvedObject.name=" + settings.name));
    ASSERT_TRUE(events) << format_as(events.error());
    std::set<std::string> reasons;
    for (const auto& event : events->items) {
        reasons.insert(event.reason);
    }
    EXPECT_TRUE(reasons.contains("Starting"));
    EXPECT_TRUE(reasons.contains("NodeReady"));
    EXPECT_TRUE(run(client.remove<kube::Node>("", settings.name, node->metadata.uid, 0)));
}

TEST_F(ClusterTest, KeepsItsIdentityAndRefusesAWrongCluster) {
    auto first = run(join_cluster());
    ASSERT_TRUE(first) << format_as(first.error());
    auto again = run(ensure_identity(settings, clock));
    ASSERT_TRUE(again) << format_as(again.error());
    EXPECT_EQ(again->tls.client_certificate_file,
              (settings.cert_dir / "kubelet-client-current.pem").string());
    JoinRequest wrong;
    wrong.server = environment("SERVER");
    wrong.token = environment("BOOTSTRAP_TOKEN");
    wrong.ca_cert_hashes = {"sha256:" + std::string(64, '0')};
    wrong.bootstrap_kubeconfig = settings.bootstrap_kubeconfig;
    auto refused = run(join(wrong, clock));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::denied);
    wrong.ca_cert_hashes = {environment("CA_CERT_HASH")};
    wrong.token = "aaaaaa.bbbbbbbbbbbbbbbb";
    refused = run(join(wrong, clock));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::invalid);
}

TEST_F(ClusterTest, ReadsObjectsTokensAndPatchesTheStatusOfItsPods) {
    auto admin_config = kube::load_kubeconfig(environment("KUBECONFIG"));
    ASSERT_TRUE(admin_config);
    auto scenario = [](ClusterTest* self, auto identity,
                       kube::ClientConfig admins) -> Task<Result<std::string>> {
        SKIFF_CO_TRY(auto config, co_await std::move(identity));
        auto executor = co_await async::current_executor();
        kube::ApiClient admin(executor, self->clock, admins);
        kube::ApiClient client(executor, self->clock, config);
        kube::Node node = make_node(self->settings, kube::NodeStatus());
        SKIFF_CO_TRY(auto registered, co_await client.create(node));
        std::string suffix = self->random.hex(4);
        kube::ConfigMap map;
        map.metadata.name = "live-" + suffix;
        map.metadata.namespace_ = "default";
        map.data["k"] = "v";
        SKIFF_CO_TRY(auto made, co_await admin.create(map));
        kube::Pod wanted = bound_pod(self->settings.name, suffix);
        SKIFF_CO_TRY(auto pod, co_await admin.create(wanted));
        kube::apply_defaults(wanted);
        EXPECT_EQ(kube::to_json(without_admission(pod.spec)),
                  kube::to_json(without_admission(wanted.spec)));
        EXPECT_EQ(pod.status.qosClass, wanted.status.qosClass);

        async::BlockingPool pool(self->reactor, 1, 8);
        EventRecorder events(client, self->clock, self->random, self->settings.name);
        ApiObjects objects(
            {executor, client, self->clock, self->random, pool, events, self->settings.name});
        objects.start();
        auto seen = co_await objects.config_map(pod, "live-" + suffix);
        EXPECT_TRUE(seen) << (seen ? "" : format_as(seen.error()));
        EXPECT_TRUE(seen && (*seen)->data.at("k") == "v");
        auto token = co_await objects.service_account_token(pod, "", 3600);
        EXPECT_TRUE(token) << (token ? "" : format_as(token.error()));
        auto handler = co_await objects.runtime_handler("no-such-class");
        EXPECT_TRUE(!handler && handler.error().code == Code::not_found);
        objects.release(PodUid(pod.metadata.uid));
        co_await objects.stop();

        kube::PodStatus status = pod.status;
        status.phase = "Failed";
        status.reason = "Live";
        auto patch = kube::pod_status_patch(pod, status);
        std::string name = pod.metadata.name;
        auto patched = co_await client.patch<kube::Pod>("default", name, "status", *patch,
                                                        kube::kStrategicMergePatch);
        EXPECT_TRUE(patched && patched->status.phase == "Failed")
            << (patched ? "" : format_as(patched.error()));
        auto wrong_uid = co_await client.remove<kube::Pod>("default", name, "other", 0);
        EXPECT_TRUE(!wrong_uid && wrong_uid.error().code == Code::conflict);
        auto removed = co_await client.remove<kube::Pod>("default", name, pod.metadata.uid, 0);
        EXPECT_TRUE(removed) << (removed ? "" : format_as(removed.error()));
        (void)co_await admin.remove<kube::ConfigMap>("default", "live-" + suffix, made.metadata.uid,
                                                     0);
        (void)co_await admin.remove<kube::Node>("", self->settings.name, registered.metadata.uid,
                                                0);
        co_return name;
    };
    auto done = run(scenario(this, join_cluster(), *admin_config));
    ASSERT_TRUE(done) << format_as(done.error());
}

}  // namespace
}  // namespace skiff::node
