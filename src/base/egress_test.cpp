#include "base/egress.h"

#include <gtest/gtest.h>

namespace skiff {
namespace {

std::array<std::uint8_t, 16> mapped(std::uint8_t a, std::uint8_t b, std::uint8_t c,
                                    std::uint8_t d) {
    return {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d};
}

TEST(Egress, ReadsNamesNetworksAndPorts) {
    const auto egress =
        parse_egress("API.example.com:443, *.svc:80 10.0.0.0/8\n192.0.2.7:53 [fd00::/8]:443 ::1");
    ASSERT_TRUE(egress) << egress.error().message;
    EXPECT_EQ(egress->reach, Reach::listed);
    ASSERT_EQ(egress->rules.size(), 6U);
    EXPECT_EQ(egress->rules[0].name, "api.example.com");
    EXPECT_EQ(egress->rules[0].port, 443);
    EXPECT_EQ(egress->rules[1].name, "*.svc");
    EXPECT_EQ(egress->rules[2].address, mapped(10, 0, 0, 0));
    EXPECT_EQ(egress->rules[2].prefix_bits, 104);
    EXPECT_EQ(egress->rules[2].port, 0);
    EXPECT_EQ(egress->rules[3].address, mapped(192, 0, 2, 7));
    EXPECT_EQ(egress->rules[3].prefix_bits, 128);
    EXPECT_EQ(egress->rules[3].port, 53);
    EXPECT_EQ(egress->rules[4].prefix_bits, 8);
    EXPECT_EQ(egress->rules[4].port, 443);
    EXPECT_EQ(egress->rules[5].prefix_bits, 128);
}

TEST(Egress, NoneAllowsNothing) {
    const auto none = parse_egress(" none ");
    ASSERT_TRUE(none);
    EXPECT_EQ(none->reach, Reach::nothing);
    EXPECT_TRUE(none->rules.empty());
}

TEST(Egress, RefusesWhatIsNoDestination) {
    for (const char* text : {"",
                             " , ",
                             "none, 10.0.0.1",
                             "10.0.0.1:0",
                             "10.0.0.1:65536",
                             "10.0.0.0/33",
                             "fd00::/129",
                             "300.1.1.1",
                             "10.0.0",
                             "a..b",
                             "-a",
                             "*",
                             "*.",
                             "a:b",
                             "a:",
                             "[::1",
                             "[::1]x",
                             "[::1]:",
                             "[a]:1",
                             "http://a",
                             "a/b"}) {
        const auto egress = parse_egress(std::string_view(text));
        ASSERT_FALSE(egress) << text;
        EXPECT_EQ(egress.error().code, Code::invalid);
    }
    EXPECT_FALSE(parse_egress_rule(std::string_view("10.0.0.1\0.example", 17)));
    const auto wrong = parse_egress("ok.example, 10.0.0.1:x");
    ASSERT_FALSE(wrong);
    EXPECT_NE(wrong.error().message.find("\"10.0.0.1:x\""), std::string::npos)
        << wrong.error().message;
}

TEST(Egress, BoundsTheList) {
    std::string text;
    for (std::size_t i = 0; i <= kEgressRulesMax; ++i) {
        text += fmt::format("h{} ", i);
    }
    const auto egress = parse_egress(text);
    ASSERT_FALSE(egress);
    EXPECT_NE(egress.error().message.find("at most 256"), std::string::npos);
}

}  // namespace
}  // namespace skiff
