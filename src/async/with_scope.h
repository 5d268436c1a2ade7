// Tasks that live inside another: none of them outlives it, however it ends. Reactor thread only.
#pragma once

#include <functional>

#include "async/scope.h"

namespace skiff::async {

// Makes a task from its arguments and captures.
using ScopeBody = std::function<Task<void>(Scope&)>;

// Runs the task that `body` makes, giving it a Scope for tasks of its own. When it has ended, or
// when the caller is cancelled, everything in the scope is cancelled and joined: what the tasks
// refer to may end after this returns; the captures of `body` live until then.
[[nodiscard]] inline Task<void> with_scope(ScopeBody body) {
    auto executor = co_await current_executor();
    Event ended;
    {
        Scope scope(executor);
        auto run = [](Task<void> inner, Event* event) -> Task<void> {
            co_await std::move(inner);
            event->set();
        };
        auto first = run(body(scope), &ended);
        scope.spawn("body", std::move(first));
        auto waited = co_await ended.wait();
        // The scope must end even when we are being cancelled ourselves.
        co_await boost::asio::this_coro::throw_if_cancelled(false);
        co_await scope.stop();
        co_await boost::asio::this_coro::throw_if_cancelled(true);
    }
}

}  // namespace skiff::async
