#include "network/cni_result.h"

#include <gtest/gtest.h>

namespace skiff::network {
namespace {

using Texts = std::vector<std::string>;

// The example of the specification of 0.4.0: addresses say their family.
constexpr const char* kOld = R"({
  "interfaces": [{"name": "cni0", "mac": "00:11:22:33:44:55"}, {"name": "veth3243"},
                 {"name": "eth0", "mac": "99:88:77:66:55:44", "sandbox": "/run/netns/blue"}],
  "ips": [{"version": "4", "address": "10.1.0.5/16", "gateway": "10.1.0.1", "interface": 2},
          {"version": "6", "address": "FD00:0::05/64", "interface": 2}],
  "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.3.0.0/16", "gw": "10.1.0.9"}],
  "dns": {"nameservers": ["10.1.0.1", "fe80::1%eth0"], "domain": "d", "search": ["s"],
          "options": ["ndots:5"]}})";

constexpr const char* kNew = R"({"cniVersion": "1.1.0",
  "interfaces": [{"name": "eth0", "sandbox": "/run/netns/blue", "mtu": 1400, "socketPath": "/s"}],
  "ips": [{"address": "10.1.0.5/16", "interface": 0}],
  "routes": [{"dst": "::/0", "gw": "fd00::1", "mtu": 1400, "table": 7, "scope": 253}]})";

TEST(CniResult, ReadsEveryVersionIntoTheSame) {
    for (CniVersion version : kCniVersions) {
        const auto result = parse_cni_result(kOld, version);
        ASSERT_TRUE(result) << result.error().message;
        ASSERT_EQ(result->interfaces.size(), 3U);
        EXPECT_EQ(result->interfaces[2],
                  (CniInterface{"eth0", "99:88:77:66:55:44", "/run/netns/blue", std::nullopt}));
        const std::vector<CniAddress> ips = {{"10.1.0.5", 16, "10.1.0.1", 2},
                                             {"fd00::5", 64, "", 2}};
        EXPECT_EQ(result->ips, ips);
        const std::vector<CniRoute> routes = {{"0.0.0.0/0", ""}, {"10.3.0.0/16", "10.1.0.9"}};
        EXPECT_EQ(result->routes, routes);
        const DnsConfig dns{{"10.1.0.1", "fe80::1%eth0"}, {"s"}, {"ndots:5"}};
        EXPECT_EQ(result->dns, dns);
        EXPECT_EQ(result->dns_domain, "d");
        EXPECT_NE(result->json.find(fmt::format("\"cniVersion\":\"{}\"", to_string(version))),
                  std::string::npos);
        // What it keeps for the next plugin means the same.
        const auto again = parse_cni_result(result->json, version);
        ASSERT_TRUE(again);
        EXPECT_EQ(*again, *result);
    }
    const auto result = parse_cni_result(kNew, CniVersion::v1_1_0);
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(result->interfaces[0].mtu, 1400);
    EXPECT_EQ(result->routes[0], (CniRoute{"::/0", "fd00::1"}));
    // Fields that Skiff has no use for reach the next plugin.
    EXPECT_NE(result->json.find("\"socketPath\": \"/s\""), std::string::npos) << result->json;
}

TEST(CniResult, ThePodsAddressesAreThoseOfItsInterface) {
    const auto addresses = [](const std::string& fields) {
        const auto result = parse_cni_result("{" + fields + "}", CniVersion::v1_0_0);
        EXPECT_TRUE(result) << (result ? "" : result.error().message);
        return result ? result->addresses_of("eth0") : Texts();
    };
    const std::string interfaces =
        R"("interfaces":[{"name":"veth1"},{"name":"eth0"},)"
        R"({"name":"eth0","sandbox":"/n"},{"name":"net1","sandbox":"/n"}],)";
    EXPECT_EQ(addresses(interfaces + R"("ips":[
                  {"address":"10.0.0.1/24","interface":0}, {"address":"10.0.0.2/24","interface":1},
                  {"address":"fd00::3/64","interface":2}, {"address":"10.0.0.3/24","interface":2},
                  {"address":"10.0.0.4/24","interface":3}])"),
              (Texts{"fd00::3", "10.0.0.3"}));
    EXPECT_EQ(addresses(interfaces + R"("ips":[{"address":"10.0.0.9/32"}])"), Texts{"10.0.0.9"});
    EXPECT_EQ(addresses(R"("ips":[{"address":"10.0.0.9/32","interface":-1}])"), Texts{"10.0.0.9"});
    EXPECT_EQ(addresses(R"("ips":null)"), Texts());
}

