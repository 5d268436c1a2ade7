#include "async/scope.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

#include "base/assert.h"
#include "base/log.h"

namespace skiff::async {

bool is_cancellation(const std::exception_ptr& problem) {
    try {
        std::rethrow_exception(problem);
    } catch (const boost::system::system_error& error) {
        return error.code() == boost::asio::error::operation_aborted;
    } catch (...) {
        return false;
    }
}

Scope::~Scope() {
    SKIFF_ASSERT(tasks_.empty(), "Scope destroyed with tasks running");
}

// co_spawn() runs the first part of a coroutine inside its own call when it can.
static Task<void> start_later(Task<void> task) {
    co_await yield_now();
    co_await std::move(task);
}

void Scope::spawn(std::string name, Task<void> task) {
    if (intake_ != Intake::open) {
        return;
    }
    idle_.reset();
    auto running = tasks_.emplace(tasks_.end());
    running->name = std::move(name);
    auto on_end = [this, running](std::exception_ptr problem) { ended(running, problem); };
    boost::asio::co_spawn(
        executor_, start_later(std::move(task)),
        boost::asio::bind_cancellation_slot(running->signal.slot(), std::move(on_end)));
}

void Scope::ended(std::list<Running>::iterator task, std::exception_ptr problem) {
    if (problem && !is_cancellation(problem)) {
        std::string what = "unknown exception";
        try {
            std::rethrow_exception(problem);
        } catch (const std::exception& error) {
            what = error.what();
        } catch (...) {
        }
        // Nothing of ours throws: this is a bug in a task or in a library's wrapper.
        assert_failed("a task ended by an exception", fmt::format("{}: {}", task->name, what));
    }
    tasks_.erase(task);
    if (tasks_.empty()) {
        idle_.set();
    }
}

Task<void> Scope::stop() {
    intake_ = Intake::stopped;
    co_await end_tasks();
}

Task<void> Scope::cancel() {
    if (intake_ == Intake::open) {
        intake_ = Intake::cancelling;
    }
    co_await end_tasks();
    if (intake_ == Intake::cancelling) {
        intake_ = Intake::open;
    }
}

Task<void> Scope::end_tasks() {
    // Emitting may end a task at once, which changes the list: work on the names of now.
    std::vector<boost::asio::cancellation_signal*> signals;
    for (Running& task : tasks_) {
        signals.push_back(&task.signal);
    }
    for (auto* signal : signals) {
        signal->emit(boost::asio::cancellation_type::terminal);
    }
    while (!tasks_.empty()) {
        auto waited = co_await idle_.wait();
        if (!waited) {
            // Cancelled while stopping: the tasks still refer to this scope, so go on waiting.
            co_await yield_now();
        }
    }
}

Task<Result<void>> Scope::join(SteadyTime deadline) {
    return idle_.wait(deadline);
}

}  // namespace skiff::async
