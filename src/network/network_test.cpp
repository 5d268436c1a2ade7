#include "network/network.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>

#include "async/scope.h"
#include "network/node_address.h"
#include "os/file.h"

namespace skiff::network {
namespace {

namespace fs = std::filesystem;

kube::Pod make_pod(const std::string& name) {
    kube::Pod pod;
    pod.metadata.name = name;
    pod.metadata.namespace_ = "shop";
    pod.metadata.uid = "uid-" + name;
    pod.spec.dnsPolicy = "ClusterFirst";
    pod.spec.containers.resize(1);
    pod.spec.containers[0].name = "main";
    return pod;
}

const ClusterDns kCluster{{"10.96.0.10"}, "cluster.local"};
const DnsConfig kNode{{"192.0.2.53"}, {"example.org"}, {"timeout:2"}};

TEST(ResolvConf, IsReadAsResolversDo) {
    DnsConfig config = parse_resolv_conf(
        "# a comment\n"
        "nameserver 192.0.2.1\n"
        "  nameserver\t192.0.2.2 \r\n"
        "nameserver 192.0.2.1\n"
        "nameserver\n"
        "search first.example\n"
        "search a.example. b.example\n"
        "; another\n"
        "options ndots:2 edns0\n"
        "options ndots:2\n"
        "sortlist 1.2.3.4\n");
    DnsConfig expected{
        {"192.0.2.1", "192.0.2.2"}, {"a.example", "b.example"}, {"ndots:2", "edns0"}};
    EXPECT_EQ(config, expected);
    EXPECT_EQ(format_resolv_conf(config),
              "search a.example b.example\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n"
              "options ndots:2 edns0\n");
    EXPECT_EQ(format_resolv_conf(DnsConfig()), "");
}

TEST(FormDns, FollowsTheDnsPolicy) {
    kube::Pod pod = make_pod("a");
    DnsConfig cluster{
        {"10.96.0.10"},
        {"shop.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.org"},
        {"ndots:5"}};
    EXPECT_EQ(form_dns(pod, kNode, kCluster).config, cluster);
    pod.spec.hostNetwork = true;
    EXPECT_EQ(form_dns(pod, kNode, kCluster).config, kNode);
    pod.spec.dnsPolicy = "ClusterFirstWithHostNet";
    EXPECT_EQ(form_dns(pod, kNode, kCluster).config, cluster);
    pod.spec.dnsPolicy = "Default";
    EXPECT_EQ(form_dns(pod, kNode, kCluster).config, kNode);
    pod.spec.dnsPolicy = "None";
    EXPECT_EQ(form_dns(pod, kNode, kCluster).config, DnsConfig());
}

TEST(FormDns, AddsTheConfigOfThePod) {
    kube::Pod pod = make_pod("a");
    auto& own = pod.spec.dnsConfig.emplace();
    own.nameservers = {"192.0.2.9", "10.96.0.10"};
    own.searches = {"cluster.local", "own.example"};
    own.options = {{"ndots", "2"}, {"edns0", std::nullopt}};
    DnsConfig config = form_dns(pod, kNode, kCluster).config;
    DnsConfig expected{{"10.96.0.10", "192.0.2.9"},
                       {"shop.svc.cluster.local", "svc.cluster.local", "cluster.local",
                        "example.org", "own.example"},
                       {"ndots:2", "edns0"}};
    EXPECT_EQ(config, expected);
}

TEST(FormDns, CutsWhatResolversCannotTakeAndSaysSo) {
    kube::Pod pod = make_pod("a");
    pod.spec.dnsPolicy = "None";
    auto& own = pod.spec.dnsConfig.emplace();
    own.nameservers = {"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"};
    for (int i = 0; i < 33; ++i) {
        own.searches.push_back(fmt::format("s{}.example", i));
    }
    FormedDns formed = form_dns(pod, kNode, kCluster);
    EXPECT_EQ(formed.config.nameservers.size(), 3U);
    EXPECT_EQ(formed.config.searches.size(), 32U);
    ASSERT_EQ(formed.complaints.size(), 2U);
    EXPECT_EQ(formed.complaints[0].reason, "DNSConfigForming");
    own.nameservers.resize(3);
    own.searches = {std::string(1500, 'a'), std::string(547, 'b'), "c"};
    formed = form_dns(pod, kNode, kCluster);
    EXPECT_EQ(formed.config.searches.size(), 2U) << "2048 characters with the blank between";
    EXPECT_EQ(formed.complaints.size(), 1U);
}

TEST(FormDns, FallsBackWhereTheClusterHasNoDns) {
    FormedDns formed = form_dns(make_pod("a"), kNode, ClusterDns());
    EXPECT_EQ(formed.config, kNode);
    ASSERT_EQ(formed.complaints.size(), 1U);
    EXPECT_EQ(formed.complaints[0].reason, "MissingClusterDNS");
}

TEST(HostsFile, ListsThePodAndItsAliases) {
    kube::Pod pod = make_pod("web-0");
    pod.spec.hostname = "web";
    pod.spec.subdomain = "db";
    pod.spec.hostAliases = {{"192.0.2.7", {"one", "two"}}};
    EXPECT_EQ(hosts_text(pod, {"198.51.100.4"}, "ignored", kCluster),
              "# Kubernetes-managed hosts file.\n"
              "127.0.0.1\tlocalhost\n"
              "::1\tlocalhost ip6-localhost ip6-loopback\n"
              "fe00::0\tip6-localnet\n"
              "fe00::0\tip6-mcastprefix\n"
              "fe00::1\tip6-allnodes\n"
              "fe00::2\tip6-allrouters\n"
              "198.51.100.4\tweb.db.shop.svc.cluster.local\tweb\n"
              "\n# Entries added by HostAliases.\n"
              "192.0.2.7\tone\ttwo\n");
    pod.spec.hostNetwork = true;
    pod.spec.hostAliases.clear();
    EXPECT_EQ(hosts_text(pod, {"198.51.100.4"}, "127.0.0.1 node\n", kCluster),
              "# Kubernetes-managed hosts file (host network).\n127.0.0.1 node\n");
}

TEST(Hostname, IsThePodsUnlessItSharesTheNodes) {
    kube::Pod pod = make_pod(std::string(62, 'a') + "-bcd");
    EXPECT_EQ(pod_hostname(pod, "node", kCluster), std::string(62, 'a'));
    pod.spec.hostname = "web";
    pod.spec.subdomain = "db";
    EXPECT_EQ(pod_hostname(pod, "node", kCluster), "web");
    pod.spec.setHostnameAsFQDN = true;
    EXPECT_EQ(pod_hostname(pod, "node", kCluster), "web.db.shop.svc.cluster.local");
    pod.spec.hostNetwork = true;
    EXPECT_EQ(pod_hostname(pod, "node", kCluster), "node");
    pod.spec.hostnameOverride = "other";
    EXPECT_EQ(pod_hostname(pod, "node", kCluster), "other");
}

TEST(NodeAddress, IsNeverLoopback) {
    for (const char* bad : {"127.0.0.1", "::1", "0.0.0.0", "::", "224.0.0.1", "169.254.1.1",
                            "fe80::1", "node", "", "1.2.3"}) {
        EXPECT_FALSE(check_node_address(bad)) << bad;
    }
    EXPECT_TRUE(check_node_address("192.0.2.1"));
    EXPECT_TRUE(check_node_address("2001:db8::1"));
    auto found = detect_node_addresses();
    if (!found) {
        EXPECT_EQ(found.error().code, Code::not_found);
        return;
    }
    for (const std::string& address : *found) {
        EXPECT_TRUE(check_node_address(address)) << address;
    }
}

// A listening socket of the test's own on a free port.
class Listener {
public:
    explicit Listener(int type = SOCK_STREAM) : fd_(::socket(AF_INET, type | SOCK_CLOEXEC, 0)) {
        sockaddr_in at{};
        at.sin_family = AF_INET;
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof(at);
        EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&at), size), 0);
        if (type == SOCK_STREAM) {
            EXPECT_EQ(::listen(fd_.get(), 1), 0);
        }
        ::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&at), &size);
        port = ntohs(at.sin_port);
    }
    void close() { fd_.reset(); }
    std::uint16_t port = 0;

