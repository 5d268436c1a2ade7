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
public:
    // `threads` are started when first needed; at most `waiting_max` pieces of work wait for one.
    BlockingPool(Reactor& reactor, std::size_t threads, std::size_t waiting_max);
    // Finishes what runs, drops what waits. No task may still wait for a result.
    ~BlockingPool();
    BlockingPool(const BlockingPool&) = delete;
    BlockingPool& operator=(const BlockingPool&) = delete;

    // Runs `work` on a pool thread and resumes the caller on the reactor with what it returned.
    // Work cannot be cancelled: the task goes on waiting for it, so bound it. `work` must not touch
    // reactor state. Returns Code::exhausted when too much waits already. `work` returns a
    // Result<T>.
    template <typename F>
    [[nodiscard]] auto run(F work) -> Task<std::invoke_result_t<F>> {
        using R = std::invoke_result_t<F>;
        auto shared = std::make_shared<State<R>>();
        auto job = std::make_shared<F>(std::move(work));
        Reactor* reactor = &reactor_;
        std::function<void()> item = [shared, job, reactor] {
            shared->result.emplace((*job)());
            reactor->post([shared] { shared->done.set(); });
        };
        if (!submit(std::move(item))) {
            co_return fail(Code::exhausted, "too much work waits for a blocking thread");
        }
        while (!shared->done.is_set()) {
            auto waited = co_await shared->done.wait();
            if (!waited) {
                // Cancelled: the work owns copies of all it needs, so leave it to itself.
                co_return fail(std::move(waited.error()));
            }
        }
        co_return std::move(*shared->result);
    }

    // For how long the piece of work that comes next has waited for a thread; zero if none waits.
    // Minutes mean that every thread is stuck. Any thread.
    [[nodiscard]] Duration longest_wait() const;

private:
    template <typename R>
    struct State {
        Event done;
        std::optional<R> result;
    };

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
