// Work on paths that are not the node's own: a hostPath may lie on a mount whose server is gone,
// and who touches it may not come back. Reactor thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "async/blocking.h"
#include "async/scope.h"

namespace skiff::volumes {

class ForeignWork {
public:
    // After `patience` a path counts as hung. `pool` outlives this object and is used by nobody who
    // must not hang.
    ForeignWork(async::Executor executor, async::BlockingPool& pool, Duration patience);
    ForeignWork(const ForeignWork&) = delete;
    ForeignWork& operator=(const ForeignWork&) = delete;

    // Runs `work`, which touches `path`, and returns what it returned. One piece at a time for each
    // path, so that a path that hangs costs one thread however often it is asked for. Fails with
    // timeout when that piece, or the one before it, does not end; it is left to itself and owns
    // what it needs.
    [[nodiscard]] async::Task<Result<void>> run(std::string path,
                                                std::function<Result<void>()> work);
    [[nodiscard]] async::BlockingPool& pool() { return pool_; }
    // Waits for no work. Before destruction.
    [[nodiscard]] async::Task<void> stop() { return calls_scope_.stop(); }

private:
    struct Call {
        std::function<Result<void>()> work;
        async::Event done;
        Result<void> result;
    };
    [[nodiscard]] async::Task<void> carry_out(std::shared_ptr<Call> call, std::string path);

    async::BlockingPool& pool_;
    Duration patience_;
    std::map<std::string, std::shared_ptr<Call>> calls_;
    async::Scope calls_scope_;
};

}  // namespace skiff::volumes