private:
    os::Fd fd_;
};

struct FakeEvents final : pods::EventSink {
    void emit(const kube::Pod& pod, std::string_view /*container*/, pods::EventType type,
              std::string_view reason, std::string_view /*message*/) override {
        EXPECT_EQ(type, pods::EventType::warning);
        seen.push_back(pod.metadata.name + " " + std::string(reason));
    }
    std::vector<std::string> seen;
};

class NodeNetworkTest : public ::testing::Test {
protected:
    // The names in the pod's folder.
    std::string left_of(const PodUid& uid) const {
        return fmt::format("{}", fmt::join(*os::list_folder(paths.pod(uid)), " "));
    }
    void SetUp() override {
        std::string pattern = ::testing::TempDir() + "skiff-network-XXXXXX";
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        folder = pattern;
        paths.root_dir = folder / "root";
        std::ofstream(folder / "resolv.conf") << "nameserver 192.0.2.53\n";
        settings.node_ips = {"198.51.100.4"};
        settings.node_hostname = "node";
        settings.resolv_conf = folder / "resolv.conf";
        settings.node_hosts = folder / "hosts";
        network = std::make_unique<NodeNetwork>(reactor.executor(), settings, paths, pool, events);
    }
    void TearDown() override {
        EXPECT_TRUE(async::run_to_end(reactor, network->stop()));
        (void)os::remove_tree(folder);
    }
    Result<pods::PodNetwork> set_up(const kube::Pod& pod) {
        return async::run_to_end(reactor, network->set_up(pod));
    }
    Result<pods::NetworkMode> mode_for(const kube::Pod& pod, const kube::Container& container,
                                       bool module_can_open_sockets) {
        return async::run_to_end(reactor,
                                 network->mode_for(pod, container, module_can_open_sockets));
    }
    static kube::Pod pod_with_port(const std::string& name, int port, const std::string& protocol) {
        kube::Pod pod = make_pod(name);
        auto& declared = pod.spec.containers[0].ports.emplace_back();
        declared.containerPort = port;
        declared.protocol = protocol;
        return pod;
    }

