#include "engine/courtesy.h"

#include <linux/types.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>

namespace skiff::engine {

namespace {

constexpr suseconds_t kOftenMicros = 200;
constexpr suseconds_t kSeldomMicros = 1000;
// So many offers after another took the core for the last time they become seldom.
constexpr int kOffersUntilCalm = 5;
// The least that Linux takes (6.12 and later; before, it ignores the wish).
constexpr __u64 kSliceNanos = 100'000;

// The kernel's sched_attr of 56 bytes; its header cannot be included beside <sched.h>.
struct SchedulingAttributes {
    __u32 size = sizeof(SchedulingAttributes);
    __u32 policy = SCHED_OTHER;
    __u64 flags = 0;
    __s32 nice = 19;  // as whoever started it has set
    __u32 priority = 0;
    __u64 runtime = kSliceNanos;
    __u64 deadline = 0;
    __u64 period = 0;
    __u32 util_min = 0;
    __u32 util_max = 0;
};
static_assert(sizeof(SchedulingAttributes) == 56);

// Of the handler, which never runs beside itself.
long g_times_taken = 0;
int g_offers_kept = 0;

void offer_in(suseconds_t micros) {
    const itimerval once{{0, 0}, {0, micros}};
    (void)::setitimer(ITIMER_REAL, &once, nullptr);
}

extern "C" void offer_core(int) {
    const int kept = errno;
    ::sched_yield();
    rusage usage{};
    (void)::getrusage(RUSAGE_THREAD, &usage);
    // Counts the yields that somebody took, and preemptions between them.
    g_offers_kept = usage.ru_nivcsw == g_times_taken ? g_offers_kept + 1 : 0;
    g_times_taken = usage.ru_nivcsw;
    offer_in(g_offers_kept < kOffersUntilCalm ? kOftenMicros : kSeldomMicros);
    errno = kept;
}

}  // namespace

void be_courteous() {
    // Only an ordinary task can wish for a slice; it keeps it when it changes its class.
    const SchedulingAttributes attributes;
    (void)::syscall(SYS_sched_setattr, 0, &attributes, 0U);
    const sched_param idle{};
    (void)::sched_setscheduler(0, SCHED_IDLE, &idle);
}

void offer_core_often() {
    struct sigaction action{};
    action.sa_handler = offer_core;
    action.sa_flags = SA_RESTART;
    (void)::sigaction(SIGALRM, &action, nullptr);
    offer_in(kOftenMicros);
}

}  // namespace skiff::engine
