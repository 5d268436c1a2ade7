#include <gtest/gtest.h>
#include <unistd.h>

#include <future>
#include <mutex>

#include "async/blocking.h"
#include "async/both.h"
#include "async/event.h"
#include "async/lanes.h"
#include "async/scope.h"
#include "async/task.h"

namespace skiff::async {
namespace {

using std::chrono::milliseconds;

SteadyTime soon(int ms) {
    return std::chrono::steady_clock::now() + milliseconds(ms);
}

Task<void> set_later(Event& event) {
    co_await yield_now();
    event.set();
}

Task<void> wait_forever(Event& event, bool* unwound) {
    struct OnExit {
        bool* flag;
        ~OnExit() { *flag = true; }
    } on_exit{unwound};
    auto waited = co_await event.wait();
    EXPECT_FALSE(waited);
    EXPECT_EQ(waited.error().code, Code::cancelled);
}

TEST(Event, WakesWaitersAndTimesOut) {
    Reactor reactor;
    auto body = [](Reactor& r) -> Task<void> {
        Event event;
        auto late = co_await event.wait(soon(1));
        EXPECT_EQ(late.error().code, Code::timeout);
        Scope scope(r.executor());
        scope.spawn("setter", set_later(event));
        EXPECT_TRUE(co_await event.wait());
        co_await scope.stop();
    };
    run_to_end(reactor, body(reactor));
}

TEST(Mailbox, KeepsOnlyTheLatestItem) {
    Reactor reactor;
    auto body = []() -> Task<int> {
        Mailbox<int> box;
        box.put(1);
        box.put(2);
        auto item = co_await box.take();
        EXPECT_TRUE(box.empty());
        co_return *item;
    };
    EXPECT_EQ(run_to_end(reactor, body()), 2);
}

TEST(Queue, RefusesBeyondItsBoundAndDrainsAfterClose) {
    Reactor reactor;
    auto body = []() -> Task<void> {
        Queue<int> queue(2);
        EXPECT_TRUE(queue.try_push(1));
        EXPECT_TRUE(queue.try_push(2));
        EXPECT_FALSE(queue.try_push(3));
        queue.close();
        EXPECT_EQ(*co_await queue.pop(), 1);
        EXPECT_EQ(*co_await queue.pop(), 2);
        auto end = co_await queue.pop();
        EXPECT_EQ(end.error().code, Code::not_found);
    };
    run_to_end(reactor, body());
}

TEST(Scope, StopUnwindsEveryTask) {
    Reactor reactor;
    bool unwound = false;
    auto body = [](Reactor& r, bool* flag) -> Task<void> {
        Event never;
        Scope scope(r.executor());
        scope.spawn("waiter", wait_forever(never, flag));
        co_await yield_now();
        EXPECT_EQ(scope.size(), 1u);
        co_await scope.stop();
        EXPECT_EQ(scope.size(), 0u);
    };
    run_to_end(reactor, body(reactor, &unwound));
    EXPECT_TRUE(unwound);
}

Task<Result<int>> after_a_turn(int value) {
    co_await yield_now();
    co_return value;
}

TEST(Both, RunsBothAndReturnsBoth) {
    Reactor reactor;
    auto body = []() -> Task<void> {
        auto [first, second] = co_await both(after_a_turn(1), after_a_turn(2));
        EXPECT_EQ(*first, 1);
        EXPECT_EQ(*second, 2);
    };
    run_to_end(reactor, body());
}

TEST(Both, IsCancelledWhileBothWait) {
    Reactor reactor;
    auto body = [](Reactor& r) -> Task<void> {
        Event never;
        bool first_ended = false;
        bool second_ended = false;
        auto wait = [](Event* event, bool* unwound) -> Task<Result<void>> {
            co_await wait_forever(*event, unwound);
            co_return co_await event->wait();
        };
        auto two = [](Task<Result<void>> one, Task<Result<void>> other) -> Task<void> {
            auto done = co_await both(std::move(one), std::move(other));
            (void)done;
        };
        Scope scope(r.executor());
        scope.spawn("both", two(wait(&never, &first_ended), wait(&never, &second_ended)));
        co_await yield_now();
        co_await yield_now();
        co_await scope.stop();
        EXPECT_TRUE(first_ended);
        EXPECT_TRUE(second_ended);
    };
    run_to_end(reactor, body(reactor));
}

TEST(Scope, SpawnNeverRunsTheTaskInsideTheCall) {
    Reactor reactor;
    auto body = [](Reactor& r) -> Task<void> {
        Scope scope(r.executor());
        co_await yield_now();
        Event started;
        auto mark = [](Event* mark_event) -> Task<void> {
            mark_event->set();
            co_return;
        };
        scope.spawn("marker", mark(&started));
        EXPECT_FALSE(started.is_set());
        EXPECT_TRUE(co_await started.wait(soon(1000)));
        co_await scope.stop();
    };
    run_to_end(reactor, body(reactor));
}

TEST(Scope, StopsATaskThatSwallowsCancelled) {
    Reactor reactor;
    auto stubborn = []() -> Task<void> {
        while (true) {
            auto slept = co_await sleep_for(std::chrono::hours(1));
            EXPECT_EQ(slept.error().code, Code::cancelled);
        }
    };
    auto body = [&](Reactor& r) -> Task<void> {
        Scope scope(r.executor());
        scope.spawn("stubborn", stubborn());
        co_await yield_now();
        co_await scope.stop();
    };
    run_to_end(reactor, body(reactor));
}

TEST(Scope, CancelLetsTasksBeSpawnedAgainButNotAfterStop) {
    Reactor reactor;
    auto body = [](Reactor& r) -> Task<void> {
        Event never;
        bool unwound = false;
        bool ran = false;
        auto mark = [](bool* flag) -> Task<void> {
            *flag = true;
            co_return;
        };
        Scope scope(r.executor());
        scope.spawn("waiter", wait_forever(never, &unwound));
        co_await yield_now();
        co_await scope.cancel();
        EXPECT_TRUE(unwound);
        scope.spawn("marker", mark(&ran));
        EXPECT_TRUE(co_await scope.join(soon(1000)));
        EXPECT_TRUE(ran);
        co_await scope.stop();
        co_await scope.cancel();
        ran = false;
        scope.spawn("marker", mark(&ran));
        EXPECT_EQ(scope.size(), 0u);
    };
    run_to_end(reactor, body(reactor));
}

TEST(WithDeadline, ReturnsTheValueOrATimeout) {
    Reactor reactor;
    auto quick = []() -> Task<Result<int>> { co_return 7; };
    auto slow = []() -> Task<Result<int>> {
        SKIFF_CO_CHECK(co_await sleep_for(std::chrono::hours(1)));
        co_return 7;
    };
    auto body = [&]() -> Task<void> {
        auto first = co_await with_deadline(quick(), soon(1000), "quick");
        EXPECT_EQ(*first, 7);
        auto second = co_await with_deadline(slow(), soon(1), "slow");
        EXPECT_EQ(second.error().code, Code::timeout);
    };
    run_to_end(reactor, body());
}

TEST(WaitReadable, SeesDataTimesOutAndKeepsTheDescriptor) {
    Reactor reactor;
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    auto body = [&]() -> Task<void> {
        auto none = co_await wait_readable(ends[0], soon(1));
        EXPECT_EQ(none.error().code, Code::timeout);
        EXPECT_EQ(::write(ends[1], "x", 1), 1);
        EXPECT_TRUE(co_await wait_readable(ends[0], soon(1000)));
        EXPECT_TRUE(co_await wait_readable(ends[0]));
        char c = 0;
        EXPECT_EQ(::read(ends[0], &c, 1), 1);
    };
    run_to_end(reactor, body());
    ::close(ends[0]);
    ::close(ends[1]);
}

TEST(Semaphore, BoundsConcurrency) {
    Reactor reactor;
    auto body = []() -> Task<void> {
        Semaphore semaphore(1);
        auto permit = co_await semaphore.acquire();
        auto refused = co_await semaphore.acquire(soon(1));
        EXPECT_EQ(refused.error().code, Code::timeout);
        {
            auto released = std::move(*permit);
        }
        EXPECT_TRUE(co_await semaphore.acquire(soon(1000)));
    };
    run_to_end(reactor, body());
}

Task<void> take_and_note(Semaphore* semaphore, int name, std::vector<int>* order,
                         Semaphore::Rank rank = Semaphore::Rank::normal) {
    auto permit = co_await semaphore->acquire(kNoDeadline, rank);
    if (permit) {
        order->push_back(name);
        co_await yield_now();
    }
}

TEST(Semaphore, ServesInTheOrderOfComing) {
    Reactor reactor;
    std::vector<int> order;
    auto body = [&]() -> Task<void> {
        auto executor = co_await current_executor();
        Semaphore semaphore(1);
        Scope scope(executor);
        Scope leaving(executor);
        {
            auto permit = co_await semaphore.acquire();
            auto last = Semaphore::Rank::last;
            scope.spawn("last", take_and_note(&semaphore, 9, &order, last));
            leaving.spawn("leaves", take_and_note(&semaphore, 0, &order));
            for (int i = 1; i <= 3; ++i) {
                scope.spawn("waits", take_and_note(&semaphore, i, &order));
            }
            co_await yield_now();
            co_await yield_now();
            co_await leaving.stop();
        }
        // Whoever asks now comes last, though the permit is on its way to another.
        EXPECT_TRUE(co_await semaphore.acquire(soon(1000)));
        EXPECT_EQ(order.size(), 3u);
        EXPECT_TRUE(co_await scope.join(soon(1000)));
    };
    run_to_end(reactor, body());
    EXPECT_EQ(order, (std::vector<int>{1, 2, 3, 9}));
}

TEST(RunUntil, EndsTheTaskWhenSomebodySaysEnough) {
    Reactor reactor;
    auto slow = []() -> Task<Result<int>> {
        SKIFF_CO_CHECK(co_await sleep_for(std::chrono::hours(1)));
        co_return 7;
    };
    auto body = [&]() -> Task<void> {
        Event enough;
        Scope scope(co_await current_executor());
        scope.spawn("enough", set_later(enough));
        auto ended = co_await run_until(slow(), enough, kNoDeadline, "task");
        EXPECT_EQ(ended.error().code, Code::cancelled);
        EXPECT_TRUE(co_await scope.join());
    };
    run_to_end(reactor, body());
}

TEST(BlockingPool, RunsWorkElsewhereAndReturnsItsValue) {
    Reactor reactor;
    BlockingPool pool(reactor, 2, 16);
    auto body = [&]() -> Task<void> {
        auto here = std::this_thread::get_id();
        auto work = []() -> Result<std::thread::id> { return std::this_thread::get_id(); };
        auto there = co_await pool.run(work);
        EXPECT_NE(*there, here);
        EXPECT_EQ(std::this_thread::get_id(), here);
    };
    run_to_end(reactor, body());
}

TEST(BlockingPool, RefusesWhenTooMuchWaits) {
    Reactor reactor;
    BlockingPool pool(reactor, 1, 0);
    auto body = [&]() -> Task<void> {
        auto work = []() -> Result<int> { return 1; };
        auto refused = co_await pool.run(work);
        EXPECT_EQ(refused.error().code, Code::exhausted);
    };
    run_to_end(reactor, body());
}

TEST(Lanes, OfOneKeyOnePieceRunsAtATimeEvenWhenItsCallerIsGone) {
    Reactor reactor;
    BlockingPool pool(reactor, 2, 16);
    Lanes lanes(reactor.executor(), pool);
    struct Seen {
        std::promise<void> first_begun;
        std::promise<void> second_begun;
        bool overlapped = true;
    };
    auto seen = std::make_shared<Seen>();
    auto body = [&]() -> Task<void> {
        Scope caller(reactor.executor());
        auto first = [seen]() -> Result<void> {
            seen->first_begun.set_value();
            auto other = seen->second_begun.get_future().wait_for(milliseconds(50));
            seen->overlapped = other == std::future_status::ready;
            return {};
        };
        auto ask = [](Lanes* its, std::function<Result<void>()> work) -> Task<void> {
            auto done = co_await its->run("pod", std::move(work));
            EXPECT_EQ(done.error().code, Code::cancelled);
        };
        caller.spawn("first", ask(&lanes, first));
        auto begun = seen->first_begun.get_future();
        while (begun.wait_for(milliseconds(0)) != std::future_status::ready) {
            co_await yield_now();
        }
        co_await caller.stop();
        std::function<Result<void>()> second = [seen]() -> Result<void> {
            seen->second_begun.set_value();
            return fail(Code::exists, "second");
        };
        auto done = co_await lanes.run("pod", std::move(second));
        EXPECT_EQ(done.error().code, Code::exists);
        EXPECT_FALSE(seen->overlapped);
        EXPECT_TRUE(co_await lanes.stop());
        EXPECT_EQ(lanes.size(), 0U);
    };
    run_to_end(reactor, body());
}

TEST(Lanes, KeysDoNotWaitForEachOther) {
    Reactor reactor;
    BlockingPool pool(reactor, 2, 16);
    Lanes lanes(reactor.executor(), pool);
    auto met = std::make_shared<std::promise<void>>();
    auto body = [&]() -> Task<void> {
        Scope caller(reactor.executor());
        auto first = [met]() -> Result<void> {
            auto other = met->get_future().wait_for(std::chrono::seconds(20));
            EXPECT_EQ(other, std::future_status::ready);
            return {};
        };
        auto ask = [](Lanes* its, std::function<Result<void>()> work) -> Task<void> {
            EXPECT_TRUE(co_await its->run("a", std::move(work)));
        };
        caller.spawn("first", ask(&lanes, first));
        std::function<Result<void>()> second = [met]() -> Result<void> {
            met->set_value();
            return {};
        };
        EXPECT_TRUE(co_await lanes.run("b", std::move(second)));
        EXPECT_TRUE(co_await caller.join(soon(20000)));
        EXPECT_TRUE(co_await lanes.stop());
    };
    run_to_end(reactor, body());
}

TEST(BlockingPool, SaysHowLongWorkWaits) {
    Reactor reactor;
    BlockingPool pool(reactor, 1, 4);
    EXPECT_EQ(pool.longest_wait(), Duration::zero());
    auto body = [&]() -> Task<void> {
        std::mutex gate;
        gate.lock();
        auto block = [&gate]() -> Result<int> {
            std::lock_guard lock(gate);
            return 1;
        };
        auto run = [](BlockingPool* its, std::function<Result<int>()> work) -> Task<void> {
            EXPECT_TRUE(co_await its->run(std::move(work)));
        };
        Scope scope(co_await current_executor());
        scope.spawn("one", run(&pool, block));
        scope.spawn("two", run(&pool, block));
        auto deadline = soon(10'000);
        while (pool.longest_wait() < milliseconds(5) &&
               std::chrono::steady_clock::now() < deadline) {
            (void)co_await sleep_for(milliseconds(1));
        }
        EXPECT_GE(pool.longest_wait(), milliseconds(5));
        gate.unlock();
        EXPECT_TRUE(co_await scope.join(soon(10'000)));
        EXPECT_EQ(pool.longest_wait(), Duration::zero());
    };
    run_to_end(reactor, body());
}

}  // namespace
}  // namespace skiff::async
