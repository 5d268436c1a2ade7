#include <gtest/gtest.h>

#include "base/random.h"
#include "wire/compile.h"
#include "wire/grant.h"
#include "wire/message.h"
#include "wire/paths.h"
#include "wire/runner_page.h"

namespace skiff::wire {
namespace {

Grant sample_grant() {
    Grant grant;
    grant.container_id = "c0ffee";
    grant.label = "default/hello/main";
    grant.args = {"hello.wasm", "--name", "world"};
    grant.env = {"A=1", "EMPTY="};
    grant.cwd = "/work";
    grant.stdin_fd = 8;
    grant.stop = StopMode::lifecycle;
    grant.limits.memory_bytes = 64 << 20;
    grant.root = Root{RootKind::layers, {"/l/2", "/l/1"}, "/up", "/wk", 0, Access::read_only};
    grant.mounts = {Mount{MountKind::bind, "/data", "/var/x", -1, Access::read_write,
                          IdMapping::mapped, "", 0, 0},
                    Mount{MountKind::file, "/etc/hosts", "", -1, Access::read_only,
                          IdMapping::plain, "127.0.0.1 localhost\n", 0, 0644}};
    grant.identity = Identity{1000, 1000, {2000}, 1 << 20, 65536, FilesAs::machine};
    grant.network = Network{NetMode::path, "/run/netns/x", -1};
    grant.hostname = "hello";
    grant.cgroups = {"/sys/fs/cgroup/x"};
    grant.log.slot_fds = {3, 4, 5};
    return grant;
}

std::vector<Message> samples() {
    Exited exited;
    exited.container_id = "a";
    exited.kind = ExitKind::trapped;
    exited.exit_code = 134;
    exited.message = "wasm trap: unreachable";
    exited.finished_ns = -5;
    return {Hello{1, "skiff 0.1 pid 3"},
            Start{7, "abc", "uid", StopMode::file, "/sys/fs/cgroup/x/memory.events", 2, 1 << 20, 5,
                  2, true},
            Stop{"abc", 30000},
            Kill{"abc"},
            List{},
            Forget{"abc"},
            Shutdown{ShutdownMode::kill_all},
            Welcome{1, "b1", "wasmtime 48", "key", 99},
            Started{7, "abc", 123, 456, 789},
            StartFailed{7, "abc", "mounts", "no such file"},
            exited,
            Running{{RunningItem{"abc", "uid", 1, 2, 3}, RunningItem{"d", "", 4, 5, 0}}, false},
            Lend{"abc"},
            Lent{"abc"}};
}

TEST(WireMessage, EveryMessageSurvivesTheWire) {
    for (const Message& message : samples()) {
        const auto back = decode_message(encode_message(message));
        ASSERT_TRUE(back) << back.error().message;
        EXPECT_EQ(*back, message) << message.index();
    }
}

TEST(WireMessage, EveryTruncationIsRefusedOrReadsAsAnOlderPeer) {
    for (const Message& message : samples()) {
        const std::string packet = encode_message(message);
        for (std::size_t size = 0; size < packet.size(); ++size) {
            const auto back = decode_message(packet.substr(0, size));
            if (back) {
                EXPECT_EQ(back->index(), message.index());
            } else {
                EXPECT_EQ(back.error().code, Code::corrupt);
            }
        }
    }
}

TEST(WireMessage, RandomDamageNeverCrashesAndWhatDecodesEncodesStably) {
    SeededRandom random(20261123);
    for (int round = 0; round < 20000; ++round) {
        const auto all = samples();
        std::string packet = encode_message(all[random.next() % all.size()]);
        for (std::uint64_t flips = 1 + random.next() % 4; flips > 0; --flips) {
            packet[random.next() % packet.size()] = static_cast<char>(random.next());
        }
        const auto once = decode_message(packet);
        if (once) {
            const auto twice = decode_message(encode_message(*once));
            ASSERT_TRUE(twice);
            ASSERT_EQ(*once, *twice);
        }
    }
}

TEST(WireMessage, ANewerPeersFieldsAreSkipped) {
    std::string packet = encode_message(Kill{"abc"});
    packet += "more that we do not know";
    const auto back = decode_message(packet);
    ASSERT_TRUE(back);
    EXPECT_EQ(std::get<Kill>(*back).container_id, "abc");
}

TEST(WireMessage, ForeignVersionsAndTypesAreUnsupported) {
    std::string packet = encode_message(List{});
    packet[4] = 9;
    EXPECT_EQ(decode_message(packet).error().code, Code::unsupported);
    packet[4] = kWireVersion;
    packet[6] = 99;
    EXPECT_EQ(decode_message(packet).error().code, Code::unsupported);
    packet[0] = 'x';
    EXPECT_EQ(decode_message(packet).error().code, Code::corrupt);
}

TEST(WireMessage, AListCannotClaimMoreThanItBrings) {
    Writer writer;
    writer(std::uint32_t{0xffffffff});
    const auto back = decode<Running>(writer.bytes());
    ASSERT_FALSE(back);
    EXPECT_EQ(back.error().code, Code::corrupt);
}

TEST(WireMessage, TheLongestListFitsAPacket) {
    Running running;
    const RunningItem item{std::string(kContainerIdBytesMax, 'c'), std::string(64, 'u'), 1, 2, 3};
    running.items.assign(kRunningItemsMax, item);
    EXPECT_LE(encode_message(running).size(), kMessageBytesMax);
}

TEST(WireMessage, ContainerIdsCannotLeaveTheirFolder) {
    EXPECT_TRUE(valid_container_id("0a-Z_9"));
    for (const char* bad : {"", ".", "..", "a/b", "a.b", "a b"}) {
        EXPECT_FALSE(valid_container_id(bad)) << bad;
    }
    EXPECT_FALSE(valid_container_id(std::string(65, 'a')));
    EXPECT_EQ(exit_file("/run/skiff", "ab"), "/run/skiff/exits/ab");
}

TEST(WireExitFile, FindsEveryFlippedBit) {
    Exited exited;
    exited.container_id = "abc";
    exited.exit_code = 3;
    const std::string good = encode_exit_file(exited);
    ASSERT_EQ(*decode_exit_file(good), exited);
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
        std::string bad = good;
        bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
        EXPECT_FALSE(decode_exit_file(bad)) << bit;
    }
}

TEST(WireGrant, SurvivesTheWire) {
    const auto bytes = encode_grant(sample_grant());
    ASSERT_TRUE(bytes);
    const auto back = decode_grant(*bytes, 9);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(*back, sample_grant());
}

TEST(WireGrant, RefusesWhatCouldReachOutside) {
    const auto refused = [](auto change) {
        Grant grant = sample_grant();
        change(grant);
        const auto back = decode_grant(*encode_grant(grant), 9);
        return !back && back.error().code == Code::invalid;
    };
    EXPECT_FALSE(refused([](Grant&) {}));
    EXPECT_TRUE(refused([](Grant& g) { g.container_id = "../x"; }));
    EXPECT_TRUE(refused([](Grant& g) { g.mounts[0].target = "/a/../../b"; }));
    EXPECT_TRUE(refused([](Grant& g) { g.mounts[0].target = "relative"; }));
    EXPECT_TRUE(refused([](Grant& g) { g.mounts[0].target = "/"; }));
    EXPECT_TRUE(refused([](Grant& g) { g.mounts[0].source = ""; }));
    EXPECT_TRUE(refused([](Grant& g) { g.mounts[0].source_fd = 9; }));
    EXPECT_TRUE(refused([](Grant& g) { g.stdin_fd = -2; }));
    EXPECT_TRUE(refused([](Grant& g) { g.identity.uid = 65536; }));
    EXPECT_TRUE(refused([](Grant& g) { g.identity.groups = {70000}; }));
    EXPECT_TRUE(refused([](Grant& g) { g.identity.host_base = 0; }));
    EXPECT_TRUE(refused([](Grant& g) { g.identity.host_base = UINT32_MAX - 10; }));
    EXPECT_TRUE(refused([](Grant& g) { g.args.emplace_back(std::string("a\0b", 3)); }));
    EXPECT_TRUE(refused([](Grant& g) { g.root.kind = RootKind::none; }));
    EXPECT_TRUE(refused([](Grant& g) { g.root.work.clear(); }));
    EXPECT_TRUE(refused([](Grant& g) { g.log.slot_fds = {-1}; }));
    EXPECT_TRUE(refused([](Grant& g) { g.log.audience_fd = 9; }));
    const auto joins = [](Grant& g) {
        g.mounts.clear();
        g.join = {3, 4, 5, 6};
    };
    EXPECT_FALSE(refused(joins));
    EXPECT_TRUE(refused([&](Grant& g) { joins(g), g.join.user_fd = -1; }));
    EXPECT_TRUE(refused([&](Grant& g) { joins(g), g.join.mount_fd = -1; }));
    EXPECT_TRUE(refused([&](Grant& g) { joins(g), g.join.network_fd = 9; }));
    EXPECT_TRUE(refused([](Grant& g) { g.join = {3, 4, 5, 6}; }));
}

TEST(WireGrant, SizeIsBoundedOnBothSides) {
    Grant grant = sample_grant();
    grant.env.assign(5, std::string(1 << 20, 'x'));
    EXPECT_EQ(encode_grant(grant).error().code, Code::exhausted);
    EXPECT_EQ(decode_grant(std::string(kGrantBytesMax + 1, 'x'), 9).error().code, Code::corrupt);
    grant = sample_grant();
    grant.mounts.assign(kGrantMountsMax + 1, sample_grant().mounts[0]);
    EXPECT_EQ(decode_grant(*encode_grant(grant), 9).error().code, Code::exhausted);
}

TEST(WireGrant, RandomDamageNeverCrashes) {
    SeededRandom random(7);
    const std::string good = *encode_grant(sample_grant());
    for (int round = 0; round < 20000; ++round) {
        std::string bad = good;
        for (std::uint64_t flips = 1 + random.next() % 6; flips > 0; --flips) {
            bad[random.next() % bad.size()] = static_cast<char>(random.next());
        }
        (void)decode_grant(bad, 9);
    }
}

TEST(RunnerPage, StartsEmptyAndBounded) {
    const std::vector<std::uint64_t> inodes = {11, 12};
    std::string bytes = initial_page(inodes, 1000);
    ASSERT_EQ(bytes.size(), kPageMessageOffset);
    bytes.resize(kRunnerPageBytes);
    const auto view = parse_page(bytes);
    ASSERT_TRUE(view);
    EXPECT_EQ(view->slots.size(), 2U);
    EXPECT_EQ(view->slots[1].inode, 12U);
    EXPECT_TRUE(slots_in_order(*view).empty());
    EXPECT_EQ(view->outcome, 0U);
    EXPECT_EQ(exited_from_page(*view).exit_code, 137);
}

TEST(RunnerPage, OrdersSlotsByTurn) {
    PageView view;
    view.slots = {LogSlot{1, 4, 0, 0, 0}, LogSlot{2, 2, 0, 0, 0}, LogSlot{3, 3, 0, 0, 0},
                  LogSlot{4, 0, 0, 0, 0}};
    EXPECT_EQ(slots_in_order(view), (std::vector<std::uint32_t>{1, 2, 0}));
}

TEST(RunnerPage, WhatABrokenGuestWroteIsRefusedOrBounded) {
    const std::vector<std::uint64_t> inodes = {11, 12};
    std::string bytes = initial_page(inodes, 1000);
    bytes.resize(kRunnerPageBytes);
    RunnerPage page;
    std::memcpy(&page, bytes.data(), sizeof page);
    page.phase = 2;
    page.outcome = 2;
    page.message_bytes = 0xffffffff;
    std::memcpy(bytes.data(), &page, sizeof page);
    std::fill(bytes.begin() + kPageMessageOffset, bytes.end(), '\xff');
    const auto view = parse_page(bytes);
    ASSERT_TRUE(view);
    EXPECT_LE(view->message.size(), kExitMessageBytesMax);
    EXPECT_EQ(exited_from_page(*view).exit_code, 134);
    page.log_current = 2;
    std::memcpy(bytes.data(), &page, sizeof page);
    EXPECT_FALSE(parse_page(bytes));
    EXPECT_FALSE(parse_page(bytes.substr(0, 100)));
}

TEST(CompileReport, SurvivesTheWire) {
    CompileReport report;
    report.code = CompileCode::unsupported;
    report.message = "no one has env.frobnicate";
    report.facts.kind = ModuleKind::component;
    report.facts.uses_sockets = true;
    report.facts.imports = {"wasi:sockets/tcp@0.2.0"};
    const auto back = decode<CompileReport>(encode(report));
    ASSERT_TRUE(back);
    EXPECT_EQ(*back, report);
}

}  // namespace
}  // namespace skiff::wire
