// Ways for one task to wake another: Event, Mailbox, Queue, Semaphore. Reactor thread only.
#pragma once

#include <cstddef>
#include <deque>
#include <list>
#include <optional>

#include "async/task.h"

namespace skiff::async {

// A flag that tasks can wait for. set() wakes all waiters and stays set until reset().
class Event {
public:
    Event() = default;
    ~Event();
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;

    void set();
    void reset() { set_ = false; }
    [[nodiscard]] bool is_set() const { return set_; }
    // Resolves when set (at once if it is). Fails with timeout or cancelled.
    [[nodiscard]] Task<Result<void>> wait(SteadyTime deadline = kNoDeadline);

private:
    class Waiter;
    bool set_ = false;
    std::list<Waiter*> waiters_;
};

// One pending item, the latest wins: events only say what is wanted now, the taker works at its own
// pace.
template <typename T>
class Mailbox {
public:
    void put(T item) {
        item_ = std::move(item);
        event_.set();
    }
    [[nodiscard]] bool empty() const { return !item_.has_value(); }
    // The pending item, waiting for one if there is none. Fails with timeout or cancelled. One
    // taker.
    [[nodiscard]] Task<Result<T>> take(SteadyTime deadline = kNoDeadline) {
        auto woken = co_await event_.wait(deadline);
        if (!woken) {
            co_return fail(std::move(woken.error()));
        }
        event_.reset();
        T item = std::move(*item_);
        item_.reset();
        co_return std::move(item);
    }

private:
    Event event_;
    std::optional<T> item_;
};

// A bounded first-in-first-out queue.
template <typename T>
class Queue {
public:
    explicit Queue(std::size_t items_max) : items_max_(items_max) {}
    // False, and `item` dropped, when the queue is full or closed.
    [[nodiscard]] bool try_push(T item) {
        if (closed_ || items_.size() >= items_max_) {
            return false;
        }
        items_.push_back(std::move(item));
        event_.set();
        return true;
    }
    // Wakes the taker; what is queued can still be taken, then pop() fails with not_found.
    void close() {
        closed_ = true;
        event_.set();
    }
    [[nodiscard]] std::size_t size() const { return items_.size(); }
    // One taker. Fails with timeout, cancelled, or not_found once closed and empty.
    [[nodiscard]] Task<Result<T>> pop(SteadyTime deadline = kNoDeadline) {
        auto woken = co_await event_.wait(deadline);
        if (!woken) {
            co_return fail(std::move(woken.error()));
        }
        if (items_.empty()) {
            co_return fail(Code::not_found, "queue closed");
        }
        T item = std::move(items_.front());
        items_.pop_front();
        if (items_.empty() && !closed_) {
            event_.reset();
        }
        co_return std::move(item);
    }

private:
    std::size_t items_max_;
    bool closed_ = false;
    std::deque<T> items_;
    Event event_;
};

// Bounds how many tasks do something at once. First come, first served: a permit that comes back
// goes to the task that has waited longest, so that nobody who asks again and again passes it.
class Semaphore {
public:
    explicit Semaphore(std::size_t permits) : free_(permits) {}

    // `last` waits until nobody of the others does.
    enum class Rank { normal, last };

    // Gives the permit back when destroyed. Must not outlive the semaphore.
    class Permit {
    public:
        explicit Permit(Semaphore* owner) : owner_(owner) {}
        Permit(Permit&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)) {}
        Permit& operator=(Permit&&) = delete;
        ~Permit() {
            if (owner_ != nullptr) {
                owner_->give_back();
            }
        }

    private:
        Semaphore* owner_;
    };

    // Fails with timeout or cancelled.
    [[nodiscard]] Task<Result<Permit>> acquire(SteadyTime deadline = kNoDeadline,
                                               Rank rank = Rank::normal) {
        if (free_ > 0) {
            --free_;
            co_return Permit(this);
        }
        Waiter waiter(*this, rank);
        auto woken = co_await waiter.granted.wait(deadline);
        if (!woken && !waiter.granted.is_set()) {
            co_return fail(std::move(woken.error()));
        }
        waiter.taken = true;
        co_return Permit(this);
    }

private:
    // A place in the queue. While somebody waits no permit is free.
    struct Waiter {
        Waiter(Semaphore& semaphore, Rank its_rank) : owner(semaphore), rank(its_rank) {
            auto before = owner.queue_.end();
            while (rank == Rank::normal && before != owner.queue_.begin() &&
                   (*std::prev(before))->rank == Rank::last) {
                --before;
            }
            place = owner.queue_.insert(before, this);
        }
        ~Waiter() {
            if (!granted.is_set()) {
                owner.queue_.erase(place);
            } else if (!taken) {
                owner.give_back();
            }
        }
        Waiter(const Waiter&) = delete;
        Waiter& operator=(const Waiter&) = delete;

        Semaphore& owner;
        Rank rank;
        std::list<Waiter*>::iterator place;
        Event granted;
        bool taken = false;
    };

    void give_back() {
        if (queue_.empty()) {
            ++free_;
            return;
        }
        Waiter* first = queue_.front();
        queue_.pop_front();
        first->granted.set();
    }

    std::size_t free_;
    std::list<Waiter*> queue_;
};

}  // namespace skiff::async
