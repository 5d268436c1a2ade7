#include "probes/request.h"

#include <gtest/gtest.h>

#include "probes/fixture.h"

namespace skiff::probes {
namespace {

using std::chrono::seconds;

kube::Container web() {
    kube::Container container = container_named("web");
    kube::ContainerPort port;
    port.name = "http";
    port.containerPort = 8080;
    container.ports.push_back(port);
    return container;
}

Result<http::Request> request(const kube::HTTPGetAction& action) {
    static const kube::Container container = web();
    return http_request(action, Place{"10.0.0.7", container, "kube-probe/1.37", seconds(2)});
}

kube::HTTPGetAction get(std::string path, kube::IntOrString port = port_number(80)) {
    kube::HTTPGetAction action;
    action.path = std::move(path);
    action.port = std::move(port);
    return action;
}

TEST(ProbeRequest, PortsAreNumbersOrNamesOfTheContainersOwn) {
    EXPECT_EQ(*port_of(port_number(80), web()), 80);
    EXPECT_EQ(*port_of(port_name("http"), web()), 8080);
    EXPECT_EQ(*port_of(port_name("81"), web()), 81);
    EXPECT_EQ(port_of(port_name("admin"), web()).error().message,
              "container web has no port named \"admin\"");
    EXPECT_EQ(port_of(port_number(0), web()).error().message, "port 0 is not in 1–65535");
    EXPECT_EQ(port_of(port_number(65536), web()).error().message, "port 65536 is not in 1–65535");
}

TEST(ProbeRequest, GoesToThePodUnlessAHostIsNamed) {
    EXPECT_EQ(request(get("/healthz"))->url, "http://10.0.0.7:80/healthz");
    auto action = get("healthz?full=1#top", port_name("http"));
    action.scheme = "HTTPS";
    action.host = "other.example";
    EXPECT_EQ(request(action)->url, "https://other.example:8080/healthz?full=1");
    action.host = "fd00::1";
    EXPECT_EQ(request(action)->url, "https://[fd00::1]:8080/healthz?full=1");
    kube::Container container = web();
    Place nowhere{"", container, "x", seconds(1)};
    EXPECT_EQ(http_request(get("/"), nowhere).error().message, "the pod has no address");
}

TEST(ProbeRequest, EscapesWhatMayNotStandInAUrl) {
    EXPECT_EQ(target_of("/a b"), "/a%20b");
    EXPECT_EQ(target_of("/a%20b"), "/a%20b");
    EXPECT_EQ(target_of("/100%"), "/100%25");
    EXPECT_EQ(target_of("/é\r\n<x>"), "/%C3%A9%0D%0A%3Cx%3E");
    EXPECT_EQ(target_of(""), "/");
}

TEST(ProbeRequest, SaysWhoAsksUnlessTheProbeDoes) {
    auto plain = request(get("/"));
    EXPECT_EQ(plain->headers.find("User-Agent"), "kube-probe/1.37");
    EXPECT_EQ(plain->headers.find("Accept"), "*/*");
    EXPECT_EQ(plain->headers.find("Connection"), "close");
    auto action = get("/");
    action.httpHeaders = {{"user-agent", ""}, {"Accept", "text/html"}, {"X-A", "1"}, {"X-A", "2"}};
    auto given = request(action);
    EXPECT_EQ(given->headers.find("User-Agent"), std::nullopt);
    EXPECT_EQ(given->omitted, std::vector<std::string>{"User-Agent"});
    EXPECT_EQ(given->headers.find("Accept"), "text/html");
    EXPECT_EQ(given->headers.find_all("X-A").size(), 2U);
}

TEST(ProbeRequest, AHostFieldStaysWithItsServer) {
    auto action = get("/");
    action.httpHeaders = {{"Host", "shop.example"}};
    auto its = request(action);
    ASSERT_TRUE(follow(*its, "/next"));
    EXPECT_EQ(its->url, "http://10.0.0.7/next");
    EXPECT_EQ(its->headers.find("Host"), "shop.example");
    ASSERT_TRUE(follow(*its, "http://10.0.0.7:81/"));
    EXPECT_EQ(its->headers.find("Host"), std::nullopt);
    EXPECT_FALSE(follow(*its, "gopher://x/"));
}

}  // namespace
}  // namespace skiff::probes
