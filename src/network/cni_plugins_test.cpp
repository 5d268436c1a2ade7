// The reference plugins of the machine, Debian's or newer ones: a bridge with addresses of both
// families and a mapped port, in network namespaces of the test's own. Without ipMasq, whose rules
// bridge leaves behind when the namespace goes before DEL. SKIFF_CNI_PLUGINS names
// another folder of plugins.
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <set>
#include <thread>

#include "network/cni_plugin.h"
#include "network/cni_testing.h"
#include "os/fd.h"
#include "os/file.h"

namespace skiff::network {
namespace {

namespace fs = std::filesystem;

// A network namespace that lives as long as this object; a thread enters it for each run().
class Namespace {
public:
    // False where this process may not make one.
    bool open() {
        std::thread([this] {
            if (::unshare(CLONE_NEWNET) == 0) {
                fd_.reset(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
                set_loopback_up();
                // An address of IPv6 is none to send from until duplicates have been looked for,
                // and nobody waits for that of the bridge.
                EXPECT_TRUE(
                    os::write_kernel_file("/proc/sys/net/ipv6/conf/default/accept_dad", "0"));
            }
        }).join();
        return fd_.valid();
    }
    void close() { fd_.reset(); }
    template <typename F>
    void run(F&& work) const {
        std::thread([&] {
            ASSERT_EQ(::setns(fd_.get(), CLONE_NEWNET), 0);
            work();
        }).join();
    }
    [[nodiscard]] fs::path path() const {
        return fmt::format("/proc/{}/fd/{}", ::getpid(), fd_.get());
    }

private:
    static void set_loopback_up() {
        os::Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        struct ifreq request{};
        std::strncpy(request.ifr_name, "lo", IFNAMSIZ - 1);
        request.ifr_flags = IFF_UP | IFF_RUNNING;
        EXPECT_EQ(::ioctl(socket.get(), SIOCSIFFLAGS, &request), 0);
    }

    os::Fd fd_;
};

struct Address {
    sockaddr_storage storage{};
    socklen_t size = 0;
    int family = AF_INET;

    Address(const std::string& ip, std::uint16_t port) {
        auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
        auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
        if (::inet_pton(AF_INET, ip.c_str(), &v4->sin_addr) == 1) {
            v4->sin_family = AF_INET;
            v4->sin_port = htons(port);
            size = sizeof *v4;
        } else {
            EXPECT_EQ(::inet_pton(AF_INET6, ip.c_str(), &v6->sin6_addr), 1) << ip;
            v6->sin6_family = AF_INET6;
            v6->sin6_port = htons(port);
            size = sizeof *v6;
            family = AF_INET6;
        }
    }
    [[nodiscard]] const sockaddr* get() const {
        return reinterpret_cast<const sockaddr*>(&storage);
    }
};

os::Fd make_socket(int family) {
    os::Fd socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const timeval patience{30, 0};
    for (int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
        EXPECT_EQ(::setsockopt(socket.get(), SOL_SOCKET, option, &patience, sizeof patience), 0);
    }
    const int on = 1;
    EXPECT_EQ(::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    return socket;
}

// Whether a client in one namespace reaches a server that listens in another one.
void expect_reached(const Namespace& server, const Address& listen_at, const Namespace& client,
                    const Address& connect_to) {
    os::Fd listener;
    server.run([&] {
        listener = make_socket(listen_at.family);
        ASSERT_EQ(::bind(listener.get(), listen_at.get(), listen_at.size), 0) << errno;
        ASSERT_EQ(::listen(listener.get(), 1), 0);
    });
    os::Fd caller;
    client.run([&] {
        caller = make_socket(connect_to.family);
        EXPECT_EQ(::connect(caller.get(), connect_to.get(), connect_to.size), 0) << errno;
    });
    os::Fd accepted(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    ASSERT_TRUE(accepted) << errno;
    ASSERT_EQ(::write(caller.get(), "ahoy", 4), 4);
    char heard[4] = {};
    EXPECT_EQ(::recv(accepted.get(), heard, sizeof heard, MSG_WAITALL), 4);
    EXPECT_EQ(std::string_view(heard, 4), "ahoy");
}

class CniPlugins : public CniTest {
protected:
    void SetUp() override {
        CniTest::SetUp();
        const char* folder = std::getenv("SKIFF_CNI_PLUGINS");
        settings_.plugin_folders = {folder == nullptr ? "/usr/lib/cni" : folder};
        for (const char* type : {"bridge", "host-local", "portmap"}) {
            if (!find_cni_program(type, settings_.plugin_folders)) {
                GTEST_SKIP() << "no plugin " << type << " in " << settings_.plugin_folders[0];
            }
        }
        if (!node_.open() || !web_.open() || !client_.open()) {
            GTEST_SKIP() << "this user may not make network namespaces";
        }
        write("net.d/10-pods.conflist", fmt::format(R"({{
            "cniVersion": "1.0.0", "cniVersions": ["0.4.0", "1.1.0"], "name": "pods",
            "plugins": [
              {{"type": "bridge", "bridge": "pods0", "isGateway": true,
                "hairpinMode": true, "ipam": {{"type": "host-local", "dataDir": "{}",
                  "ranges": [[{{"subnet": "10.9.0.0/24"}}], [{{"subnet": "fd00:9::/64"}}]],
                  "routes": [{{"dst": "0.0.0.0/0"}}, {{"dst": "::/0"}}]}}}},
              {{"type": "portmap", "capabilities": {{"portMappings": true}}}}]}})",
                                                    (root_ / "leases").string()));
    }
    [[nodiscard]] CniAttachment pod(const std::string& id, const Namespace& in) const {
        CniAttachment attachment = attachment_;
        attachment.key.container_id = id;
        attachment.network_namespace = in.path();
        return attachment;
    }
    // The addresses that are taken.
    [[nodiscard]] std::set<std::string> leases() const {
        std::set<std::string> taken;
        const auto names = os::list_folder(root_ / "leases/pods");
        EXPECT_TRUE(names);
        for (const std::string& name : names ? *names : std::vector<std::string>()) {
            if (name != "lock" && !name.starts_with("last_reserved_ip.")) {
                taken.insert(name);
            }
        }
        return taken;
    }
    // The interfaces of the node's namespace, for a thread in it.
    static std::set<std::string> interfaces() {
        std::set<std::string> names;
        auto* list = ::if_nameindex();
        for (auto* entry = list; entry != nullptr && entry->if_index != 0; ++entry) {
            names.insert(entry->if_name);
        }
        ::if_freenameindex(list);
        return names;
    }
    // The node's iptables rules that mention a container, for a thread in its namespace.
    static bool rules_mention(const std::string& id) {
        const auto program = find_cni_program("iptables-save", {"/usr/sbin", "/sbin"});
        EXPECT_TRUE(program);
        const auto rules = run_cni_program({*program, {}, "", soon()});
        EXPECT_TRUE(rules && rules->exit.shell_code() == 0);
        return rules->text.find(id) != std::string::npos;
    }
    // Without its IPv4 address the pod's interface is not what ADD made.
    static void drop_address(const Namespace& in) {
        in.run([] {
            os::Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
            struct ifreq request{};
            std::strncpy(request.ifr_name, "eth0", IFNAMSIZ - 1);
            request.ifr_addr.sa_family = AF_INET;
            ASSERT_EQ(::ioctl(socket.get(), SIOCSIFADDR, &request), 0) << errno;
        });
    }

