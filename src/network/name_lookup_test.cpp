#include "network/name_lookup.h"

#include <gtest/gtest.h>

#include "async/scope.h"
#include "network/dns_testing.h"
#include "network/egress_testing.h"

namespace skiff::network {
namespace {

using Texts = std::vector<std::string>;

TEST(Resolving, TakesServersAndOptionsWithinTheirLimits) {
    const auto its = resolving_of(parse_resolv_conf(
        "nameserver 192.0.2.1\nnameserver fd00::1\nnameserver 127.0.0.53\nnameserver ::1\n"
        "nameserver 0.0.0.0\nnameserver dns.example\nsearch a.example b.example\n"
        "options ndots:3 timeout:7 attempts:4 rotate ndotsx:9\n"));
    EXPECT_EQ(its.servers, (std::vector{ip("192.0.2.1"), ip("fd00::1")}))
        << "of a loopback address the guest itself could answer";
    EXPECT_EQ(its.searches, (Texts{"a.example", "b.example"}));
    EXPECT_EQ(its.ndots, 3U);
    EXPECT_EQ(its.timeout, std::chrono::seconds(7));
    EXPECT_EQ(its.attempts, 4U);
    const auto wild = resolving_of(parse_resolv_conf("options ndots:99 timeout:0 attempts:99\n"));
    EXPECT_EQ(wild.ndots, 15U);
    EXPECT_EQ(wild.timeout, std::chrono::seconds(1));
    EXPECT_EQ(wild.attempts, 5U);
    EXPECT_EQ(resolving_of({}).ndots, 1U);
}

TEST(Resolving, AsksInTheOrderOfResolvers) {
    Resolving its;
    its.searches = {"shop.svc", "svc"};
    its.ndots = 2;
    EXPECT_EQ(full_names("db", its), (Texts{"db.shop.svc", "db.svc", "db"}));
    EXPECT_EQ(full_names("db.other", its),
              (Texts{"db.other.shop.svc", "db.other.svc", "db.other"}));
    EXPECT_EQ(full_names("a.b.c", its), (Texts{"a.b.c", "a.b.c.shop.svc", "a.b.c.svc"}));
    EXPECT_EQ(full_names("db.", its), Texts{"db"});
    its.searches = {"."};
    EXPECT_EQ(full_names("db", its), (Texts{"db", "db"}));
}

TEST(Hosts, GivesANamesAddresses) {
    const std::string_view hosts =
        "# 192.0.2.1 a\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6\n192.0.2.7  Web.Shop web # x\n"
        "nonsense web\n192.0.2.8\tweb\n";
    EXPECT_EQ(find_in_hosts(hosts, "localhost"), (std::vector{ip("127.0.0.1"), ip("::1")}));
    EXPECT_EQ(find_in_hosts(hosts, "web"), (std::vector{ip("192.0.2.7"), ip("192.0.2.8")}));
    EXPECT_EQ(find_in_hosts(hosts, "web.shop"), std::vector{ip("192.0.2.7")});
    for (const std::string_view none : {"a", "x", "#", "nonsense", "192.0.2.7", "we"}) {
        EXPECT_TRUE(find_in_hosts(hosts, none).empty()) << none;
    }
}

// A pod's look-ups with two name servers on its node.
class Lookups {
public:
    explicit Lookups(const std::filesystem::path& pin) {
        pod.name_space = pin;
        pod.resolving.servers = {ip("192.0.2.9"), ip("fd99::10")};
        pod.resolving.timeout = std::chrono::seconds(1);
        pod.resolving.attempts = 1;
        pod.hosts = "192.0.2.77\thosted\n";
    }
    Texts find(const Texts& names) {
        Texts found;
        auto body = [](Lookups* its, Texts wanted, Texts* out) -> async::Task<Result<void>> {
            auto opened = LookupRound::open(its->pod, its->pool_, its->random_);
            SKIFF_CO_TRY(auto round, co_await std::move(opened));
            for (const std::string& name : wanted) {
                auto answer = co_await round->find(name);
                std::string text = answer ? "" : std::string(to_string(answer.error().code));
                for (const IpAddress& address : answer.value_or(FoundName{}).addresses) {
                    text += (text.empty() ? "" : " ") + format_as(address);
                }
                out->push_back(text);
            }
            co_return Result<void>{};
        };
        auto done = async::run_to_end(reactor_, body(this, names, &found));
        EXPECT_TRUE(done) << done.error().message;
        return found;
    }
    LookupRound::Pod pod;
    TestNameServer first{ip("192.0.2.9")};
    TestNameServer second{ip("fd99::10")};

private:
    SeededRandom random_{7};
    async::Reactor reactor_;
    async::BlockingPool pool_{reactor_, 2, 64};
};

void with_lookups(const std::function<void(Lookups&)>& body) {
    as_a_node([&] {
        const TestFolder folder;
        add_test_addresses();
        Lookups lookups(make_test_pod(folder));
        body(lookups);
        EXPECT_TRUE(remove_wire({"0a1b2c3d", folder.path(), WireSettings::NodeEnd::bare}, 7));
    });
}

TEST(LookupRound, AsksFromWithinThePodForBothFamilies) {
    SKIFF_NEEDS_ROOT();
    with_lookups([](Lookups& its) {
        its.first.set("db.example", {"192.0.2.1", "fd00::1"});
        EXPECT_EQ(its.find({"db.example", "nosuch.example"}), (Texts{"192.0.2.1 fd00::1", ""}));
        EXPECT_EQ(its.first.asked(),
                  (Texts{"db.example/4", "db.example/6", "nosuch.example/4", "nosuch.example/6"}));
        EXPECT_EQ(its.first.asker(), ip("10.1.2.7")) << "not the node";
        EXPECT_EQ(its.second.asked(), Texts{});
        EXPECT_EQ(its.find({"hosted"}), Texts{"192.0.2.77"}) << "the hosts file goes first";
        EXPECT_EQ(its.first.asked(), Texts{});
    });
}

TEST(LookupRound, ObeysSearchDomains) {
    SKIFF_NEEDS_ROOT();
    with_lookups([](Lookups& its) {
        its.pod.resolving.searches = {"shop.svc", "svc"};
        its.first.set("db.svc", {"192.0.2.1"});
        EXPECT_EQ(its.find({"db"}), Texts{"192.0.2.1"});
        EXPECT_EQ(its.first.asked(),
                  (Texts{"db.shop.svc/4", "db.shop.svc/6", "db.svc/4", "db.svc/6"}));
    });
}

TEST(LookupRound, GoesToTheNextServerAndAsksASilentOneOnce) {
    SKIFF_NEEDS_ROOT();
    with_lookups([](Lookups& its) {
        its.second.set("db.example", {"192.0.2.1"});
        its.first.set_mood(TestNameServer::Mood::fails);
        EXPECT_EQ(its.find({"db.example"}), Texts{"192.0.2.1"});
        its.first.set_mood(TestNameServer::Mood::silent);
        its.pod.resolving.attempts = 2;
        EXPECT_EQ(its.find({"db.example", "db.example"}), (Texts{"192.0.2.1", "192.0.2.1"}));
        its.second.set_mood(TestNameServer::Mood::fails);
        EXPECT_EQ(its.find({"db.example"}), Texts{"unavailable"});
    });
}

TEST(LookupRound, AsksByTcpForWhatWasTruncated) {
    SKIFF_NEEDS_ROOT();
    with_lookups([](Lookups& its) {
        its.first.set_mood(TestNameServer::Mood::truncates);
        Texts many;
        for (int i = 1; i <= 60; ++i) {
            many.push_back(fmt::format("192.0.2.{}", i));
        }
        its.first.set("db.example", many);
        const auto found = its.find({"db.example"});
        EXPECT_EQ(std::ranges::count(found.at(0), ' '), 59);
        EXPECT_EQ(its.first.asked(),
                  (Texts{"db.example/4", "db.example/4/tcp", "db.example/6", "db.example/6/tcp"}));
    });
}

}  // namespace
}  // namespace skiff::network
