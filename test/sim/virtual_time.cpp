#include "virtual_time.h"

#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>

namespace skiff::sim {
namespace {

// Not zero: the event loop takes a time before its clock's beginning for one that is long over.
constexpr SteadyTime kStart{std::chrono::hours(1000)};

// What the process-wide calls below answer from; they have no other way to find it.
struct Loop {
    SteadyTime now = kStart;
    int timer = -1;  // the loop's timerfd, once it armed one
    std::optional<SteadyTime> due;
};
Loop loop;

// Makes the descriptor readable at once, or never.
enum class Readable { now, never };
void arm(int timer, Readable readable) {
    itimerspec spec{};
    spec.it_value.tv_nsec = readable == Readable::now ? 1 : 0;
    (void)::syscall(SYS_timerfd_settime, timer, TFD_TIMER_ABSTIME, &spec, nullptr);
}

}  // namespace

VirtualTime::VirtualTime(WallTime start) : start_wall_(start) {
    loop = Loop{};
}

VirtualTime::~VirtualTime() {
    loop = Loop{};
}

WallTime VirtualTime::wall_now() const {
    return start_wall_ + (loop.now - kStart);
}

SteadyTime VirtualTime::steady_now() const {
    return loop.now;
}

std::optional<SteadyTime> VirtualTime::next_timer() {
    return loop.due;
}

void VirtualTime::forget_timer() {
    loop.timer = -1;
    loop.due.reset();
}

void VirtualTime::move_to(SteadyTime time) {
    loop.now = std::max(loop.now, time);
    if (loop.due && *loop.due <= loop.now && loop.timer >= 0) {
        loop.due.reset();
        arm(loop.timer, Readable::now);
    }
}

// What the event loop wants of its timerfd, which never really runs.
static void note_timer(int timer, int flags, const itimerspec& wanted) {
    loop.timer = timer;
    Duration in = std::chrono::seconds(wanted.it_value.tv_sec) +
                  std::chrono::nanoseconds(wanted.it_value.tv_nsec);
    // An absolute time is how the loop says "at once".
    bool at_once = (flags & TFD_TIMER_ABSTIME) != 0;
    loop.due = at_once ? std::nullopt : std::optional(loop.now + in);
    arm(timer, at_once ? Readable::now : Readable::never);
}

static SteadyTime virtual_now() {
    return loop.now;
}

}  // namespace skiff::sim

// The two calls, in place of those of the C++ and the C library.
std::chrono::steady_clock::time_point std::chrono::steady_clock::now() noexcept {
    return skiff::sim::virtual_now();
}

extern "C" int timerfd_settime(int timer, int flags, const itimerspec* wanted,
                               itimerspec* before) noexcept {
    if (before != nullptr) {
        *before = {};
    }
    skiff::sim::note_timer(timer, flags, *wanted);
    return 0;
}
