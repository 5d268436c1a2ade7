#include "node/remotedialer.h"

#include <gtest/gtest.h>

#include <limits>

namespace skiff::node {
namespace {

using Type = DialMessageType;

TEST(Remotedialer, WritesWhatTheGoLibraryWrites) {
    // binary.PutVarint: zigzag. 15000 as the fourth field of data and connect.
    EXPECT_EQ(format_dial_message({1, 2, Type::data, "abc"}), std::string("\x02\x04\x02\xb0\xea\x01"
                                                                          "abc"));
    EXPECT_EQ(format_dial_message({-1, 64, Type::pause, {}}), std::string("\x01\x80\x01\x0c"));
    EXPECT_EQ(format_dial_message({3, 1, Type::error, "EOF"}), std::string("\x06\x02\x06"
                                                                           "EOF"));
}

TEST(Remotedialer, ReadsWhatItWrites) {
    constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
    constexpr auto kMin = std::numeric_limits<std::int64_t>::min();
    for (const DialMessage& message :
         {DialMessage{kMax, kMin, Type::connect, "tcp/127.0.0.1:10250"},
          DialMessage{0, kMax, Type::resume, {}},
          DialMessage{7, 8, static_cast<Type>(99), "new"}}) {
        const std::string bytes = format_dial_message(message);
        auto parsed = parse_dial_message(bytes);
        ASSERT_TRUE(parsed);
        EXPECT_EQ(*parsed, message);
    }
}

TEST(Remotedialer, RefusesATruncatedOrOverlongHead) {
    const std::string whole = format_dial_message({300, 300, Type::data, {}});
    for (std::size_t size = 0; size < whole.size(); ++size) {
        EXPECT_FALSE(parse_dial_message(std::string_view(whole).substr(0, size))) << size;
    }
    EXPECT_FALSE(parse_dial_message(std::string(11, '\xff')));
    EXPECT_FALSE(parse_dial_message(std::string(9, '\xff') + "\x02\x02\x02"));
}

TEST(Remotedialer, CutsAnErrorToWhatItsReaderTakes) {
    const std::string text(500, 'e');
    auto parsed = format_dial_message({1, 1, Type::error, text});
    EXPECT_EQ(parse_dial_message(parsed)->payload.size(), kDialErrorBytesMax);
}

TEST(Remotedialer, ReadsAnAddressToDial) {
    EXPECT_EQ(*parse_dial_target("tcp/127.0.0.1:10250"), (DialTarget{"tcp", "127.0.0.1", 10250}));
    EXPECT_EQ(*parse_dial_target("tcp/[::1]:10250"), (DialTarget{"tcp", "::1", 10250}));
    for (const char* bad : {"", "tcp", "tcp/", "/127.0.0.1:1", "tcp/127.0.0.1", "tcp/:1", "tcp/a:0",
                            "tcp/a:65536", "tcp/a:x", "tcp/::1:10250"}) {
        EXPECT_FALSE(parse_dial_target(bad)) << bad;
    }
    EXPECT_FALSE(parse_dial_target("tcp/" + std::string(300, 'h') + ":1"));
}

}  // namespace
}  // namespace skiff::node
