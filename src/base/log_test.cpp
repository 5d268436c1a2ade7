#include <gtest/gtest.h>

#include "base/log_format.h"

namespace skiff::log {
namespace {

std::string line(Format format, std::string_view value) {
    return format_line(format, "2026-11-26T10:00:00Z", Level::warn, "pod started",
                       {kv("pod", "ns/web"), kv("uid", "u-1"), kv("container", value)});
}

TEST(LogFormat, TextIsALineOfKeysAndValues) {
    EXPECT_EQ(line(Format::text, "main"),
              "2026-11-26T10:00:00Z warn  pod started pod=ns/web uid=u-1 container=main");
    EXPECT_EQ(line(Format::text, "a \"b\"\nc\x01"),
              "2026-11-26T10:00:00Z warn  pod started pod=ns/web uid=u-1 "
              "container=\"a \\\"b\\\"\\nc\\x01\"");
}

TEST(LogFormat, JsonIsAnObjectOnOneLine) {
    EXPECT_EQ(line(Format::json, "main"),
              R"({"ts":"2026-11-26T10:00:00Z","level":"warn","msg":"pod started",)"
              R"("pod":"ns/web","uid":"u-1","container":"main"})");
    std::string odd = line(Format::json, "a \"b\\\"\nc\x01\xff");
    EXPECT_TRUE(odd.ends_with(R"("container":"a \"b\\\"\nc\u0001)"
                              "\xef\xbf\xbd\"}"))
        << odd;
}

}  // namespace
}  // namespace skiff::log
