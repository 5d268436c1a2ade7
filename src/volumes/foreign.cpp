#include "volumes/foreign.h"

namespace skiff::volumes {

using async::Task;

ForeignWork::ForeignWork(async::Executor executor, async::BlockingPool& pool, Duration patience)
    : pool_(pool), patience_(patience), calls_scope_(std::move(executor)) {}

Task<void> ForeignWork::carry_out(std::shared_ptr<Call> call, std::string path) {
    // Those who wait must wake even when this task is cancelled.
    struct Finally {
        ForeignWork* self;
        std::shared_ptr<Call> call;
        std::string path;
        ~Finally() {
            self->calls_.erase(path);
            call->done.set();
        }
    } finally{this, call, path};
    call->result = fail(Code::cancelled, "the node is stopping");
    call->result = co_await pool_.run(call->work);
}

Task<Result<void>> ForeignWork::run(std::string path, std::function<Result<void>()> work) {
    SteadyTime deadline = after(patience_);
    auto hung = [&] {
        return fail(Code::timeout, "{} does not answer within {}", path,
                    format_duration(patience_));
    };
    for (auto before = calls_.find(path); before != calls_.end(); before = calls_.find(path)) {
        auto call = before->second;
        auto ended = co_await call->done.wait(deadline);
        if (!ended && ended.error().code == Code::timeout) {
            co_return hung();
        }
        SKIFF_CO_CHECK(std::move(ended));
    }
    auto call = std::make_shared<Call>();
    call->work = std::move(work);
    calls_[path] = call;
    calls_scope_.spawn("foreign path " + path, carry_out(call, path));
    auto ended = co_await call->done.wait(deadline);
    if (!ended && ended.error().code == Code::timeout) {
        co_return hung();
    }
    SKIFF_CO_CHECK(std::move(ended));
    co_return call->result;
}

}  // namespace skiff::volumes
