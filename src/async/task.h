// The coroutine type of every room, and the reactor that runs it. Hides Boost.Asio's names.
//
// One thread, the one inside Reactor::run(), owns all state of the agent; everything in src/async
// except BlockingPool's work and Reactor::post() is used on that thread only.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/this_coro.hpp>
#include <functional>
#include <memory>
#include <optional>

#include "base/result.h"
#include "base/time.h"

namespace boost::asio {
class io_context;
}

namespace skiff::async {

// A lazily started coroutine. It runs when awaited or handed to Scope::spawn(). Move-only.
//
// Cancellation: when its Scope stops, the wait in progress returns Code::cancelled and the next
// wait unwinds the coroutine (destructors run, nothing after that wait does). Scope is the one
// place that catches this.
template <typename T = void>
using Task = boost::asio::awaitable<T>;

using Executor = boost::asio::any_io_executor;

// The event loop.
class Reactor {
public:
    Reactor();
    ~Reactor();
    Reactor(const Reactor&) = delete;
    Reactor& operator=(const Reactor&) = delete;

    [[nodiscard]] Executor executor();
    // Runs until stop() is called or nothing is left to do.
    void run();
    // Ends run() soon. Any thread.
    void stop();
    // Runs `work` on the reactor thread later. Any thread.
    void post(std::function<void()> work);

private:
    std::unique_ptr<boost::asio::io_context> context_;
};

// The point in time that means "no deadline".
inline constexpr SteadyTime kNoDeadline = SteadyTime::max();

// Waits. Fails only with Code::cancelled.
[[nodiscard]] Task<Result<void>> sleep_until(SteadyTime deadline);
[[nodiscard]] Task<Result<void>> sleep_for(Duration duration);

// Waits until `fd` can be read (or written) without blocking, or has ended. The descriptor stays
// the caller's. Fails with timeout, cancelled, or what epoll says.
[[nodiscard]] Task<Result<void>> wait_readable(int fd, SteadyTime deadline = kNoDeadline);
[[nodiscard]] Task<Result<void>> wait_writable(int fd, SteadyTime deadline = kNoDeadline);

// True once the Scope of the running task was told to stop.
[[nodiscard]] Task<bool> is_cancelled();

// Gives other tasks a turn.
[[nodiscard]] Task<void> yield_now();

// The calling coroutine's executor.
[[nodiscard]] inline auto current_executor() {
    return boost::asio::this_coro::executor;
}

// Waits for the first of the signals (SIGTERM, SIGINT, SIGHUP …) and returns its number.
[[nodiscard]] Task<Result<int>> wait_signal(std::vector<int> signals);

}  // namespace skiff::async
