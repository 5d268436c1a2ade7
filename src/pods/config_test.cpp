// The pure parts around a container's start: admission, environment, command, ids.
#include <gtest/gtest.h>

#include "async/scope.h"
#include "pods/container_config.h"
#include "pods/environment.h"
#include "pods/fakes.h"
#include "pods/unsupported.h"

namespace skiff::pods {
namespace {

using fakes::make_pod;
using Strings = std::vector<std::string>;

// --- $(VAR) -------------------------------------------------------------------------------------

struct ExpandRow {
    const char* text;
    const char* expected;
};
class Expand : public ::testing::TestWithParam<ExpandRow> {};

TEST_P(Expand, FollowsTheTable) {
    Variables variables = {{"A", "1"}, {"EMPTY", ""}};
    EXPECT_EQ(expand(GetParam().text, variables), GetParam().expected);
}

INSTANTIATE_TEST_SUITE_P(Texts, Expand,
                         ::testing::Values(ExpandRow{"$(A)", "1"}, ExpandRow{"x$(A)y$(A)", "x1y1"},
                                           ExpandRow{"$$(A)", "$(A)"}, ExpandRow{"$$$(A)", "$1"},
                                           ExpandRow{"$(B)", "$(B)"}, ExpandRow{"$A", "$A"},
                                           ExpandRow{"$(A", "$(A"}, ExpandRow{"$", "$"},
                                           ExpandRow{"$$", "$"}, ExpandRow{"$(EMPTY)", ""},
                                           ExpandRow{"$()", "$()"}, ExpandRow{"a$", "a$"}));

TEST(ExpandSubPath, RefusesWhatLeadsOut) {
    Variables variables = {{"OK", "logs"}, {"UP", "../x"}, {"ROOT", "/etc"}};
    EXPECT_EQ(*expand_sub_path("a/$(OK)", variables), "a/logs");
    for (const char* text : {"$(UP)", "$(ROOT)", "a/$(MISSING)", "a/$()", "a/../b"}) {
        auto path = expand_sub_path(text, variables);
        ASSERT_FALSE(path) << text;
        EXPECT_EQ(path.error().reason, "CreateContainerConfigError");
    }
}

// --- environment --------------------------------------------------------------------------------

class EnvironmentOf : public ::testing::Test {
protected:
    Result<Environment> resolve(Strings image_env = {}) {
        auto shared = std::make_shared<const kube::Pod>(pod);
        EnvironmentSources sources{objects, volumes, mounted};
        return async::run_to_end(reactor,
                                 resolve_environment(std::move(sources), shared, "main", facts,
                                                     std::move(image_env), "host-1"));
    }
    kube::FileKeySelector& set_file_key(const std::string& name) {
        kube::EnvVar variable;
        variable.name = name;
        auto& ref = variable.valueFrom.emplace().fileKeyRef.emplace();
        ref.volumeName = "made";
        ref.path = "dir/vars";
        ref.key = name;
        pod.spec.containers[0].env.push_back(variable);
        return *pod.spec.containers[0].env.back().valueFrom->fileKeyRef;
    }
    void set(const std::string& name, const std::string& value) {
        kube::EnvVar variable;
        variable.name = name;
        variable.value = value;
        pod.spec.containers[0].env.push_back(variable);
    }
    void set_field(const std::string& name, const std::string& path) {
        kube::EnvVar variable;
        variable.name = name;
        variable.valueFrom.emplace();
        variable.valueFrom->fieldRef.emplace();
        variable.valueFrom->fieldRef->fieldPath = path;
        pod.spec.containers[0].env.push_back(variable);
    }
    void add_config_map(const std::string& name, const std::string& key, const std::string& value) {
        auto map = std::make_shared<kube::ConfigMap>();
        map->data[key] = value;
        objects.config_maps[name] = map;
    }

