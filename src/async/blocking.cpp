#include "async/blocking.h"

#include <csignal>

namespace skiff::async {

BlockingPool::BlockingPool(Reactor& reactor, std::size_t threads, std::size_t waiting_max)
    : reactor_(reactor), threads_max_(threads), waiting_max_(waiting_max) {}

BlockingPool::~BlockingPool() {
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
        waiting_.clear();
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) {
        thread.join();
    }
}

bool BlockingPool::submit(std::function<void()> item) {
    std::lock_guard lock(mutex_);
    if (waiting_.size() >= waiting_max_) {
        return false;
    }
    waiting_.push_back(Waiting{std::move(item), std::chrono::steady_clock::now()});
    if (idle_ < waiting_.size() && threads_.size() < threads_max_) {
        // Signals belong to the reactor thread.
        sigset_t all;
        sigset_t before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        threads_.emplace_back(&BlockingPool::work, this);
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
    }
    wake_.notify_one();
    return true;
}

Duration BlockingPool::longest_wait() const {
    std::lock_guard lock(mutex_);
    if (waiting_.empty()) {
        return {};
    }
    return std::chrono::steady_clock::now() - waiting_.front().since;
}

void BlockingPool::work() {
    std::unique_lock lock(mutex_);
    while (true) {
        ++idle_;
        wake_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
        --idle_;
        if (stopping_) {
            return;
        }
        auto item = std::move(waiting_.front().item);
        waiting_.pop_front();
        lock.unlock();
        item();
        lock.lock();
    }
}

}  // namespace skiff::async