    fs::path folder;
    state::Paths paths;
    NetworkSettings settings;
    FakeEvents events;
    async::Reactor reactor;
    async::BlockingPool pool{reactor, 2, 16};
    std::unique_ptr<NodeNetwork> network;
};

std::string text_of(const fs::path& path) {
    std::ifstream file(path);
    return std::string(std::istreambuf_iterator<char>(file), {});
}

TEST_F(NodeNetworkTest, WritesThePodsFilesAndTakesThemAway) {
    kube::Pod pod = make_pod("web");
    auto made = set_up(pod);
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_EQ(made->pod_ips, settings.node_ips);
    EXPECT_EQ(made->hostname, "web");
    EXPECT_NE(text_of(made->hosts_file).find("198.51.100.4\tweb\n"), std::string::npos);
    EXPECT_EQ(text_of(made->resolv_conf), "nameserver 192.0.2.53\n");
    EXPECT_EQ(events.seen, std::vector<std::string>{"web MissingClusterDNS"});
    ASSERT_TRUE(set_up(pod));
    EXPECT_EQ(events.seen.size(), 1U) << "once, not at each resync";
    PodUid uid(pod.metadata.uid);
    // An agent that was killed while it wrote leaves its temporary.
    std::ofstream(paths.pod(uid) / ".etc-hosts.tmp-123abc") << "127.0.0.1";
    ASSERT_TRUE(async::run_to_end(reactor, network->tear_down(uid)));
    ASSERT_TRUE(async::run_to_end(reactor, network->tear_down(uid)));
    EXPECT_EQ(left_of(uid), "skiff") << "the pod's mark, which is the runtime's to take away";
}

// A pod that is deleted while its network is set up: with two threads the two would race.
TEST_F(NodeNetworkTest, NothingIsLeftBehindATearDownThatFollowsACancelledSetUp) {
    kube::Pod pod = make_pod("web");
    PodUid uid(pod.metadata.uid);
    auto race = [](async::Executor executor, NodeNetwork* rooms, const kube::Pod* its,
                   PodUid gone) -> async::Task<void> {
        async::Scope scope(executor);
        auto begin = [](NodeNetwork* on, const kube::Pod* of) -> async::Task<void> {
            auto made = co_await on->set_up(*of);
            (void)made;
        };
        scope.spawn("set up", begin(rooms, its));
        co_await async::yield_now();
        co_await async::yield_now();
        co_await scope.stop();
        auto done = co_await rooms->tear_down(gone);
        EXPECT_TRUE(done);
    };
    for (int i = 0; i < 300 && !HasFailure(); ++i) {
        async::run_to_end(reactor, race(reactor.executor(), network.get(), &pod, uid));
        // Whatever was still on its way is there by now.
        auto nothing = pool.run([]() -> Result<void> { return {}; });
        ASSERT_TRUE(async::run_to_end(reactor, std::move(nothing)));
        ASSERT_EQ(left_of(uid), "skiff") << "round " << i;
    }
}

