// Time that moves only when a simulation says so, for the agent's clock and for the timers of its
// event loop alike. One in a process at a time.
//
// The event loop asks std::chrono::steady_clock, arms a timerfd and waits for it by epoll. This
// program defines these calls itself (virtual_time.cpp): the clock answers with virtual time, the
// timer only notes when the loop wants to be woken, and epoll tells of that. So a simulation jumps
// from timer to timer and no code under test knows.
#pragma once

#include <optional>

#include "base/time.h"

namespace skiff::sim {

class VirtualTime final : public Clock {
public:
    explicit VirtualTime(WallTime start);
    ~VirtualTime() override;
    VirtualTime(const VirtualTime&) = delete;
    VirtualTime& operator=(const VirtualTime&) = delete;

    [[nodiscard]] WallTime wall_now() const override;
    [[nodiscard]] SteadyTime steady_now() const override;

    // When the event loop's earliest timer is due; nullopt when it waits for none.
    [[nodiscard]] static std::optional<SteadyTime> next_timer();
    // Forgets the timer of an event loop that was destroyed.
    static void forget_timer();
    // Moves on, never back. The event loop sees its due timers the next time that it runs.
    void move_to(SteadyTime time);

private:
    WallTime start_wall_;
};

}  // namespace skiff::sim