    async::Reactor reactor;
    fakes::ApiObjects objects;
    fakes::VolumeSets volumes;
    std::map<std::string, MountedVolume> mounted;
    kube::Pod pod = make_pod("web");
    PodFacts facts;
};

// Contract row 68.
TEST_F(EnvironmentOf, ReadsFilesThatAContainerBeforeItWrote) {
    set_file_key("ONE");
    auto nowhere = resolve();
    ASSERT_FALSE(nowhere);
    EXPECT_EQ(nowhere.error().code, Code::invalid);
    mounted["made"].path = "/volumes/made";
    auto absent = resolve();
    ASSERT_FALSE(absent);
    EXPECT_EQ(absent.error().reason, "CreateContainerConfigError");
    volumes.files["/volumes/made/dir/vars"] = "ONE='1'\nTWO='2'\n";
    EXPECT_EQ(resolve()->declared.at("ONE"), "1");
    set_file_key("THREE");
    auto missing = resolve();
    ASSERT_FALSE(missing);
    EXPECT_NE(missing.error().message.find("\"THREE\" not found in file dir/vars"),
              std::string::npos);
    pod.spec.containers[0].env.back().valueFrom->fileKeyRef->optional = true;
    EXPECT_FALSE(resolve()->declared.contains("THREE"));
    volumes.files["/volumes/made/dir/vars"] = "ONE=1\n";
    auto wrong = resolve();
    ASSERT_FALSE(wrong);
    EXPECT_NE(wrong.error().message.find("line 1"), std::string::npos);
    volumes.files.clear();
    pod.spec.containers[0].env.erase(pod.spec.containers[0].env.begin());
    EXPECT_TRUE(resolve()) << "a file that is optional may be absent";
}

TEST_F(EnvironmentOf, OrdersImageThenEnvFromThenEnv) {
    add_config_map("settings", "COLOUR", "red");
    kube::EnvFromSource source;
    source.prefix = "P_";
    source.configMapRef = kube::ConfigMapEnvSource{"settings", {}};
    pod.spec.containers[0].envFrom.push_back(source);
    set("MORE", "$(P_COLOUR)-$(LATER)");
    set("LATER", "$(MORE)");
    set("PATH", "/own");
    auto environment = resolve({"PATH=/image", "KEEP=1"});
    ASSERT_TRUE(environment);
    EXPECT_EQ(environment->variables,
              (Strings{"PATH=/own", "KEEP=1", "P_COLOUR=red", "MORE=red-$(LATER)",
                       "LATER=red-$(LATER)", "HOSTNAME=host-1"}));
}

TEST_F(EnvironmentOf, KnowsTheFieldsOfThePod) {
    pod.metadata.labels["app.kubernetes.io/name"] = "shop";
    facts.node_name = "node-1";
    facts.pod_ips = {"10.0.0.7", "fd00::7"};
    facts.host_ips = {"192.168.1.5"};
    set_field("A", "metadata.labels['app.kubernetes.io/name']");
    set_field("B", "metadata.uid");
    set_field("C", "status.podIPs");
    set_field("D", "spec.nodeName");
    set_field("E", "metadata.annotations['none']");
    set_field("F", "status.hostIP");
    auto environment = resolve();
    ASSERT_TRUE(environment);
    EXPECT_EQ(environment->variables,
              (Strings{"A=shop", "B=uid-1", "C=10.0.0.7,fd00::7", "D=node-1", "E=", "F=192.168.1.5",
                       "HOSTNAME=host-1"}));
    set_field("G", "metadata.colour");
    EXPECT_EQ(resolve().error().message, "unsupported fieldPath: metadata.colour");
}

TEST_F(EnvironmentOf, KnowsTheResourcesOfThisContainerAndOfOthers) {
    facts.allocatable["memory"] = *kube::Quantity::parse("3Mi");
    pod.spec.containers[0].resources.limits["memory"] = *kube::Quantity::parse("1500Ki");
    pod.spec.initContainers.emplace_back().name = "before";
    auto add = [this](const std::string& name, const std::string& container) {
        kube::EnvVar variable;
        variable.name = name;
        auto& selector = variable.valueFrom.emplace().resourceFieldRef.emplace();
        selector.containerName = container;
        selector.resource = "limits.memory";
        selector.divisor = *kube::Quantity::parse("1Mi");
        pod.spec.containers[0].env.push_back(variable);
    };
    add("OWN", "");
    add("OTHER", "before");
    auto environment = resolve();
    ASSERT_TRUE(environment);
    EXPECT_EQ(environment->variables, (Strings{"OWN=2", "OTHER=3", "HOSTNAME=host-1"}));
    add("NOBODY", "none");
    EXPECT_EQ(format_as(resolve().error()), "CreateContainerConfigError: container none not found");
}

TEST_F(EnvironmentOf, OptionalReferencesMayBeMissing) {
    kube::EnvFromSource source;
    source.secretRef = kube::SecretEnvSource{"none", true};
    pod.spec.containers[0].envFrom.push_back(source);
    kube::EnvVar variable;
    variable.name = "A";
    variable.valueFrom.emplace();
    variable.valueFrom->secretKeyRef = kube::SecretKeySelector{"none", "key", true};
    pod.spec.containers[0].env.push_back(variable);
    EXPECT_EQ(resolve()->variables, (Strings{"HOSTNAME=host-1"}));
    pod.spec.containers[0].env[0].valueFrom->secretKeyRef->optional = false;
    auto failed = resolve();
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().reason, "CreateContainerConfigError");
    EXPECT_EQ(failed.error().code, Code::not_found);
}

TEST_F(EnvironmentOf, AMissingKeyIsNamed) {
    add_config_map("settings", "a", "1");
    kube::EnvVar variable;
    variable.name = "A";
    variable.valueFrom.emplace();
    variable.valueFrom->configMapKeyRef = kube::ConfigMapKeySelector{"settings", "b", {}};
    pod.spec.containers[0].env.push_back(variable);
    EXPECT_EQ(resolve().error().message, "couldn't find key b in ConfigMap default/settings");
}

TEST_F(EnvironmentOf, WaitsForServices) {
    objects.known_services.reset();
    EXPECT_EQ(resolve().error().code, Code::unavailable);
}

TEST_F(EnvironmentOf, AStaticPodDoesNotWaitForServices) {
    objects.known_services.reset();
    pod.metadata.annotations["kubernetes.io/config.source"] = "file";
    EXPECT_TRUE(resolve());
    pod.metadata.annotations["kubernetes.io/config.source"] = "api";
    EXPECT_EQ(resolve().error().code, Code::unavailable);
}

TEST(ServiceVariables, DescribeTheServicesOfTheNamespace) {
    auto service = std::make_shared<kube::Service>();
    service->metadata.namespace_ = "shop";
    service->metadata.name = "red-is";
    service->spec.clusterIP = "10.1.0.1";
    kube::ServicePort port;
    port.name = "http-main";
    port.port = 6379;
    service->spec.ports.push_back(port);
    auto master = std::make_shared<kube::Service>(*service);
    master->metadata.namespace_ = "default";
    master->metadata.name = "kubernetes";
    master->spec.ports[0].name = "https";
    master->spec.ports[0].port = 443;
    auto headless = std::make_shared<kube::Service>(*service);
    headless->metadata.name = "none";
    headless->spec.clusterIP = "None";
    Variables variables = service_variables({service, master, headless}, "shop", ServiceLinks::on);
    EXPECT_EQ(variables["RED_IS_SERVICE_HOST"], "10.1.0.1");
    EXPECT_EQ(variables["RED_IS_SERVICE_PORT"], "6379");
    EXPECT_EQ(variables["RED_IS_SERVICE_PORT_HTTP_MAIN"], "6379");
    EXPECT_EQ(variables["RED_IS_PORT"], "tcp://10.1.0.1:6379");
    EXPECT_EQ(variables["RED_IS_PORT_6379_TCP_ADDR"], "10.1.0.1");
    EXPECT_EQ(variables["KUBERNETES_SERVICE_PORT_HTTPS"], "443");
    EXPECT_FALSE(variables.contains("NONE_SERVICE_HOST"));
    Variables bare = service_variables({service, master, headless}, "shop", ServiceLinks::off);
    EXPECT_FALSE(bare.contains("RED_IS_SERVICE_HOST"));
    EXPECT_EQ(bare["KUBERNETES_SERVICE_HOST"], "10.1.0.1");
}

// --- command ------------------------------------------------------------------------------------

class CommandOf : public ::testing::Test {
protected:
    CommandOf() { artifact.module_name = "hello.wasm"; }
    static Image layered() {
        Image image;
        image.kind = ImageKind::layered;
        image.config.entrypoint = {"/app.wasm"};
        image.config.cmd = {"serve"};
        return image;
    }
    kube::Container container;
    Image artifact;
};

TEST_F(CommandOf, ArtifactsGetTheirModulesName) {
    container.args = {"-v", "$(X)"};
    auto command = command_of(container, artifact, {{"X", "1"}});
    EXPECT_EQ(command->argv, (Strings{"hello.wasm", "-v", "1"}));
    EXPECT_EQ(command->module, "");
}

TEST_F(CommandOf, CommandReplacesEntrypointAndDropsCmd) {
    EXPECT_EQ(command_of(container, layered(), {})->argv, (Strings{"/app.wasm", "serve"}));
    container.args = {"once"};
    EXPECT_EQ(command_of(container, layered(), {})->argv, (Strings{"/app.wasm", "once"}));
    container.command = {"/other.wasm"};
    container.args.clear();
    auto command = command_of(container, layered(), {});
    EXPECT_EQ(command->argv, (Strings{"/other.wasm"}));
    EXPECT_EQ(command->module, "/other.wasm");
}

TEST_F(CommandOf, AFunctionIsNamedBehindTheModule) {
    container.command = {"lib.wasm#run_it"};
    auto command = command_of(container, layered(), {});
    EXPECT_EQ(command->function, "run_it");
    EXPECT_EQ(command->module, "lib.wasm");
    EXPECT_EQ(command->argv, (Strings{"lib.wasm"}));
}

TEST_F(CommandOf, NothingToRunIsAnError) {
    Image image = layered();
    image.config = {};
    EXPECT_EQ(command_of(container, image, {}).error().reason, "CreateContainerError");
}

// --- ids ----------------------------------------------------------------------------------------

class IdentityOf : public ::testing::Test {
protected:
    IdentityOf() {
        pod.spec.securityContext.emplace();
        pod.spec.containers[0].securityContext.emplace();
    }
    Result<Identity> identify() { return identity_of(pod, pod.spec.containers[0], image); }
    kube::SecurityContext& own() { return *pod.spec.containers[0].securityContext; }
    kube::Pod pod = make_pod("web");
    Image image;
};

TEST_F(IdentityOf, IsRootUnlessSomebodySaysOtherwise) {
    EXPECT_EQ(identify()->uid, 0U);
    image.config.user = "1000:2000";
    EXPECT_EQ(identify()->uid, 1000U);
    EXPECT_EQ(identify()->gid, 2000U);
    pod.spec.securityContext->runAsUser = 5;
    EXPECT_EQ(identify()->uid, 5U);
    EXPECT_EQ(identify()->gid, 0U);
    own().runAsUser = 6;
    own().runAsGroup = 7;
    EXPECT_EQ(identify()->uid, 6U);
    EXPECT_EQ(identify()->gid, 7U);
    pod.spec.securityContext->supplementalGroups = {9, 10};
    pod.spec.securityContext->fsGroup = 9;
    EXPECT_EQ(identify()->groups, (std::vector<std::uint32_t>{9, 10}));
}

TEST_F(IdentityOf, HoldsRunAsNonRootInTheKubeletsWords) {
    own().runAsNonRoot = true;
    EXPECT_EQ(identify().error().message,
              "container has runAsNonRoot and image will run as root (pod: "
              "\"web_default(uid-1)\", container: main)");
    EXPECT_EQ(identify().error().reason, "CreateContainerConfigError");
    image.config.user = "nginx";
    EXPECT_EQ(identify().error().message,
              "container has runAsNonRoot and image has non-numeric user (nginx), cannot verify "
              "user is non-root (pod: \"web_default(uid-1)\", container: main)");
    image.config.user = "1000";
    EXPECT_EQ(identify()->uid, 1000U);
    own().runAsUser = 0;
    EXPECT_EQ(identify().error().message,
              "container's runAsUser breaks non-root policy (pod: \"web_default(uid-1)\", "
              "container: main)");
}

TEST_F(IdentityOf, RefusesIdsBeyondTheNamespace) {
    own().runAsUser = 70'000;
    EXPECT_EQ(identify().error().code, Code::invalid);
}

TEST_F(IdentityOf, AnUnknownNameIsAnError) {
    image.config.user = "nobody-knows";
    EXPECT_EQ(identify().error().reason, "CreateContainerConfigError");
    own().runAsUser = 1;
    EXPECT_EQ(identify()->uid, 1U);
}

// --- where it says why it ended -------------------------------------------------

TEST(TerminationPath, IsBelowTheRootWhateverIsWritten) {
    kube::Container container;
    container.name = "main";
    const std::pair<const char*, const char*> paths[] = {
        {"", "/dev/termination-log"}, {"/dev/custom", "/dev/custom"},
        {"log/last", "/log/last"},    {"//log", "/log"},
        {"/a/./b/../c/", "/a/c"},     {"../../etc/x", "/etc/x"},
        {"/a:b c", "/a:b c"},
    };
    for (const auto& [given, wanted] : paths) {
        container.terminationMessagePath = given;
        EXPECT_EQ(*termination_path(container), wanted) << given;
    }
    for (const std::string& given : {std::string("/"), std::string("a/.."), std::string("///"),
                                     "/" + std::string(5000, 'x')}) {
        container.terminationMessagePath = given;
        const auto path = termination_path(container);
        ASSERT_FALSE(path) << given;
        EXPECT_EQ(path.error().reason, "CreateContainerConfigError");
        EXPECT_NE(path.error().message.find("terminationMessagePath '" + given.substr(0, 100)),
                  std::string::npos)
            << path.error().message;
    }
}

// --- unsupported -----------------------------------------------------------

TEST(Unsupported, NamesTheFieldAndRefusesNoTighterPod) {
    kube::Pod pod = make_pod("web");
    kube::Container& main = pod.spec.containers[0];
    main.securityContext.emplace();
    main.securityContext->allowPrivilegeEscalation = false;
    main.securityContext->readOnlyRootFilesystem = true;
    main.securityContext->seccompProfile = kube::SeccompProfile{"RuntimeDefault", {}};
    main.securityContext->capabilities.emplace();
    main.securityContext->capabilities->drop = {"ALL"};
    EXPECT_FALSE(unsupported(pod, main));
    EXPECT_TRUE(refused_powers(pod).empty());
    main.securityContext->privileged = true;
    pod.spec.hostPID = true;
    EXPECT_FALSE(unsupported(pod, main));
    EXPECT_EQ(refused_powers(pod).size(), 2U);
    main.volumeDevices.emplace_back().name = "disk";
    EXPECT_EQ(*unsupported(pod, main),
              "spec.containers{main}.volumeDevices [disk] is not supported by this node: mount the "
              "volume as a filesystem, by volumeMounts");
}

}  // namespace
}  // namespace skiff::pods