TEST_F(NodeNetworkTest, GivesTheNodesNamespaceOnlyToThoseWhoNeedIt) {
    kube::Pod pod = make_pod("web");
    const auto& container = pod.spec.containers[0];
    EXPECT_EQ(*mode_for(pod, container, false), pods::NetworkMode::empty);
    EXPECT_EQ(*mode_for(pod, container, true), pods::NetworkMode::host);
    pod.spec.hostNetwork = true;
    EXPECT_EQ(*mode_for(pod, container, false), pods::NetworkMode::host);
}

TEST_F(NodeNetworkTest, NamesTheProcessThatHoldsAPort) {
    Listener listener;
    kube::Pod pod = pod_with_port("web", listener.port, "TCP");
    const auto& container = pod.spec.containers[0];
    EXPECT_EQ(*mode_for(pod, container, false), pods::NetworkMode::empty);
    auto mode = mode_for(pod, container, true);
    ASSERT_FALSE(mode);
    EXPECT_EQ(mode.error().reason, "CreateContainerError");
    EXPECT_EQ(mode.error().message,
              fmt::format("port {}/TCP of the node is taken by network_test (pid {})",
                          listener.port, ::getpid()));
    listener.close();
    EXPECT_EQ(*mode_for(pod, container, true), pods::NetworkMode::host);
}

TEST_F(NodeNetworkTest, LooksForAProcessNotTooOften) {
    Listener first;
    Listener second;
    kube::Pod one = pod_with_port("one", first.port, "TCP");
    kube::Pod two = pod_with_port("two", second.port, "TCP");
    auto named = mode_for(one, one.spec.containers[0], true);
    EXPECT_NE(named.error().message.find("network_test"), std::string::npos);
    // Right after that look, another one is not made.
    auto unnamed = mode_for(two, two.spec.containers[0], true);
    EXPECT_NE(unnamed.error().message.find("taken by another process"), std::string::npos);
    // What is known is said again.
    auto again = mode_for(one, one.spec.containers[0], true);
    EXPECT_EQ(again.error().message, named.error().message);
}

TEST_F(NodeNetworkTest, TellsUdpFromTcp) {
    Listener listener(SOCK_DGRAM);
    kube::Pod tcp = pod_with_port("tcp", listener.port, "TCP");
    EXPECT_TRUE(mode_for(tcp, tcp.spec.containers[0], true));
    kube::Pod udp = pod_with_port("udp", listener.port, "UDP");
    auto mode = mode_for(udp, udp.spec.containers[0], true);
    ASSERT_FALSE(mode);
    EXPECT_NE(mode.error().message.find("/UDP of the node"), std::string::npos);
}

TEST_F(NodeNetworkTest, NamesThePodThatHoldsAPort) {
    Listener guest;
    std::uint16_t port = guest.port;
    guest.close();
    kube::Pod first = pod_with_port("first", port, "");
    ASSERT_TRUE(mode_for(first, first.spec.containers[0], true));
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(port);
    os::Fd holding(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::bind(holding.get(), reinterpret_cast<sockaddr*>(&at), sizeof(at)), 0);
    ASSERT_EQ(::listen(holding.get(), 1), 0);
    kube::Pod second = pod_with_port("second", 0, "TCP");
    second.spec.containers[0].ports[0].hostPort = port;
    second.spec.containers[0].ports[0].containerPort = 80;
    auto mode = mode_for(second, second.spec.containers[0], true);
    ASSERT_FALSE(mode);
    EXPECT_EQ(
        mode.error().message,
        fmt::format("port {}/TCP of the node is taken by container main of pod shop/first", port));
}

}  // namespace
}  // namespace skiff::network
