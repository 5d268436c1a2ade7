// Who owns a running task, and until when: Scope. Also deadlines for whole tasks. Reactor thread
// only.
#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <exception>
#include <list>
#include <string>
#include <string_view>

#include "async/event.h"
#include "async/task.h"

namespace skiff::async {

// Owns background tasks. Its owner calls stop() (or ran it dry) before destroying it: the
// destructor asserts that no task is left.
class Scope {
public:
    explicit Scope(Executor executor) : executor_(std::move(executor)) { idle_.set(); }
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

    // Starts `task` soon, never inside this call. `name` appears in logs. After stop() began the
    // task is dropped.
    void spawn(std::string name, Task<void> task);
    // Cancels every task and resolves when all have ended. May be called again.
    [[nodiscard]] Task<void> stop();
    // The same, but then tasks may be spawned again; those that come meanwhile are dropped. What
    // stop() was called on stays stopped.
    [[nodiscard]] Task<void> cancel();
    // Resolves when no task runs; does not cancel. Fails with timeout or cancelled.
    [[nodiscard]] Task<Result<void>> join(SteadyTime deadline = kNoDeadline);
    [[nodiscard]] std::size_t size() const { return tasks_.size(); }

private:
    struct Running {
        std::string name;
        boost::asio::cancellation_signal signal;
    };
    void ended(std::list<Running>::iterator task, std::exception_ptr problem);
    [[nodiscard]] Task<void> end_tasks();

    Executor executor_;
    std::list<Running> tasks_;
    enum class Intake { open, cancelling, stopped } intake_ = Intake::open;
    Event idle_;
};

// Whether `problem` is the unwinding of a cancelled task.
[[nodiscard]] bool is_cancellation(const std::exception_ptr& problem);

// Runs `task`. When somebody sets `enough` first, or at `deadline`, cancels it and waits for it to
// end; then returns Code::cancelled or Code::timeout, unless it had an answer all the same.
// `enough` is set when this returns and must live until then. `what` names the task.
template <typename T>
[[nodiscard]] Task<Result<T>> run_until(Task<Result<T>> task, Event& enough, SteadyTime deadline,
                                        std::string what) {
    auto executor = co_await current_executor();
    std::optional<Result<T>> result;
    bool timed_out = false;
    {
        Scope scope(executor);
        auto run = [](Task<Result<T>> inner, std::optional<Result<T>>* out,
                      Event* event) -> Task<void> {
            auto value = co_await std::move(inner);
            out->emplace(std::move(value));
            event->set();
        };
        auto body = run(std::move(task), &result, &enough);
        scope.spawn(what, std::move(body));
        auto waited = co_await enough.wait(deadline);
        timed_out = !waited && waited.error().code == Code::timeout;
        // The scope must end even when we are being cancelled ourselves.
        co_await boost::asio::this_coro::throw_if_cancelled(false);
        co_await scope.stop();
        co_await boost::asio::this_coro::throw_if_cancelled(true);
        enough.set();
    }
    bool ended_by_us = result && !*result && result->error().code == Code::cancelled;
    if (result && !(timed_out && ended_by_us)) {
        co_return std::move(*result);
    }
    if (timed_out) {
        co_return fail(Code::timeout, "{} did not end in time", what);
    }
    co_return fail(Code::cancelled, "{} cancelled", what);
}

// Runs `task`; after `deadline` cancels it, waits for it to end, and returns Code::timeout. `what`
// names it.
template <typename T>
[[nodiscard]] Task<Result<T>> with_deadline(Task<Result<T>> task, SteadyTime deadline,
                                            std::string what) {
    Event done;
    co_return co_await run_until(std::move(task), done, deadline, std::move(what));
}

// Runs one task to its end on a reactor of the caller's: for main() and for tests.
template <typename T>
T run_to_end(Reactor& reactor, Task<T> task) {
    std::optional<T> result;
    std::exception_ptr problem;
    boost::asio::co_spawn(reactor.executor(), std::move(task),
                          [&](std::exception_ptr thrown, T value) {
                              problem = thrown;
                              result.emplace(std::move(value));
                              reactor.stop();
                          });
    reactor.run();
    if (problem) {
        std::rethrow_exception(problem);
    }
    return std::move(*result);
}

inline void run_to_end(Reactor& reactor, Task<void> task) {
    std::exception_ptr problem;
    boost::asio::co_spawn(reactor.executor(), std::move(task), [&](std::exception_ptr thrown) {
        problem = thrown;
        reactor.stop();
    });
    reactor.run();
    if (problem) {
        std::rethrow_exception(problem);
    }
}

}  // namespace skiff::async
