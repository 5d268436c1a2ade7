#include "app/logind_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "async/scope.h"
#include "node/fake_logind.h"
#include "pods/worker_fixture.h"

namespace skiff::app {
namespace {

using pods::make_pod;

class ObeyLogind : public pods::PodWorker {
protected:
    ObeyLogind() : pool(reactor(), 1, 64), scope(reactor().executor()) {}
    ~ObeyLogind() override {
        async::run_to_end(reactor(), scope.stop());
        stop_agent();
    }
    void SetUp() override {
        if (bus.address().empty()) {
            GTEST_SKIP() << "needs dbus-daemon";
        }
        fake.emplace(bus.address());
    }
    // The bus is real: it takes real time.
    template <typename F>
    bool comes_true(F&& what) {
        for (int i = 0; i < 500 && !what(); ++i) {
            ::usleep(10'000);
            advance(std::chrono::milliseconds(100));
        }
        return what();
    }

    node::fakes::Bus bus;
    std::optional<node::fakes::FakeLogind> fake;
    async::BlockingPool pool;
    async::Scope scope;
};

TEST_F(ObeyLogind, HoldsTheMachineUntilPodsHaveEnded) {
    run_pod(make_pod("web"));
    NodeShutdown shutdown(*pods, clock,
                          pods::shutdown_groups(std::chrono::seconds(30), Duration::zero()), {});
    scope.spawn("logind", obey_logind(pool, shutdown, bus.address()));
    ASSERT_TRUE(comes_true([&] { return fake->holds() > 0; }));
    EXPECT_FALSE(shutdown.has_begun());
    fake->say(1);
    EXPECT_TRUE(comes_true([&] { return shutdown.has_begun(); }));
    EXPECT_TRUE(comes_true([&] { return published().phase == "Failed"; }));
    EXPECT_EQ(published().reason, "Terminated");
    EXPECT_TRUE(comes_true([&] { return fake->is_let_go(0); }));
    async::run_to_end(reactor(), scope.stop());
}

TEST_F(ObeyLogind, GoesOnWhenTheShutdownIsCalledOff) {
    NodeShutdown shutdown(*pods, clock,
                          pods::shutdown_groups(std::chrono::seconds(30), Duration::zero()), {});
    scope.spawn("logind", obey_logind(pool, shutdown, bus.address()));
    ASSERT_TRUE(comes_true([&] { return fake->holds() == 1; }));
    fake->say(1);
    EXPECT_TRUE(comes_true([&] { return shutdown.has_begun(); }));
    fake->say(0);
    EXPECT_TRUE(comes_true([&] { return !shutdown.has_begun() && fake->holds() == 2; }))
        << "and it is held back again";
    async::run_to_end(reactor(), scope.stop());
}

TEST_F(ObeyLogind, AsksNothingWhenPodsAreGivenNoTime) {
    NodeShutdown shutdown(*pods, clock, {}, {});
    async::run_to_end(reactor(), obey_logind(pool, shutdown, bus.address()));
    EXPECT_EQ(fake->holds(), 0);
}

}  // namespace
}  // namespace skiff::app
