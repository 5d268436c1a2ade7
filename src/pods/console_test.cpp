// Which consoles containers get for `stdin`, `stdinOnce` and `tty`.
#include "pods/container_config.h"
#include "pods/worker_fixture.h"

namespace skiff::pods {
namespace {

using Kind = Console::Kind;
using Input = Console::Input;

class PodConsole : public PodWorker {
protected:
    // What the first start of a container with these fields is given.
    Console given(void (*set)(kube::Container&)) {
        kube::Pod pod = make_pod("boat");
        set(pod.spec.containers[0]);
        run_pod(pod);
        return node.guests.started.empty() ? Console{} : node.guests.started[0].console;
    }
    void let_clients_attach() {
        settings.node.guest_input = NodeFacts::GuestInput::attached;
        restart_agent();
    }
};

TEST_F(PodConsole, FollowsTheFieldsOfTheContainer) {
    struct Case {
        void (*set)(kube::Container&);
        Console expected;
    };
    const Case cases[] = {
        {[](kube::Container&) {}, {Kind::none, Input::none}},
        {[](kube::Container& c) { c.stdinOnce = true; }, {Kind::none, Input::none}},
        {[](kube::Container& c) { c.stdin = true; }, {Kind::pipes, Input::open}},
        {[](kube::Container& c) { c.stdin = c.stdinOnce = true; }, {Kind::pipes, Input::once}},
        {[](kube::Container& c) { c.tty = true; }, {Kind::terminal, Input::none}},
        {[](kube::Container& c) { c.stdin = c.tty = true; }, {Kind::terminal, Input::open}},
        {[](kube::Container& c) { c.stdin = c.stdinOnce = c.tty = true; },
         {Kind::terminal, Input::once}},
    };
    for (const Case& its : cases) {
        kube::Pod pod = make_pod("boat");
        its.set(pod.spec.containers[0]);
        EXPECT_EQ(console_of(pod.spec.containers[0]), its.expected);
    }
}

TEST_F(PodConsole, IsGivenWhereClientsCanAttachAndNothingIsSaidOfIt) {
    let_clients_attach();
    EXPECT_EQ(given([](kube::Container& c) { c.stdin = c.tty = true; }),
              (Console{Kind::terminal, Input::open}));
    EXPECT_EQ(node.events.count("WithoutEffect"), 0U);
    EXPECT_TRUE(node.guests.started[0].tty);
}

TEST_F(PodConsole, IsNotGivenWhereNobodyCan) {
    EXPECT_EQ(given([](kube::Container& c) { c.stdin = true; }), Console{});
    EXPECT_EQ(node.events.count("WithoutEffect"), 1U);
}

TEST_F(PodConsole, IsGivenToInitAndEphemeralContainersAsWell) {
    let_clients_attach();
    kube::Pod pod = make_pod("boat");
    pod.spec.initContainers.push_back(pod.spec.containers[0]);
    pod.spec.initContainers[0].name = "first";
    pod.spec.initContainers[0].stdin = true;
    run_pod(pod);
    ASSERT_EQ(node.guests.started.size(), 1U);
    EXPECT_EQ(node.guests.started[0].console, (Console{Kind::pipes, Input::open}));
    node.guests.end(node.guests.running("first"), 0);
    settle();
    kube::EphemeralContainer debugger;
    static_cast<kube::Container&>(debugger) = pod.spec.containers[0];
    debugger.name = "debugger";
    debugger.stdin = debugger.tty = true;
    pod.spec.ephemeralContainers.push_back(debugger);
    apply(pod);
    settle();
    ASSERT_EQ(node.guests.started.size(), 3U);
    EXPECT_EQ(node.guests.started[1].console, Console{});
    EXPECT_EQ(node.guests.started[2].name, "debugger");
    EXPECT_EQ(node.guests.started[2].console, (Console{Kind::terminal, Input::open}));
}

}  // namespace
}  // namespace skiff::pods
