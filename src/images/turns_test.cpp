#include "images/turns.h"

#include <gtest/gtest.h>

#include "async/scope.h"

namespace skiff::images {
namespace {

using First = Turns::Limits::First;
using Turn = std::unique_ptr<Turns::Turn>;

// Runs one test on a reactor, with tasks that take turns and note their names.
class TurnsTest : public ::testing::Test {
protected:
    static async::Task<void> wait_for(Turns* turns, std::vector<Turns::Group> groups, Turn* out) {
        auto turn = co_await turns->take(std::move(groups));
        if (turn) {
            *out = std::move(*turn);
        }
    }
    async::Task<void> ask(async::Scope& scope, Turns& turns, std::string group, Turn& out,
                          std::size_t max = 9) {
        std::vector<Turns::Group> groups = {{std::move(group), max}};
        scope.spawn("turn", wait_for(&turns, std::move(groups), &out));
        co_await settle();
    }
    static async::Task<void> settle() {
        for (int i = 0; i < 10; ++i) {
            co_await async::yield_now();
        }
    }
    void run(std::function<async::Task<void>(async::Scope&)> body) {
        auto whole = [](async::Reactor& reactor, auto inner) -> async::Task<void> {
            async::Scope scope(reactor.executor());
            co_await inner(scope);
            co_await scope.stop();
        };
        async::run_to_end(reactor_, whole(reactor_, std::move(body)));
    }

    async::Reactor reactor_;
    Turn a_, b_, c_;
};

TEST_F(TurnsTest, AreServedInTheOrderOfComing) {
    Turns turns(Turns::Limits{1});
    run([&](async::Scope& scope) -> async::Task<void> {
        co_await ask(scope, turns, "x", a_);
        co_await ask(scope, turns, "y", b_);
        co_await ask(scope, turns, "x", c_);
        EXPECT_TRUE(a_ && !b_ && !c_);
        a_.reset();
        co_await settle();
        EXPECT_TRUE(b_ && !c_);
        b_.reset();
        co_await settle();
        EXPECT_TRUE(c_);
        c_.reset();
    });
}

TEST_F(TurnsTest, NobodyWaitsForAGroupThatIsFull) {
    Turns turns(Turns::Limits{9});
    run([&](async::Scope& scope) -> async::Task<void> {
        co_await ask(scope, turns, "x", a_, 1);
        co_await ask(scope, turns, "x", b_, 1);
        co_await ask(scope, turns, "y", c_, 1);
        EXPECT_TRUE(a_ && !b_ && c_);
        a_.reset();
        co_await settle();
        EXPECT_TRUE(b_);
        b_.reset();
        c_.reset();
    });
}

TEST_F(TurnsTest, TheFirstOfAGroupPassesWhereThatIsAllowed) {
    Turns turns(Turns::Limits{1, Duration::max(), First::passes});
    run([&](async::Scope& scope) -> async::Task<void> {
        co_await ask(scope, turns, "x", a_);
        co_await ask(scope, turns, "x", b_);
        co_await ask(scope, turns, "y", c_);
        EXPECT_TRUE(a_ && !b_ && c_);
        a_.reset();
        c_.reset();
        co_await settle();
        EXPECT_TRUE(b_);
        b_.reset();
    });
}

TEST_F(TurnsTest, ATurnThatLastsCountsNoMore) {
    Turns turns(Turns::Limits{1, std::chrono::milliseconds(5)});
    run([&](async::Scope& scope) -> async::Task<void> {
        co_await ask(scope, turns, "x", a_, 1);
        std::vector<Turns::Group> groups = {{"x", 1}};
        auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
        auto turn = co_await turns.take(std::move(groups), deadline);
        EXPECT_TRUE(turn && a_);
        a_.reset();
    });
}

TEST_F(TurnsTest, WhoLeavesTheQueueHoldsNobodyUp) {
    Turns turns(Turns::Limits{1});
    run([&](async::Scope& scope) -> async::Task<void> {
        async::Scope leaving(co_await async::current_executor());
        co_await ask(scope, turns, "x", a_);
        co_await ask(leaving, turns, "x", b_);
        co_await ask(scope, turns, "x", c_);
        EXPECT_EQ(turns.waiting(), 2u);
        std::vector<Turns::Group> groups = {{"z", 1}};
        auto late = co_await turns.take(std::move(groups), std::chrono::steady_clock::now());
        EXPECT_EQ(late.error().code, Code::timeout);
        co_await leaving.stop();
        EXPECT_EQ(turns.waiting(), 1u);
        a_.reset();
        co_await settle();
        EXPECT_TRUE(!b_ && c_);
        c_.reset();
    });
}

}  // namespace
}  // namespace skiff::images