TEST(CniResult, NamesTheFieldThatIsWrong) {
    struct Case {
        const char* text;
        const char* told;
    };
    for (const Case& c : {
             Case{"", "not JSON"},
             Case{"hello", "not JSON"},
             Case{"{}x", "not JSON"},
             Case{"null", "expected a map, found null"},
             Case{R"({"cniVersion":"0.4.0"})",
                  "cniVersion: \"0.4.0\", but the plugin was asked for 1.0.0"},
             Case{R"({"cniVersion":1})", "cniVersion: expected a string, found 1"},
             Case{R"({"ips":{}})", "ips: expected a list, found a map"},
             Case{R"({"ips":[{}]})", "ips[0].address: \"\" is no address with a prefix"},
             Case{R"({"ips":[{"address":"10.0.0.1"}]})",
                  "ips[0].address: \"10.0.0.1\" is no address"},
             Case{R"({"ips":[{"address":"10.0.0.1/33"}]})", "ips[0].address"},
             Case{R"({"ips":[{"address":"10.0.0.1/+1"}]})", "ips[0].address"},
             Case{R"({"ips":[{"address":"10.0.0.1\u0000x/8"}]})", "ips[0].address"},
             Case{R"({"ips":[{"address":"fd00::1/129"}]})", "ips[0].address"},
             Case{R"({"ips":[{"address":"10.0.0.1/8","gateway":"x"}]})",
                  "ips[0].gateway: \"x\" is no IP address"},
             Case{R"({"ips":[{"address":"10.0.0.1/8","version":"6"}]})",
                  "ips[0].version: \"6\", but 10.0.0.1 is of version 4"},
             Case{R"({"ips":[{"address":"10.0.0.1/8","interface":0}]})",
                  "ips[0].interface: 0 is none of the 0 interfaces"},
             Case{R"({"interfaces":[{"name":"a"}],"ips":[{"address":"10.0.0.1/8","interface":1}]})",
                  "ips[0].interface: 1 is none of the 1 interfaces"},
             Case{R"({"ips":[{"address":"10.0.0.1/8","interface":-2}]})", "ips[0].interface"},
             Case{R"({"ips":[{"address":"10.0.0.1/8","interface":0.5}]})",
                  "ips[0].interface: expected a whole number, found 5E-1"},
             Case{R"({"interfaces":[{"mac":"a"}]})", "interfaces[0].name: missing"},
             Case{R"({"interfaces":["eth0"]})",
                  "interfaces[0]: expected a map, found the string \"eth0\""},
             Case{R"({"routes":[{"dst":"default"}]})", "routes[0].dst: \"default\" is no address"},
             Case{R"({"routes":[{"dst":"::/0","gw":"y"}]})",
                  "routes[0].gw: \"y\" is no IP address"},
             Case{R"({"dns":[]})", "dns: expected a map, found a list"},
             Case{R"({"dns":{"nameservers":["ns1"]}})",
                  "dns.nameservers: \"ns1\" is no IP address"},
             Case{R"({"dns":{"search":[1]}})", "dns.search[0]: expected a string, found 1"},
         }) {
        const auto result = parse_cni_result(c.text, CniVersion::v1_0_0);
        ASSERT_FALSE(result) << c.text;
        EXPECT_EQ(result.error().code, Code::corrupt) << c.text;
        EXPECT_NE(result.error().message.find(c.told), std::string::npos)
            << c.text << " gave: " << result.error().message;
    }
}

