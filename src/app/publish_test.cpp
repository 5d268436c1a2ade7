#include "app/publish.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace skiff::app {
namespace {

using ::testing::HasSubstr;

TEST(Publish, TakesWhatPodmansUsersWrite) {
    struct Case {
        std::string_view text, address, protocol;
        int host_port, port;
    };
    for (const Case& c :
         {Case{"8080:80", "", "TCP", 8080, 80},
          Case{"127.0.0.1:8080:80", "127.0.0.1", "TCP", 8080, 80},
          Case{"[::1]:1:65535", "::1", "TCP", 1, 65535}, Case{"53:5353/udp", "", "UDP", 53, 5353},
          Case{"192.0.2.1:53:5353/UDP", "192.0.2.1", "UDP", 53, 5353},
          Case{"7:7/sctp", "", "SCTP", 7, 7}}) {
        auto port = parse_publish(c.text);
        ASSERT_TRUE(port) << c.text << ": " << port.error().message;
        EXPECT_EQ(port->hostIP, c.address);
        EXPECT_EQ(port->protocol, c.protocol);
        EXPECT_EQ(port->hostPort, c.host_port);
        EXPECT_EQ(port->containerPort, c.port);
    }
}

TEST(Publish, AnythingElseIsRefusedWithItsText) {
    for (const std::string_view text :
         {"", "8080", ":80", "8080:", "0:80", "8080:65536", "-1:80", "8080:80/", "8080:80/icmp",
          "web:8080:80", "127.0.0.1:8080", "127.0.0.1::80", "::1:8080:80", "[::1:8080:80",
          "[]:8080:80", "1:2:3:4", "8000-8010:80", "8080:80 ", "8080:80/tcp/udp"}) {
        auto port = parse_publish(text);
        ASSERT_FALSE(port) << text;
        EXPECT_EQ(port.error().code, Code::invalid);
        EXPECT_THAT(port.error().message, HasSubstr(fmt::format("-p \"{}\"", text)));
        EXPECT_THAT(port.error().message, HasSubstr("HOSTPORT:PORT"));
    }
}

TEST(Publish, APortLeadsToOneGuestPort) {
    EXPECT_TRUE(parse_published({"80:80", "80:80/udp", "81:80"}));
    EXPECT_TRUE(parse_published({"192.0.2.1:80:80", "192.0.2.2:80:80"}));
    for (const char* other : {"80:81", "192.0.2.1:80:81"}) {
        auto twice = parse_published({"80:80", other});
        ASSERT_FALSE(twice);
        EXPECT_THAT(twice.error().message, HasSubstr("given twice"));
        EXPECT_THAT(twice.error().message, HasSubstr(other));
    }
}

}  // namespace
}  // namespace skiff::app
