#include "virtual_time.h"

#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <map>

namespace skiff::sim {
namespace {

// Not zero: the event loop takes a time before its clock's beginning for one that is long over.
constexpr SteadyTime kStart{std::chrono::hours(1000)};

// What the process-wide calls below answer from; they have no other way to find it.
struct Loop {
    SteadyTime now = kStart;
    int timer = -1;  // the loop's timerfd, once it armed one
    std::optional<SteadyTime> due;
    enum class Timer { silent, readable } state = Timer::silent;
    std::map<int, epoll_data_t> watched;  // by descriptor, as the loop put them
};
Loop loop;

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
    loop.state = Loop::Timer::silent;
}

void VirtualTime::move_to(SteadyTime time) {
    loop.now = std::max(loop.now, time);
    if (loop.due && *loop.due <= loop.now && loop.timer >= 0) {
        loop.due.reset();
        loop.state = Loop::Timer::readable;
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
    loop.state = at_once ? Loop::Timer::readable : Loop::Timer::silent;
}

static SteadyTime virtual_now() {
    return loop.now;
}

static void note_watched(int fd, const epoll_event& event) {
    loop.watched[fd] = event.data;
}

// What the loop is told when it looks without waiting: that its timer is due, or nothing.
static int look(epoll_event* events) {
    auto timer = loop.watched.find(loop.timer);
    if (loop.state == Loop::Timer::silent || timer == loop.watched.end()) {
        return 0;
    }
    events[0].events = EPOLLIN;
    events[0].data = timer->second;
    return 1;
}

}  // namespace skiff::sim

// The four calls, in place of those of the C++ and the C library.
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

extern "C" int epoll_ctl(int epoll, int what, int fd, epoll_event* event) noexcept {
    if (what == EPOLL_CTL_ADD) {
        skiff::sim::note_watched(fd, *event);
    }
    return static_cast<int>(::syscall(SYS_epoll_ctl, epoll, what, fd, event));
}

// The timer is the only descriptor that ever has something to tell, so the kernel is asked only by
// who waits: half of a simulation's time were such questions.
extern "C" int epoll_wait(int epoll, epoll_event* events, int events_max, int timeout_ms) {
    int found = skiff::sim::look(events);
    if (found > 0 || timeout_ms == 0) {
        return found;
    }
    return static_cast<int>(::syscall(SYS_epoll_wait, epoll, events, events_max, timeout_ms));
}
