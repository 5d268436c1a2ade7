#include "network/egress_policy.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>

#include "network/egress_testing.h"
#include "network/nftables.h"

namespace skiff::network {
namespace {

EgressPolicy policy_of(std::string_view text) {
    EgressPolicy policy;
    if (!text.empty()) {
        auto parsed = parse_egress(text);
        EXPECT_TRUE(parsed) << parsed.error().message;
        policy.allowed = std::move(*parsed);
    }
    policy.name_servers = {ip("192.0.2.10"), ip("fd99::10")};
    policy.node_addresses = {ip("198.51.100.4"), ip("fd99::4")};
    policy.node_ports = {10250, 10260};
    return policy;
}

void put_into_force(const std::filesystem::path& pin, const EgressPolicy& policy,
                    const NameAddresses& names = {},
                    EarlierAnswers earlier = EarlierAnswers::removed) {
    auto name_space = open_pinned(pin);
    ASSERT_TRUE(name_space);
    const std::string script = format_egress_table(policy, names, earlier);
    auto done = in_namespace(*name_space, [&] { return run_nft(script); });
    ASSERT_TRUE(done) << done.error().message << "\n" << script;
}

TEST(EgressPolicy, SaysWhichNamesAreLookedUpAndWhichCannotBe) {
    const auto listed = policy_of("b.example:443, a.example, b.example:80, *.c.example:443, ::/0");
    EXPECT_EQ(names_of(listed.allowed), (std::vector<std::string>{"a.example", "b.example"}));
    EXPECT_EQ(unenforced_entries(listed.allowed), std::vector<std::string>{"*.c.example:443"});
    EXPECT_TRUE(needs_names(listed.allowed));
    EXPECT_FALSE(needs_names(policy_of("10.0.0.0/8").allowed));
    EXPECT_FALSE(needs_names(policy_of("none").allowed));
    EXPECT_TRUE(needs_names(policy_of("").allowed));
}

TEST(EgressPolicy, BoundsTheAddressesOfNames) {
    NameAddresses names;
    for (std::size_t i = 0; i < kNameElementsMax + 10; ++i) {
        IpAddress address{IpFamily::v4, {10, 0}};
        address.bytes[2] = static_cast<std::uint8_t>(i >> 8U);
        address.bytes[3] = static_cast<std::uint8_t>(i);
        names["a.example"].push_back(address);
    }
    const std::string text =
        format_egress_table(policy_of("a.example"), names, EarlierAnswers::removed);
    std::size_t count = 0;
    for (std::size_t at = 0; (at = text.find("10.0.", at)) != std::string::npos; ++at) {
        ++count;
    }
    EXPECT_EQ(count, kNameElementsMax);
}

TEST(EgressTable, ClosesMetadataAndTheAgentToPodsWithoutPolicy) {
    SKIFF_NEEDS_ROOT();
    beside_a_pod([](const auto& pod) {
        EXPECT_EQ(reach(pod, "169.254.169.254", 80), Reached::yes) << "before the table";
        put_into_force(pod, policy_of(""));
        for (const char* closed : {"169.254.169.254", "fd00:ec2::254"}) {
            EXPECT_EQ(reach(pod, closed, 80), Reached::refused) << closed;
            EXPECT_FALSE(reach_by_udp(pod, closed, 80)) << closed;
        }
        for (const char* node : {"198.51.100.4", "fd99::4"}) {
            EXPECT_EQ(reach(pod, node, 10250), Reached::refused) << node;
            EXPECT_EQ(reach(pod, node, 10260), Reached::refused) << node;
            EXPECT_EQ(reach(pod, node, 80), Reached::yes) << node;
        }
        for (const char* other : {"192.0.2.9", "fd99::9"}) {
            EXPECT_EQ(reach(pod, other, 10250), Reached::yes) << "another machine's: " << other;
            EXPECT_TRUE(reach_by_udp(pod, other, 5000)) << other;
        }
    });
}

// kube-proxy's masquerading gives callers any port: one connection in 65,000 came to nothing.
TEST(EgressTable, AnswersCallersWhoseOwnPortIsTheAgents) {
    SKIFF_NEEDS_ROOT();
    beside_a_pod([](const auto& pod) {
        put_into_force(pod, policy_of(""));
        for (const auto& [node, own] :
             {std::pair("198.51.100.4", "10.1.2.7"), std::pair("fd99::4", "fd00:1::7")}) {
            const os::Fd server = listen_in(pod, ip(own).family, 8080);
            auto seen = talk(server, ip(own), 8080, socket_address(ip(node), 10250));
            EXPECT_TRUE(seen) << own << ": " << seen.error().message;
        }
    });
}

TEST(EgressTable, AnEntryOfTheVeryAddressOpensWhatIsClosed) {
    SKIFF_NEEDS_ROOT();
    beside_a_pod([](const auto& pod) {
        put_into_force(pod, policy_of("0.0.0.0/0, ::/0"));
        EXPECT_EQ(reach(pod, "169.254.169.254", 80), Reached::refused) << "a network is no entry";
        EXPECT_EQ(reach(pod, "198.51.100.4", 10250), Reached::refused);
        EXPECT_EQ(reach(pod, "192.0.2.9", 80), Reached::yes);
        put_into_force(pod, policy_of("169.254.169.254:80, fd00:ec2::254, 198.51.100.4:10250"));
        EXPECT_EQ(reach(pod, "169.254.169.254", 80), Reached::yes);
        EXPECT_EQ(reach(pod, "169.254.169.254", 81), Reached::refused);
        EXPECT_EQ(reach(pod, "fd00:ec2::254", 81), Reached::yes);
        EXPECT_EQ(reach(pod, "198.51.100.4", 10250), Reached::yes);
        EXPECT_EQ(reach(pod, "fd99::4", 10250), Reached::refused);
    });
}

TEST(EgressTable, LetsOutWhatIsListedAndNothingElse) {
    SKIFF_NEEDS_ROOT();
    beside_a_pod([](const auto& pod) {
        put_into_force(pod, policy_of("192.0.2.9/31:80, [fd99::9/125]:80"));
        for (const char* listed : {"192.0.2.9", "fd99::9"}) {
            EXPECT_EQ(reach(pod, listed, 80), Reached::yes) << listed;
            EXPECT_EQ(reach(pod, listed, 81), Reached::refused) << listed;
            EXPECT_TRUE(reach_by_udp(pod, listed, 80)) << listed;
            EXPECT_FALSE(reach_by_udp(pod, listed, 81)) << listed;
        }
        for (const char* other : {"192.0.2.10", "198.51.100.4", "fd99::4", "169.254.169.254"}) {
            EXPECT_EQ(reach(pod, other, 80), Reached::refused) << other;
        }
        EXPECT_FALSE(reach_by_udp(pod, "192.0.2.10", 53)) << "no names, no name servers";
        put_into_force(pod, policy_of("none"));
        EXPECT_EQ(reach(pod, "192.0.2.9", 80), Reached::refused);
        EXPECT_EQ(reach(pod, "fd99::9", 80), Reached::refused);
    });
}

TEST(EgressTable, AnswersWhoComesInWhateverThePolicy) {
    SKIFF_NEEDS_ROOT();
    beside_a_pod([](const auto& pod) {
        put_into_force(pod, policy_of("none"));
        for (const char* own : {"10.1.2.7", "fd00:1::7"}) {
            const os::Fd server = listen_in(pod, ip(own).family, 8080);
            EXPECT_TRUE(talk(server, ip(own), 8080)) << own;
            EXPECT_TRUE(talk_from(pod, server, ip(own), 8080)) << "the pod itself: " << own;
        }
        const os::Fd inside = listen_in(pod, IpFamily::v4, 8081);
        EXPECT_TRUE(talk_from(pod, inside, ip("127.0.0.1"), 8081));
    });
}

TEST(EgressTable, LetsOutToTheAddressesOfNames) {
    SKIFF_NEEDS_ROOT();
    beside_a_pod([](const auto& pod) {
        const auto policy = policy_of("a.example:80, b.example");
        const NameAddresses names = {{"a.example", {ip("192.0.2.9"), ip("fd99::9")}},
                                     {"b.example", {ip("198.51.100.4"), ip("169.254.169.254")}}};
        put_into_force(pod, policy, names);
        EXPECT_EQ(reach(pod, "192.0.2.9", 80), Reached::yes);
        EXPECT_EQ(reach(pod, "192.0.2.9", 81), Reached::refused);
        EXPECT_EQ(reach(pod, "fd99::9", 80), Reached::yes);
        EXPECT_EQ(reach(pod, "198.51.100.4", 81), Reached::yes);
        EXPECT_EQ(reach(pod, "198.51.100.4", 10250), Reached::refused)
            << "a name opens nothing closed";
        EXPECT_EQ(reach(pod, "169.254.169.254", 81), Reached::refused);
        EXPECT_TRUE(reach_by_udp(pod, "192.0.2.10", 53)) << "the name server";
        EXPECT_EQ(reach(pod, "fd99::10", 53), Reached::yes);
        EXPECT_FALSE(reach_by_udp(pod, "192.0.2.10", 54));
        EXPECT_FALSE(reach_by_udp(pod, "192.0.2.9", 53)) << "no name server";
    });
}

TEST(EgressTable, KeepsEarlierAnswersOfTheSameEntriesUntilTheyAreRemoved) {
    SKIFF_NEEDS_ROOT();
    beside_a_pod([](const auto& pod) {
        const auto policy = policy_of("a.example");
        const NameAddresses earlier = {{"a.example", {ip("192.0.2.9")}}};
        const NameAddresses now = {{"a.example", {ip("192.0.2.10")}}};
        put_into_force(pod, policy, earlier);
        put_into_force(pod, policy, now, EarlierAnswers::kept);
        put_into_force(pod, policy, now, EarlierAnswers::kept);
        EXPECT_EQ(reach(pod, "192.0.2.9", 80), Reached::yes);
        EXPECT_EQ(reach(pod, "192.0.2.10", 80), Reached::yes);
        put_into_force(pod, policy_of("b.example"), {}, EarlierAnswers::kept);
        EXPECT_EQ(reach(pod, "192.0.2.9", 80), Reached::refused) << "of other entries";
        put_into_force(pod, policy, now, EarlierAnswers::removed);
        EXPECT_EQ(reach(pod, "192.0.2.9", 80), Reached::refused);
        EXPECT_EQ(reach(pod, "192.0.2.10", 80), Reached::yes);
        put_into_force(pod, policy_of(""), {}, EarlierAnswers::kept);
        EXPECT_EQ(reach(pod, "192.0.2.9", 80), Reached::yes) << "the policy went";
        put_into_force(pod, policy_of("none"), {}, EarlierAnswers::kept);
        EXPECT_EQ(reach(pod, "192.0.2.9", 80), Reached::refused) << "and came again";
    });
}

TEST(EgressTable, ADomainLeavesItsPortOpenButForWhatIsClosed) {
    SKIFF_NEEDS_ROOT();
    beside_a_pod([](const auto& pod) {
        put_into_force(pod, policy_of("*.example:80"));
        EXPECT_EQ(reach(pod, "192.0.2.9", 80), Reached::yes);
        EXPECT_EQ(reach(pod, "192.0.2.9", 81), Reached::refused);
        EXPECT_EQ(reach(pod, "169.254.169.254", 80), Reached::refused);
    });
}

TEST(EgressTable, IsNobodysInThePodToChange) {
    SKIFF_NEEDS_ROOT();
    beside_a_pod([](const auto& pod) {
        put_into_force(pod, policy_of("none"));
        auto name_space = open_pinned(pod);
        ASSERT_TRUE(name_space);
        auto tried = in_namespace(*name_space, []() -> Result<void> {
            constexpr long kNobody = 65534;
            // Of this thread alone, which ends with the work.
            EXPECT_EQ(::syscall(SYS_setresuid, kNobody, kNobody, kNobody), 0);
            return run_nft("delete table inet skiff-egress");
        });
        ASSERT_FALSE(tried);
        EXPECT_NE(tried.error().message.find("Operation not permitted"), std::string::npos)
            << tried.error().message;
        EXPECT_EQ(reach(pod, "192.0.2.9", 80), Reached::refused);
    });
}

}  // namespace
}  // namespace skiff::network
