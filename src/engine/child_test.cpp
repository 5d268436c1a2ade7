#include "engine/child.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "wire/runner_page.h"

namespace skiff::engine {
namespace {

constexpr int exited_with(int code) {
    return code << 8;
}

std::string page_with(std::uint32_t outcome, int code, std::string_view message = {}) {
    std::string bytes = wire::initial_page({}, 1);
    bytes.resize(wire::kRunnerPageBytes);
    wire::RunnerPage page;
    std::memcpy(&page, bytes.data(), sizeof page);
    page.phase = 2;
    page.outcome = outcome;
    page.exit_code = code;
    page.finished_ns = 50;
    page.message_bytes = static_cast<std::uint32_t>(message.size());
    std::memcpy(bytes.data(), &page, sizeof page);
    bytes.replace(wire::kPageMessageOffset, message.size(), message);
    return bytes;
}

Child child_with(Intent intent) {
    Child child;
    child.container_id = "a";
    child.started_ns = 10;
    child.intent = intent;
    child.memory_bytes_limit = 8 << 20;
    return child;
}

wire::Exited judge(Intent intent, int status, const std::string& page, std::uint64_t ooms = 0) {
    return judge_end(child_with(intent), status, page, ooms, 100);
}

TEST(JudgeEnd, TellsATrapFromAGuestThatExitsWithTheSameCode) {
    EXPECT_EQ(judge(Intent::none, exited_with(134), page_with(2, 134, "trap")).kind,
              wire::ExitKind::trapped);
    EXPECT_EQ(judge(Intent::none, exited_with(134), page_with(2, 134, "trap")).message, "trap");
    const auto own = judge(Intent::none, exited_with(134), page_with(1, 134));
    EXPECT_EQ(own.kind, wire::ExitKind::exited);
    EXPECT_EQ(own.exit_code, 134);
    EXPECT_EQ(own.finished_ns, 50);
}

TEST(JudgeEnd, BelievesTheKernelWhereThePageDisagrees) {
    const auto exited = judge(Intent::none, exited_with(3), page_with(1, 0));
    EXPECT_EQ(exited.kind, wire::ExitKind::exited);
    EXPECT_EQ(exited.exit_code, 3);
    EXPECT_EQ(exited.finished_ns, 100);
    EXPECT_EQ(judge(Intent::none, exited_with(4), "rubbish").exit_code, 4);
}

TEST(JudgeEnd, SaysWhoKilled) {
    EXPECT_EQ(judge(Intent::stop, SIGKILL, "").exit_code, 143);
    EXPECT_EQ(judge(Intent::stop, SIGKILL, "").kind, wire::ExitKind::stopped);
    EXPECT_EQ(judge(Intent::kill, SIGKILL, "").kind, wire::ExitKind::killed);
    EXPECT_EQ(judge(Intent::kill, SIGKILL, "").exit_code, 137);
    const auto oom = judge(Intent::none, SIGKILL, "", 1);
    EXPECT_EQ(oom.kind, wire::ExitKind::out_of_memory);
    EXPECT_NE(oom.message.find("8"), std::string::npos) << oom.message;
    EXPECT_EQ(judge(Intent::none, SIGKILL, "").kind, wire::ExitKind::signalled);
    EXPECT_EQ(judge(Intent::none, SIGSYS, "").kind, wire::ExitKind::violated);
    EXPECT_EQ(judge(Intent::none, SIGSYS, "").exit_code, 159);
    EXPECT_EQ(judge(Intent::none, SIGSEGV, "").exit_code, 139);
}

TEST(DrainTime, IsForGuestsThatListenAndWithinTheirGrace) {
    using std::chrono::milliseconds;
    const auto drain = [](std::uint64_t listens, std::uint64_t wanted, std::uint32_t share) {
        std::string bytes = page_with(0, 0);
        wire::RunnerPage page;
        std::memcpy(&page, bytes.data(), sizeof page);
        page.counters.listens = listens;
        std::memcpy(bytes.data(), &page, sizeof page);
        Child child = child_with(Intent::none);
        child.drain_ms = wanted;
        child.drain_share = share;
        return drain_time(child, bytes, milliseconds(3000));
    };
    EXPECT_EQ(drain(0, 1000, 2), milliseconds(0));
    EXPECT_EQ(drain(1, 1000, 2), milliseconds(1000));
    EXPECT_EQ(drain(1, 5000, 2), milliseconds(1500));
    EXPECT_EQ(drain(1, 2000, 0), milliseconds(2000));
    EXPECT_EQ(drain(1, ~0ULL, 0), milliseconds(3000));
    EXPECT_EQ(drain_time(child_with(Intent::none), "rubbish", milliseconds(1)), milliseconds(0));
}

TEST(JudgeEnd, ReadsTheCountersOfBothCgroupVersions) {
    EXPECT_EQ(parse_oom_kills("low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\noom_group_kill 0\n"), 2U);
    EXPECT_EQ(parse_oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"), 5U);
    EXPECT_EQ(parse_oom_kills(""), 0U);
    EXPECT_EQ(parse_oom_kills("oom_kill x"), 0U);
}

TEST(KeeperState, SurvivesExec) {
    KeeperState state;
    state.listen_fd = 3;
    state.children.push_back(child_with(Intent::stop));
    state.children[0].kill_at_ns = 77;
    state.exits.emplace_back().container_id = "b";
    const auto back = wire::decode<KeeperState>(wire::encode(state));
    ASSERT_TRUE(back);
    EXPECT_EQ(back->listen_fd, 3);
    EXPECT_EQ(back->lock_fd, -1);
    EXPECT_EQ(back->children[0].intent, Intent::stop);
    EXPECT_EQ(back->children[0].kill_at_ns, 77);
    EXPECT_EQ(back->exits[0].container_id, "b");
}

}  // namespace
}  // namespace skiff::engine
