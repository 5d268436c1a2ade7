#include "wire/exec.h"

#include <gtest/gtest.h>

namespace skiff::wire {
namespace {

ExecRequest sample() {
    ExecRequest request;
    request.pod_namespace = "default";
    request.pod = "boat";
    request.command = {"ls", "-l", ""};
    request.with_stdin = true;
    return request;
}

TEST(WireExec, SurvivesTheWire) {
    EXPECT_EQ(*decode_exec_request(*encode_exec_request(sample())), sample());
    ExecAnswer answer{true, 42, "trap"};
    EXPECT_EQ(*decode_exec_answer(encode_exec_answer(answer)), answer);
}

TEST(WireExec, CountsItsDescriptors) {
    ExecRequest request = sample();
    EXPECT_EQ(exec_fds(request), 3U);
    request.with_stdin = false;
    EXPECT_EQ(exec_fds(request), 2U);
    request.with_terminal = true;
    EXPECT_EQ(exec_fds(request), 1U);
}

TEST(WireExec, RefusesWhatIsNoCommand) {
    const auto refused = [](auto change) {
        ExecRequest request = sample();
        change(request);
        return decode_exec_request(*encode_exec_request(request)).error().code;
    };
    EXPECT_EQ(refused([](ExecRequest& r) { r.command.clear(); }), Code::invalid);
    EXPECT_EQ(refused([](ExecRequest& r) { r.command[0].clear(); }), Code::invalid);
    EXPECT_EQ(refused([](ExecRequest& r) { r.command[1] = std::string("a\0b", 3); }),
              Code::invalid);
    EXPECT_EQ(refused([](ExecRequest& r) { r.command.resize(kExecWordsMax + 1); }), Code::invalid);
    EXPECT_EQ(decode_exec_request("").error().code, Code::corrupt);
    EXPECT_EQ(decode_exec_request(std::string(kExecPacketBytesMax + 1, 'x')).error().code,
              Code::corrupt);
    EXPECT_EQ(decode_exec_request(encode_exec_answer({})).error().code, Code::unsupported);
}

TEST(WireExec, IsBounded) {
    ExecRequest request = sample();
    request.command.emplace_back(kExecPacketBytesMax, 'x');
    EXPECT_EQ(encode_exec_request(request).error().code, Code::exhausted);
    ExecAnswer answer;
    answer.message.assign(1 << 20, 'x');
    EXPECT_LT(encode_exec_answer(answer).size(), kExecPacketBytesMax);
}

}  // namespace
}  // namespace skiff::wire