TEST(CniResult, HasLimits) {
    const auto routes = [](std::size_t count) {
        std::string text = R"({"routes":[)";
        for (std::size_t i = 0; i < count; ++i) {
            text += i == 0 ? R"({"dst":"::/0"})" : R"(,{"dst":"::/0"})";
        }
        return parse_cni_result(text + "]}", CniVersion::v1_0_0);
    };
    EXPECT_TRUE(routes(kCniResultItemsMax));
    EXPECT_FALSE(routes(kCniResultItemsMax + 1));
    const auto domain = [](std::size_t bytes) {
        return parse_cni_result(R"({"dns":{"domain":")" + std::string(bytes, 'd') + "\"}}",
                                CniVersion::v1_0_0);
    };
    EXPECT_TRUE(domain(kCniResultTextBytesMax));
    EXPECT_FALSE(domain(kCniResultTextBytesMax + 1));
}

TEST(CniError, IsToldFromAResult) {
    struct Case {
        const char* text;
        std::int64_t code;
        const char* message;
    };
    for (const Case& c : {
             Case{R"({"code":7,"msg":"Invalid Configuration","details":"too small\n"})", 7,
                  "Invalid Configuration; too small"},
             Case{R"({"cniVersion":"1.0.0","code":11,"msg":" busy "})", 11, "busy"},
             Case{R"({"code":999,"msg":"","details":"d"})", 999, "d"},
             Case{R"({"code":100})", 100, "no message"},
             Case{R"({"msg":"only words"})", 0, "only words"},
             Case{R"({"code":"x","msg":"odd code"})", 0, "odd code"},
         }) {
        const auto error = parse_cni_error(c.text);
        ASSERT_TRUE(error) << c.text;
        EXPECT_EQ(error->code, c.code) << c.text;
        EXPECT_EQ(error->message, c.message) << c.text;
    }
    for (const char* text : {"", "x", "[]", "{}", R"({"code":0})", R"({"msg":""})", R"({"msg":7})",
                             R"({"ips":[]})", kOld, kNew}) {
        EXPECT_FALSE(parse_cni_error(text)) << text;
    }
    const auto long_one = parse_cni_error(R"({"code":1,"msg":")" + std::string(5000, 'm') + "\"}");
    ASSERT_TRUE(long_one);
    EXPECT_EQ(long_one->message.size(), 600U);
}

TEST(CniError, SaysWhatTheCallerMayDo) {
    const std::vector<std::pair<std::int64_t, Code>> codes = {
        {0, Code::unavailable},   {1, Code::unsupported},  {2, Code::unsupported},
        {3, Code::not_found},     {4, Code::invalid},      {5, Code::unavailable},
        {6, Code::invalid},       {7, Code::invalid},      {11, Code::unavailable},
        {50, Code::unavailable},  {51, Code::unavailable}, {100, Code::unavailable},
        {999, Code::unavailable}, {-1, Code::unavailable},
    };
    for (const auto& [code, expected] : codes) {
        EXPECT_EQ(code_of_cni_error(code), expected) << code;
    }
}

TEST(CniVersions, AreThoseThatBothSpeak) {
    const auto spoken = parse_cni_versions(
        R"({"cniVersion":"1.0.0","supportedVersions":["1.0.0","0.1.0","0.4.0"]})");
    ASSERT_TRUE(spoken);
    EXPECT_EQ(*spoken, (std::vector{CniVersion::v0_4_0, CniVersion::v1_0_0}));
    const auto none = parse_cni_versions(R"({"supportedVersions":["9.0.0"]})");
    ASSERT_TRUE(none);
    EXPECT_TRUE(none->empty());
    for (const char* text :
         {"", "{}", R"({"supportedVersions":[]})", R"({"supportedVersions":[1]})"}) {
        EXPECT_FALSE(parse_cni_versions(text)) << text;
    }
}

}  // namespace
}  // namespace skiff::network
