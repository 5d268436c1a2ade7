// A bounded pool of threads for work that blocks: hashing, unpacking, fsync, getaddrinfo.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <vector>

#include "async/event.h"
#include "async/task.h"

namespace skiff::async {

class BlockingPool {
    template <typename R>
    struct State {
        Event done;
        std::optional<R> result;
    };

public:
    // `threads` are started when first needed; at most `waiting_max` pieces of work wait for one.
    BlockingPool(Reactor& reactor, std::size_t threads, std::size_t waiting_max);
    // Finishes what runs, drops what waits. No task may still wait for a result.
    ~BlockingPool();
    BlockingPool(const BlockingPool&) = delete;
    BlockingPool& operator=(const BlockingPool&) = delete;

    // Work that a thread does while the caller goes on. R is a Result<T>.
    template <typename R>
    class Begun {
    public:
        // What it returned; once, but again after a wait that was cancelled. Cancelled: the work
        // owns copies of all it needs, so it is left to itself.
        [[nodiscard]] Task<R> result() {
            auto state = state_;
            if (!state) {
                co_return fail(Code::exhausted, "too much work waits for a blocking thread");
            }
            while (!state->done.is_set()) {
                auto waited = co_await state->done.wait();
                if (!waited) {
                    co_return fail(std::move(waited.error()));
                }
            }
            co_return std::move(*state->result);
        }

    private:
        friend class BlockingPool;
        std::shared_ptr<State<R>> state_;
    };

    // Hands `work` to a pool thread. Work cannot be cancelled, so bound it; it must not touch
    // reactor state. Its result() is Code::exhausted when too much waits already.
    template <typename F>
    [[nodiscard]] auto begin(F work) -> Begun<std::invoke_result_t<F>> {
        using R = std::invoke_result_t<F>;
        auto state = std::make_shared<State<R>>();
        auto job = std::make_shared<F>(std::move(work));
        Reactor* reactor = &reactor_;
        std::function<void()> item = [state, job, reactor] {
            state->result.emplace((*job)());
            reactor->post([state] { state->done.set(); });
        };
        Begun<R> begun;
        if (submit(std::move(item))) {
            begun.state_ = std::move(state);
        }
        return begun;
    }

    // begin(), and the result.
    template <typename F>
    [[nodiscard]] auto run(F work) -> Task<std::invoke_result_t<F>> {
        auto begun = begin(std::move(work));
        co_return co_await begun.result();
    }

    // For how long the piece of work that comes next has waited for a thread; zero if none waits.
    // Minutes mean that every thread is stuck. Any thread.
    [[nodiscard]] Duration longest_wait() const;

private:
    struct Waiting {
        std::function<void()> item;
        SteadyTime since;
    };

    [[nodiscard]] bool submit(std::function<void()> item);
    void work();

    Reactor& reactor_;
    std::size_t threads_max_;
    std::size_t waiting_max_;
    mutable std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<Waiting> waiting_;
    std::size_t idle_ = 0;
    bool stopping_ = false;
    std::vector<std::thread> threads_;
};

}  // namespace skiff::async