    Namespace node_;
    Namespace web_;
    Namespace client_;
};

TEST_F(CniPlugins, PodsReachEachOtherAndNothingIsLeftOfThem) {
    node_.run([&] {
        std::set<std::string> bare = interfaces();
        const CniNetwork network = load();
        EXPECT_GE(network.config().version, CniVersion::v1_0_0);
        const auto ready = network.status(soon());
        EXPECT_TRUE(ready) << ready.error().message;
        CniAttachment web = pod("podweb", web_);
        web.port_mappings = {{8081, 8080, "tcp", ""}};
        const CniAttachment client = pod("podclient", client_);
        const auto first = network.add(web, soon());
        ASSERT_TRUE(first) << first.error().message;
        const auto second = network.add(client, soon());
        ASSERT_TRUE(second) << second.error().message;

        const auto ips = first->addresses_of("eth0");
        ASSERT_EQ(ips.size(), 2U);
        for (const std::string& ip : ips) {
            const std::string any = ip.find(':') == std::string::npos ? "0.0.0.0" : "::";
            SCOPED_TRACE(ip);
            expect_reached(web_, {any, 8080}, client_, {ip, 8080});
            expect_reached(web_, {any, 8080}, node_, {ip, 8080});
        }
        const auto other_ips = second->addresses_of("eth0");
        ASSERT_EQ(other_ips.size(), 2U);
        expect_reached(client_, {"0.0.0.0", 8080}, web_, {other_ips[0], 8080});
        // The mapped port, at the address that the node has on the bridge.
        expect_reached(web_, {"0.0.0.0", 8080}, client_, {first->ips[0].gateway, 8081});
        EXPECT_TRUE(rules_mention("podweb"));
        EXPECT_EQ(interfaces().size(), bare.size() + 3);
        EXPECT_EQ(leases().size(), 4U);

        // Not the pod with a port: portmap 1.1.1 looks for its IPv4 rules among those of IPv6.
        const auto good = network.check(client, soon());
        EXPECT_TRUE(good) << good.error().message;
        drop_address(client_);
        EXPECT_FALSE(network.check(client, soon()));

        const auto removed = load().remove(web, soon());
        EXPECT_TRUE(removed) << removed.error().message;
        EXPECT_TRUE(load().remove(web, soon()));
        EXPECT_FALSE(rules_mention("podweb"));
        EXPECT_EQ(leases(), (std::set<std::string>{other_ips.begin(), other_ips.end()}));

        // What is not valid any more goes, though its namespace went first.
        client_.close();
        const auto collected = network.collect_garbage({}, NetworkUse::exclusive, soon());
        EXPECT_TRUE(collected) << collected.error().message;
        EXPECT_EQ(leases(), std::set<std::string>());
        bare.insert("pods0");
        EXPECT_EQ(interfaces(), bare);
        EXPECT_EQ(attachments(), std::vector<CniKey>());
    });
}

TEST_F(CniPlugins, APluginThatRefusesSaysWhy) {
    node_.run([&] {
        const CniNetwork network = load();
        CniAttachment nowhere = pod("nowhere", web_);
        nowhere.network_namespace = root_ / "nowhere";
        const auto result = network.add(nowhere, soon());
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error().message.find("CNI plugin bridge, network pods, ADD: "), 0U)
            << result.error().message;
        EXPECT_EQ(leases(), std::set<std::string>());
        EXPECT_EQ(attachments(), std::vector<CniKey>());
    });
}

}  // namespace
}  // namespace skiff::network
