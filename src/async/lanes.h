// Work of the pool for things that each bear one piece at a time: a pod's files, a folder.
// Reactor thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "async/blocking.h"
#include "async/event.h"
#include "async/scope.h"

namespace skiff::async {

class Lanes {
public:
    // `pool` outlives this object.
    Lanes(Executor executor, BlockingPool& pool);
    Lanes(const Lanes&) = delete;
    Lanes& operator=(const Lanes&) = delete;

    // Runs `work` in the pool while no other work of `key` runs, and returns what it returned. Work
    // that was begun or waits is never cut short: a caller that is cancelled leaves it to itself,
    // and what is asked for later comes after it. So `work` owns copies of all it needs.
    [[nodiscard]] Task<Result<void>> run(std::string key, std::function<Result<void>()> work);
    // The same in another pool, which outlives this object, too.
    [[nodiscard]] Task<Result<void>> run(std::string key, BlockingPool& pool,
                                         std::function<Result<void>()> work);
    // Number of keys that have work. For tests.
    [[nodiscard]] std::size_t size() const { return lanes_.size(); }
    // Waits for all work, at most until `deadline` (then: timeout, and what hangs is left to
    // itself). Before destruction; afterwards run() may not be called.
    [[nodiscard]] Task<Result<void>> stop(SteadyTime deadline = kNoDeadline);

private:
    struct Lane {
        Semaphore free{1};
        std::size_t jobs = 0;
    };
    struct Job;
    class Place;
    [[nodiscard]] Task<void> carry_out(BlockingPool* pool, std::shared_ptr<Place> place,
                                       std::shared_ptr<Job> job);

    BlockingPool& pool_;
    std::map<std::string, std::shared_ptr<Lane>> lanes_;
    Scope jobs_;
};

}  // namespace skiff::async
