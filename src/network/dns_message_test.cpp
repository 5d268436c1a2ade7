#include "network/dns_message.h"

#include <gtest/gtest.h>

#include "network/dns_testing.h"
#include "network/net_fixture.h"

namespace skiff::network {
namespace {

DnsQuestion question(std::string name = "db.example", IpFamily family = IpFamily::v4) {
    return {0x1234, std::move(name), family};
}

std::string asked(const DnsQuestion& its = question()) {
    auto text = format_dns_question(its);
    EXPECT_TRUE(text);
    return text.value_or("");
}

TEST(DnsMessage, AsksForOneTypeOfOneName) {
    using namespace std::string_literals;
    EXPECT_EQ(asked(question("Db.Example.")),
              "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01"
              "\x02"
              "db\x07"
              "example\x00\x00\x01\x00\x01"
              "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"s);
    for (const std::string& wrong : {std::string(), std::string("a..b"), std::string(".a"),
                                     std::string(64, 'a') + ".example", std::string(254, 'a')}) {
        EXPECT_EQ(format_dns_question(question(wrong)).error().code, Code::invalid) << wrong;
    }
}

TEST(DnsMessage, TellsAddressesAndWhenTheyEnd) {
    TestAnswer answer(asked());
    answer.add("db.example", ip("192.0.2.1"), 60).add("db.example", ip("192.0.2.2"), 20);
    answer.add("other.example", ip("192.0.2.3"), 5).add("db.example", ip("fd00::1"), 5);
    auto parsed = parse_dns_answer(answer.text(), question("DB.example"));
    ASSERT_TRUE(parsed) << parsed.error().message;
    EXPECT_EQ(parsed->addresses, (std::vector{ip("192.0.2.1"), ip("192.0.2.2")}));
    EXPECT_EQ(parsed->ttl, std::chrono::seconds(20));
    const auto v6 = question("db.example", IpFamily::v6);
    TestAnswer other(asked(v6));
    other.add("db.example", ip("fd00::1"), 5);
    EXPECT_EQ(parse_dns_answer(other.text(), v6)->addresses, std::vector{ip("fd00::1")});
}

TEST(DnsMessage, FollowsAliases) {
    TestAnswer answer(asked());
    answer.add_alias("db.example", "one.example", 3).add_alias("one.example", "two.example", 60);
    answer.add("two.example", ip("192.0.2.1"), 60).add("db.example", ip("192.0.2.9"), 60);
    auto parsed = parse_dns_answer(answer.text(), question());
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->addresses, std::vector{ip("192.0.2.1")});
    EXPECT_EQ(parsed->ttl, std::chrono::seconds(3));
    TestAnswer round(asked());
    round.add_alias("db.example", "one.example", 3).add_alias("one.example", "db.example", 3);
    EXPECT_TRUE(parse_dns_answer(round.text(), question())->addresses.empty());
}

TEST(DnsMessage, TellsNoSuchNameFromNoAnswer) {
    auto none = parse_dns_answer(TestAnswer(asked()).code(3).text(), question());
    ASSERT_TRUE(none);
    EXPECT_TRUE(none->addresses.empty());
    for (const auto code : std::initializer_list<std::uint8_t>{1, 2, 5}) {
        auto failed = parse_dns_answer(TestAnswer(asked()).code(code).text(), question());
        EXPECT_EQ(failed.error().code, Code::unavailable) << int{code};
    }
    auto cut = parse_dns_answer(TestAnswer(asked()).truncated().text(), question());
    ASSERT_TRUE(cut);
    EXPECT_EQ(cut->extent, DnsAnswer::Extent::truncated);
}

TEST(DnsMessage, TakesNoAnswerToAnotherQuestion) {
    const std::string answer = TestAnswer(asked()).add("db.example", ip("192.0.2.1"), 60).text();
    ASSERT_TRUE(parse_dns_answer(answer, question()));
    DnsQuestion other = question();
    other.id = 0x1235;
    EXPECT_EQ(parse_dns_answer(answer, other).error().code, Code::not_found);
    EXPECT_EQ(parse_dns_answer(answer, question("dc.example")).error().code, Code::not_found);
    EXPECT_EQ(parse_dns_answer(answer, question("db.example", IpFamily::v6)).error().code,
              Code::not_found);
    EXPECT_EQ(parse_dns_answer(asked(), question()).error().code, Code::not_found)
        << "the question itself";
}

TEST(DnsMessage, RefusesWhatIsTorn) {
    const std::string answer = TestAnswer(asked()).add("db.example", ip("192.0.2.1"), 60).text();
    for (std::size_t size = 0; size < answer.size(); ++size) {
        auto parsed = parse_dns_answer(answer.substr(0, size), question());
        ASSERT_FALSE(parsed) << size;
        EXPECT_EQ(parsed.error().code, Code::corrupt) << size;
    }
    // A name that points to itself.
    std::string round = answer;
    round[12] = '\xc0';
    round[13] = '\x0c';
    EXPECT_EQ(parse_dns_answer(round, question()).error().code, Code::corrupt);
}

TEST(DnsMessage, BoundsTheAddresses) {
    TestAnswer answer(asked());
    for (std::size_t i = 0; i < kDnsAddressesMax + 3; ++i) {
        answer.add("db.example", ip(fmt::format("192.0.2.{}", i)), 60);
    }
    EXPECT_EQ(parse_dns_answer(answer.text(), question())->addresses.size(), kDnsAddressesMax);
}

}  // namespace
}  // namespace skiff::network
