// Judges of `skiff check`, with faults injected into a machine that is well.
#include "app/check.h"

#include <gtest/gtest.h>

#include <functional>

#include "app/check_cluster.h"
#include "app/check_identity.h"
#include "app/check_kernel.h"
#include "app/check_machine.h"
#include "app/check_network.h"

namespace skiff::app {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

// What is not well: "check=verdict", each with a remedy.
std::string ills(const Findings& findings) {
    std::string all;
    for (const Finding& finding : findings) {
        EXPECT_FALSE(finding.detail.empty()) << finding.check;
        EXPECT_EQ(finding.remedy.empty(), finding.verdict == Verdict::ok) << finding.check;
        if (finding.verdict != Verdict::ok) {
            all += all.empty() ? "" : ", ";
            all += finding.check + (finding.verdict == Verdict::warn ? "=warn" : "=fail");
        }
    }
    return all;
}

template <typename Facts>
struct Fault {
    std::string_view expected;
    std::function<void(Facts&)> inject;
};

KernelFacts good_kernel() {
    KernelFacts facts;
    facts.root = true;
    facts.proc = true;
    facts.release = "6.18.0";
    facts.namespaces = {"user", "mnt", "pid", "net", "ipc", "uts"};
    facts.landlock_abi = 7;
    facts.seccomp_filter = true;
    facts.calls = {"pidfd_open", "pidfd_send_signal", "memfd_create", "close_range",
                   "openat2",    "mount_setattr",     "clone3"};
    return facts;
}

TEST(CheckKernel, NamesWhatIsMissing) {
    EXPECT_EQ(ills(judge_kernel(good_kernel())), "");
    const Fault<KernelFacts> faults[] = {
        {"kernel: powers=fail", [](auto& its) { its.root = false; }},
        {"kernel: powers=warn", [](auto& its) { its.missing_capabilities = {"CAP_SYS_ADMIN"}; }},
        {"kernel: /proc=fail", [](auto& its) { its.proc = false; }},
        {"kernel: user namespaces=fail", [](auto& its) { its.namespaces.erase("user"); }},
        {"kernel: net namespaces=fail", [](auto& its) { its.namespaces.erase("net"); }},
        {"kernel: ids of pods=fail", [](auto& its) { its.user_namespace_error = "EPERM"; }},
        {"kernel: idmapped mounts=warn", [](auto& its) { its.idmapped_mounts_error = "ENOSYS"; }},
        {"kernel: Landlock=warn", [](auto& its) { its.landlock_abi = 0; }},
        {"kernel: seccomp=fail", [](auto& its) { its.seccomp_filter = false; }},
        {"kernel: pidfd_open=fail", [](auto& its) { its.calls.erase("pidfd_open"); }},
        {"kernel: memfd_create=fail", [](auto& its) { its.calls.erase("memfd_create"); }},
    };
    for (const auto& fault : faults) {
        KernelFacts facts = good_kernel();
        fault.inject(facts);
        EXPECT_EQ(ills(judge_kernel(facts)), fault.expected);
    }
}

FolderFacts good_folder(std::string field, std::string path) {
    FolderFacts facts;
    facts.field = std::move(field);
    facts.path = path;
    facts.found = path;
    facts.available = 100_GiB;
    facts.available_percent = 50;
    facts.inodes_available_percent = 50;
    return facts;
}

MachineCheckFacts good_machine() {
    MachineCheckFacts facts;
    facts.cgroups = {{"unified", "/sys/fs/cgroup"}};
    facts.controllers = {"cpu", "memory", "pids"};
    facts.descriptors_max = 1'048'576;
    facts.folders = {good_folder("rootDir", "/var/lib/skiff"), good_folder("runDir", "/run/skiff")};
    facts.engine = "/usr/bin/skiff-engine";
    facts.engine_says = "build=1\nruntimes=wasmtime,wasmi\nversion=" SKIFF_VERSION "\n";
    return facts;
}

TEST(CheckMachine, NamesWhatIsWrong) {
    config::Settings settings;
    EXPECT_EQ(ills(judge_machine(good_machine(), settings)), "");
    const Fault<MachineCheckFacts> faults[] = {
        {"machine: cgroups=fail", [](auto& its) { its.cgroups.clear(); }},
        {"machine: cgroups=fail", [](auto& its) { its.cgroups_read_only = {"unified"}; }},
        {"machine: cgroups=warn", [](auto& its) { its.controllers = {"cpu", "pids"}; }},
        {"machine: cgroups=warn", [](auto& its) { its.cgroups["cpu"] = "/sys/fs/cgroup/cpu"; }},
        {"machine: open files=warn", [](auto& its) { its.descriptors_max = 4096; }},
        {"machine: open files=fail", [](auto& its) { its.descriptors_max = 256; }},
        {"disk: rootDir=fail", [](auto& its) { its.folders[0].no_exec = true; }},
        {"", [](auto& its) { its.folders[1].no_exec = true; }},
        {"disk: runDir=fail", [](auto& its) { its.folders[1].read_only = true; }},
        {"disk: rootDir=fail", [](auto& its) { its.folders[0].is_private = false; }},
        {"disk: rootDir=fail", [](auto& its) { its.folders[0].available_percent = 9; }},
        {"disk: rootDir=fail", [](auto& its) { its.folders[0].inodes_available_percent = 4; }},
        {"disk: runDir=warn", [](auto& its) { its.folders[1].available = 10_MiB; }},
        {"engine: skiff-engine=fail",
         [](auto& its) { its.engine_says = fail(Code::not_found, "no such file"); }},
        {"engine: skiff-engine=fail", [](auto& its) { its.engine_says = "version=0.0.1\n"; }},
        {"engine: skiff-engine=fail", [](auto& its) { its.engine_says = "Segmentation fault"; }},
    };
    for (const auto& fault : faults) {
        MachineCheckFacts facts = good_machine();
        fault.inject(facts);
        EXPECT_EQ(ills(judge_machine(facts, settings)), fault.expected);
    }
    settings.eviction_hard = {{"nodefs.available", "200Gi"}};
    EXPECT_EQ(ills(judge_machine(good_machine(), settings)), "disk: rootDir=fail");
}

NetworkFacts good_network() {
    NetworkFacts facts;
    facts.ports = {{"port", "0.0.0.0", 10250, true, ""}};
    facts.addresses = std::vector<std::string>{"10.0.0.7"};
    facts.resolver_file = "/etc/resolv.conf";
    facts.resolver = "nameserver 10.0.0.1\n";
    facts.host = "api.test";
    facts.ips = std::vector<std::string>{"10.0.0.2"};
    return facts;
}

TEST(CheckNetwork, NamesWhatIsWrong) {
    EXPECT_EQ(ills(judge_network(good_network())), "");
    const Fault<NetworkFacts> faults[] = {
        {"network: port=fail",
         [](auto& its) {
             its.ports[0].is_free = false;
             its.ports[0].holder = "kubelet (pid 1)";
         }},
        {"network: port=fail", [](auto& its) { its.ports[0].is_free = false; }},
        {"",
         [](auto& its) {
             its.ports[0].is_free = false;
             its.ports[0].holder = "skiff (pid 1)";
         }},
        {"network: address=fail",
         [](auto& its) { its.addresses = fail(Code::not_found, "no address"); }},
        {"network: resolver=warn", [](auto& its) { its.resolver = "# nothing\n"; }},
        {"network: resolver=warn", [](auto& its) { its.resolver = "nameserver 127.0.0.53\n"; }},
        {"network: resolver=warn",
         [](auto& its) { its.resolver = fail(Code::not_found, "no such file"); }},
        {"network: name of the API server=fail",
         [](auto& its) { its.ips = fail(Code::not_found, "Name or service not known"); }},
        {"time: synchronisation=warn", [](auto& its) { its.clock_is_synchronised = false; }},
    };
    for (const auto& fault : faults) {
        NetworkFacts facts = good_network();
        fault.inject(facts);
        EXPECT_EQ(ills(judge_network(facts)), fault.expected);
    }
}

IdentityFacts good_identity() {
    IdentityFacts facts;
    facts.node_name = "edge-1";
    facts.now = WallTime(hours(500'000));
    facts.kubeconfig = "/etc/skiff/kubeconfig";
    facts.bootstrap_kubeconfig = "/etc/skiff/bootstrap-kubeconfig";
    kube::ClientConfig client;
    client.server = "https://api.test:6443";
    client.tls.client_certificate_file = "/var/lib/skiff/pki/kubelet-client-current.pem";
    facts.client = client;
    facts.bootstrap = fail(Code::not_found, "no such file");
    node::CertificateFacts certificate;
    certificate.common_name = "system:node:edge-1";
    certificate.not_before = facts.now - hours(1);
    certificate.not_after = facts.now + hours(1000);
    facts.certificate = certificate;
    facts.secrets = {{"/etc/skiff/kubeconfig", 0600}};
    return facts;
}

kube::ClientConfig bootstrap_with(std::string token) {
    kube::ClientConfig config;
    config.server = "https://api.test:6443";
    config.token = std::move(token);
    return config;
}

TEST(CheckIdentity, NamesWhatIsWrong) {
    EXPECT_EQ(ills(judge_identity(good_identity())), "");
    constexpr std::string_view kToken = "abcdef.0123456789abcdef";
    const Fault<IdentityFacts> faults[] = {
        {"identity: kubeconfig=fail",
         [](auto& its) { its.client = fail(Code::invalid, "no current-context"); }},
        {"identity: bootstrap kubeconfig=fail",
         [](auto& its) { its.client = fail(Code::not_found, "no such file"); }},
        {"",
         [&](auto& its) {
             its.client = fail(Code::not_found, "no such file");
             its.bootstrap = bootstrap_with(std::string(kToken));
         }},
        {"identity: bootstrap kubeconfig=warn",
         [](auto& its) { its.bootstrap = bootstrap_with("eyJhbGciOi"); }},
        {"identity: bootstrap kubeconfig=fail",
         [](auto& its) { its.bootstrap = bootstrap_with(""); }},
        {"identity: client certificate=fail",
         [](auto& its) { (*its.certificate)->not_after = its.now - seconds(1); }},
        {"identity: client certificate=warn",
         [&](auto& its) {
             (*its.certificate)->not_after = its.now - seconds(1);
             its.bootstrap = bootstrap_with(std::string(kToken));
         }},
        {"identity: client certificate=warn",
         [](auto& its) { (*its.certificate)->not_after = its.now + hours(2); }},
        {"identity: client certificate=fail",
         [](auto& its) { (*its.certificate)->not_before = its.now + seconds(60); }},
        {"identity: client certificate=warn",
         [](auto& its) { (*its.certificate)->common_name = "system:node:other"; }},
        {"identity: client certificate=fail",
         [](auto& its) {
             its.certificate =
                 Result<node::CertificateFacts>(fail(Code::invalid, "no certificate"));
         }},
        {"identity: file mode=fail", [](auto& its) { its.secrets[0].mode = 0644; }},
        {"identity: file mode=fail", [](auto& its) { its.secrets[0].mode = 0640; }},
    };
    for (const auto& fault : faults) {
        IdentityFacts facts = good_identity();
        fault.inject(facts);
        EXPECT_EQ(ills(judge_identity(facts)), fault.expected);
    }
}

ClusterFacts good_cluster() {
    ClusterFacts facts;
    facts.server = "https://api.test:6443";
    ServerAnswer answer;
    answer.status = 200;
    answer.date = "Thu, 26 Nov 2026 15:40:06 GMT";
    answer.at = *parse_http_date(answer.date) + seconds(1);
    answer.body = R"({"gitVersion":"v1.36.1"})";
    facts.version = answer;
    facts.own = answer;
    return facts;
}

TEST(CheckCluster, NamesWhatIsWrong) {
    EXPECT_EQ(ills(judge_cluster(good_cluster())), "");
    using Credentials = ClusterFacts::Credentials;
    const Fault<ClusterFacts> faults[] = {
        {"cluster: API server=fail",
         [](auto& its) { its.version = fail(Code::unavailable, "connection refused"); }},
        {"", [](auto& its) { its.version->status = 403; }},
        {"time: clock=warn", [](auto& its) { its.version->at += seconds(9); }},
        {"time: clock=warn", [](auto& its) { its.version->at -= seconds(9); }},
        {"time: clock=fail", [](auto& its) { its.version->at += seconds(90); }},
        {"time: clock=fail", [](auto& its) { its.version->at -= hours(24 * 365); }},
        {"time: clock=warn", [](auto& its) { its.version->date = "soon"; }},
        {"cluster: credentials=fail", [](auto& its) { its.own->status = 401; }},
        {"cluster: credentials=fail", [](auto& its) { its.own->status = 403; }},
        {"", [](auto& its) { its.own->status = 404; }},
        {"cluster: credentials=warn", [](auto& its) { its.own->status = 503; }},
        {"",
         [](auto& its) {
             its.own->status = 403;
             its.credentials = Credentials::bootstrap;
         }},
        {"",
         [](auto& its) {
             its.own = fail(Code::invalid, "not asked");
             its.credentials = Credentials::plugin;
         }},
        {"cluster: credentials=fail",
         [](auto& its) {
             its.own->status = 401;
             its.credentials = Credentials::bootstrap;
         }},
    };
    for (const auto& fault : faults) {
        ClusterFacts facts = good_cluster();
        fault.inject(facts);
        EXPECT_EQ(ills(judge_cluster(facts)), fault.expected);
    }
}

TEST(CheckCluster, ReadsTheTimeOfAServer) {
    EXPECT_EQ(parse_http_date("Thu, 01 Jan 1970 00:00:10 GMT"), WallTime(seconds(10)));
    for (std::string_view bad :
         {"", "Thu, 26 Nov 2026 15:40:06 UTC", "Thu, 26 Nov 2026 25:40:06 GMT",
          "Thu, 31 Nov 2026 15:40:06 GMT", "Thu, 26 Foo 2026 15:40:06 GMT",
          "Thu, -6 Nov 2026 15:40:06 GMT", "2026-11-26T15:40:06Z"}) {
        EXPECT_FALSE(parse_http_date(bad)) << bad;
    }
}

TEST(CheckReport, ShowsVerdictsRemediesAndColourOnlyWhereWanted) {
    Findings findings = {fine("a", "good"), {"b", Verdict::fail, "bad", "Do something."}};
    EXPECT_EQ(render_findings(findings, Colour::none),
              "ok    a: good\nfail  b: bad\n      Do something.\n1 ok, 0 warn, 1 fail\n");
    EXPECT_NE(render_findings(findings, Colour::ansi).find("\x1b[31mfail\x1b[0m"),
              std::string::npos);
    EXPECT_EQ(findings_json(findings),
              R"({"verdict":"fail","findings":[{"check":"a","verdict":"ok","detail":"good",)"
              R"("remedy":""},{"check":"b","verdict":"fail","detail":"bad",)"
              R"("remedy":"Do something."}]})"
              "\n");
    EXPECT_EQ(worst_of({}), Verdict::ok);
}

TEST(CheckMachine, ObservesThisOne) {
    config::Settings settings;
    settings.root_dir = ::testing::TempDir() + "skiff-not/there";
    settings.engine_path = "/bin/false";
    MachineCheckFacts facts = observe_machine_for(settings);
    ASSERT_EQ(facts.folders.size(), 3U);
    EXPECT_EQ(facts.folders[0].found, std::filesystem::path(::testing::TempDir()).parent_path());
    EXPECT_GT(facts.folders[0].available.value, 0U);
    EXPECT_GT(facts.descriptors_max, 0U);
    KernelFacts kernel = observe_kernel();
    EXPECT_TRUE(kernel.proc);
    EXPECT_TRUE(kernel.calls.contains("pidfd_open"));
}

}  // namespace
}  // namespace skiff::app
