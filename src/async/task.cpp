#include "async/task.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/descriptor.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/assert.h"

namespace skiff::async {

namespace asio = boost::asio;
constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

Reactor::Reactor() : context_(std::make_unique<asio::io_context>(1)) {}
Reactor::~Reactor() = default;

Executor Reactor::executor() {
    return context_->get_executor();
}

void Reactor::run() {
    context_->restart();
    context_->run();
}

void Reactor::stop() {
    context_->stop();
}

void Reactor::post(std::function<void()> work) {
    asio::post(*context_, std::move(work));
}

Task<Result<void>> sleep_until(SteadyTime deadline) {
    asio::steady_timer timer(co_await current_executor(), deadline);
    auto [error] = co_await timer.async_wait(kAwait);
    if (error) {
        co_return fail(Code::cancelled, "wait cancelled");
    }
    co_return Result<void>{};
}

Task<Result<void>> sleep_for(Duration duration) {
    auto steady = std::chrono::duration_cast<SteadyTime::duration>(duration);
    co_return co_await sleep_until(std::chrono::steady_clock::now() + steady);
}

namespace {

// Lends a descriptor to Asio and takes it back without closing it, whatever happens.
class Lent {
public:
    Lent(const Executor& executor, int fd) : descriptor_(executor, fd) {}
    ~Lent() { descriptor_.release(); }
    asio::posix::stream_descriptor& operator*() { return descriptor_; }

private:
    asio::posix::stream_descriptor descriptor_;
};

}  // namespace

static Task<Result<void>> wait_fd(int fd, asio::posix::descriptor_base::wait_type kind,
                                  SteadyTime deadline) {
    auto executor = co_await current_executor();
    Lent lent(executor, fd);
    // Shared with the timer's handler, which may run when this frame is gone.
    struct Expiry {
        Lent* waiting;
        bool passed = false;
    };
    auto expiry = std::make_shared<Expiry>();
    expiry->waiting = &lent;
    struct Disarm {
        Expiry* expiry;
        ~Disarm() { expiry->waiting = nullptr; }
    } disarm{expiry.get()};
    asio::steady_timer timer(executor);
    if (deadline != kNoDeadline) {
        timer.expires_at(deadline);
        timer.async_wait([expiry](boost::system::error_code error) {
            if (!error && expiry->waiting != nullptr) {
                expiry->passed = true;
                boost::system::error_code ignored;
                (**expiry->waiting).cancel(ignored);
            }
        });
    }
    auto [error] = co_await (*lent).async_wait(kind, kAwait);
    if (expiry->passed) {
        co_return fail(Code::timeout, "deadline passed");
    }
    if (error == asio::error::operation_aborted) {
        co_return fail(Code::cancelled, "wait cancelled");
    }
    if (error) {
        co_return fail(Code::internal, "wait for descriptor {}: {}", fd, error.message());
    }
    co_return Result<void>{};
}

Task<Result<void>> wait_readable(int fd, SteadyTime deadline) {
    return wait_fd(fd, asio::posix::descriptor_base::wait_read, deadline);
}

Task<Result<void>> wait_writable(int fd, SteadyTime deadline) {
    return wait_fd(fd, asio::posix::descriptor_base::wait_write, deadline);
}

Task<bool> is_cancelled() {
    auto state = co_await asio::this_coro::cancellation_state;
    co_return state.cancelled() != asio::cancellation_type::none;
}

Task<void> yield_now() {
    co_await asio::post(co_await current_executor(), asio::use_awaitable);
}

Task<Result<int>> wait_signal(std::vector<int> signals) {
    asio::signal_set set(co_await current_executor());
    for (int number : signals) {
        set.add(number);
    }
    auto [error, number] = co_await set.async_wait(kAwait);
    if (error) {
        co_return fail(Code::cancelled, "wait cancelled");
    }
    co_return number;
}

}  // namespace skiff::async
