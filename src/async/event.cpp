#include "async/event.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/assert.h"

namespace skiff::async {

// One wait in progress: a timer that set() expires early.
class Event::Waiter {
public:
    Waiter(Event& event, const Executor& executor, SteadyTime deadline)
        : timer(executor, deadline), event_(event) {
        position_ = event_.waiters_.insert(event_.waiters_.end(), this);
    }
    ~Waiter() { event_.waiters_.erase(position_); }
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;

    boost::asio::steady_timer timer;
    bool woken = false;

private:
    Event& event_;
    std::list<Waiter*>::iterator position_;
};

Event::~Event() {
    SKIFF_ASSERT(waiters_.empty(), "an Event must outlive its waiters");
}

void Event::set() {
    set_ = true;
    for (Waiter* waiter : waiters_) {
        waiter->woken = true;
        waiter->timer.cancel();
    }
}

Task<Result<void>> Event::wait(SteadyTime deadline) {
    while (!set_) {
        Waiter waiter(*this, co_await current_executor(), deadline);
        auto [error] =
            co_await waiter.timer.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
        if (!error) {
            co_return fail(Code::timeout, "deadline passed");
        }
        // Cancelled by set(), or by the scope. set_ may be reset again already by another waiter:
        // look again.
        if (!waiter.woken) {
            co_return fail(Code::cancelled, "wait cancelled");
        }
    }
    co_return Result<void>{};
}

}  // namespace skiff::async
