#include "app/image_messages.h"

#include <gtest/gtest.h>

namespace skiff::app {
namespace {

TEST(ImageMessages, ComeBackAsTheyWere) {
    ImageList list{"/var/lib/skiff",
                   {{"localhost/x:1", "sha256:12", Bytes{5}}, {"example.com/y@sha256:34", "", {}}}};
    EXPECT_EQ(parse_image_list(format_json(list)).value(), list);
    RemovedImage removed{"localhost/x:1", Bytes{1ULL << 40}};
    EXPECT_EQ(parse_removed(format_json(removed)).value(), removed);
    for (auto kind : {PrecompileStep::Kind::pulling, PrecompileStep::Kind::began,
                      PrecompileStep::Kind::cached, PrecompileStep::Kind::compiled}) {
        PrecompileLine line(
            PrecompileStep{kind, "/a \"b\".wasm", Bytes{7}, std::chrono::milliseconds(1500)});
        EXPECT_EQ(parse_precompile_line(format_json(line)).value(), line);
    }
    PrecompileLine fine(PrecompileEnd{});
    EXPECT_EQ(parse_precompile_line(format_json(fine)).value(), fine);
    PrecompileLine broken(PrecompileEnd{"x.wasm: no\nWasm"});
    EXPECT_EQ(parse_precompile_line(format_json(broken)).value(), broken);
    // One line each: that is what divides them.
    EXPECT_EQ(format_json(broken).find('\n'), format_json(broken).size() - 1);
}

TEST(ImageMessages, RefuseWhatIsNone) {
    for (const char* text : {"", "[]", "{", "null", "{\"images\":5}"}) {
        EXPECT_EQ(parse_image_list(text).error().code, Code::invalid) << text;
    }
    EXPECT_EQ(parse_precompile_line("{\"step\":\"dance\"}").error().code, Code::invalid);
    EXPECT_EQ(parse_removed("5").error().code, Code::invalid);
    EXPECT_EQ(parse_removed("{\"freed\":-1}").value().freed, Bytes{0});
}

}  // namespace
}  // namespace skiff::app
