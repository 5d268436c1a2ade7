#include <gtest/gtest.h>

#include "server/authorization.h"
#include "server/bounded_cache.h"
#include "server/log_query.h"
#include "server/request_target.h"

namespace skiff::server {
namespace {

TEST(RequestTarget, IsDecodedOnce) {
    auto target = parse_target("/containerLogs/ns/p%6Fd/c/?tail=a%20b+c&x&=&tail=2");
    ASSERT_TRUE(target);
    std::vector<std::string> segments = {"containerLogs", "ns", "pod", "c"};
    EXPECT_EQ(target->segments, segments);
    EXPECT_EQ(target->find("tail"), "a b c");
    EXPECT_EQ(target->find("x"), "");
    EXPECT_FALSE(target->find("y"));
    EXPECT_EQ(parse_target("/a%252Fb")->segments[0], "a%2Fb");
    EXPECT_TRUE(parse_target("/")->segments.empty());
}

TEST(RequestTarget, RefusesWhatCouldBeReadTwoWays) {
    for (std::string_view bad : {"",         "*",          "pods",           "http://h/pods",
                                 "//pods",   "/pods//",    "/a//b",          "/./pods",
                                 "/../pods", "/a/../pods", "/a/%2e%2E/pods", "/a%2fb",
                                 "/a%2Fb",   "/a%5cb",     "/%00",           "/a%0a",
                                 "/%",       "/%4",        "/%zz",           "/%c0%af",
                                 "/a#b",     "/pods?x=%"}) {
        EXPECT_FALSE(parse_target(bad)) << bad;
    }
    EXPECT_FALSE(parse_target("/" + std::string(70, 'a') + "/%ff"));
    std::string deep;
    for (int i = 0; i < 33; ++i) {
        deep += "/a";
    }
    EXPECT_FALSE(parse_target(deep));
}

TEST(Attributes, AreThoseOfTheContract) {
    struct Case {
        std::string_view method;
        std::string_view path;
        Attributes expected;
    };
    const Case cases[] = {
        {"GET", "/healthz", {"get", {"healthz", "proxy"}}},
        {"GET", "/healthz/syncloop", {"get", {"healthz", "proxy"}}},
        {"GET", "/pods", {"get", {"pods", "proxy"}}},
        {"POST", "/pods", {"create", {"pods", "proxy"}}},
        {"GET", "/podsandmore", {"get", {"proxy"}}},
        {"GET", "/runningpods/", {"get", {"pods", "proxy"}}},
        {"GET", "/containerLogs/a/b/c", {"get", {"proxy"}}},
        {"POST", "/exec/a/b/c", {"create", {"proxy"}}},
        {"PUT", "/debug/flags/v", {"update", {"proxy"}}},
        {"GET", "/metrics/cadvisor", {"get", {"metrics"}}},
        {"POST", "/stats/summary", {"create", {"stats"}}},
        {"GET", "/logs/x", {"get", {"log"}}},
        {"GET", "/configz", {"get", {"configz", "proxy"}}},
        {"POST", "/checkpoint/a/b/c", {"create", {"checkpoint"}}},
        {"DELETE", "/", {"delete", {"proxy"}}},
        {"PATCH", "/unknown", {"patch", {"proxy"}}},
        {"TRACE", "/pods", {"", {"pods", "proxy"}}},
    };
    for (const Case& c : cases) {
        EXPECT_EQ(attributes_of(c.method, *parse_target(c.path)), c.expected)
            << c.method << " " << c.path;
    }
}

TEST(LogQuery, ReadsEveryOption) {
    WallTime now{std::chrono::hours(500000)};
    auto options =
        parse_log_query(*parse_target("/x?follow=true&previous=1&timestamps&sinceSeconds=60"
                                      "&tailLines=5&limitBytes=100&stream=All"),
                        now);
    ASSERT_TRUE(options);
    EXPECT_TRUE(options->follow && options->previous && options->timestamps);
    EXPECT_EQ(options->since, now - std::chrono::seconds(60));
    EXPECT_EQ(options->tail_lines, 5);
    EXPECT_EQ(options->limit_bytes, 100);
    options = parse_log_query(*parse_target("/x?follow=false&previous=0&sinceTime="
                                            "2026-11-23T22:14:05%2B01:00&tail=7"),
                              now);
    ASSERT_TRUE(options);
    EXPECT_FALSE(options->follow || options->previous || options->timestamps);
    EXPECT_EQ(options->since, parse_rfc3339("2026-11-23T21:14:05Z"));
    EXPECT_EQ(options->tail_lines, 7);
    EXPECT_FALSE(parse_log_query(*parse_target("/x?tailLines=5&tail=all"), now)->tail_lines);
    EXPECT_EQ(parse_log_query(*parse_target("/x?tailLines=0"), now)->tail_lines, 0);
}

TEST(LogQuery, RefusesAsTheKubeletDoes) {
    WallTime now{std::chrono::hours(500000)};
    for (std::string_view bad :
         {"tailLines=-1", "limitBytes=0", "sinceSeconds=0", "sinceSeconds=-5",
          "sinceSeconds=5&sinceTime=2026-11-23T22:14:05Z", "stream=Stdout"}) {
        auto options = parse_log_query(*parse_target(fmt::format("/x?{}", bad)), now);
        ASSERT_FALSE(options) << bad;
        EXPECT_EQ(options.error().reason, "Invalid");
        EXPECT_EQ(options.error().message, R"({"message": "Invalid request."})");
    }
    for (std::string_view bad : {"tailLines=x", "limitBytes=1e3", "sinceTime=yesterday",
                                 "sinceSeconds=99999999999999999999"}) {
        auto options = parse_log_query(*parse_target(fmt::format("/x?{}", bad)), now);
        ASSERT_FALSE(options) << bad;
        EXPECT_EQ(options.error().reason, "BadRequest");
        EXPECT_EQ(options.error().message, R"({"message": "Unable to decode query."})");
    }
}

TEST(BoundedCache, ForgetsByTimeAndByNumber) {
    BoundedCache<int> cache(2);
    SteadyTime start{};
    cache.put("a", 1, start + std::chrono::seconds(10));
    cache.put("b", 2, start + std::chrono::seconds(1));
    ASSERT_NE(cache.find("a", start), nullptr);
    EXPECT_EQ(*cache.find("a", start), 1);
    EXPECT_EQ(cache.find("b", start + std::chrono::seconds(1)), nullptr);
    EXPECT_EQ(cache.size(), 1U);
    cache.put("a", 3, start + std::chrono::seconds(10));
    cache.put("c", 4, start + std::chrono::seconds(10));
    cache.put("d", 5, start + std::chrono::seconds(10));
    EXPECT_EQ(cache.size(), 2U);
    EXPECT_EQ(cache.find("a", start), nullptr);
    EXPECT_EQ(*cache.find("d", start), 5);
}

}  // namespace
}  // namespace skiff::server
