// What a compiler promises the guests beside it. That they are served in time is measured:
// bench/neighbours.
#include "engine/courtesy.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>

namespace skiff::engine {
namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

// What `body` returns, in a process of one thread.
int in_child(const std::function<int()>& body) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::_exit(body());
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

std::chrono::microseconds next_offer() {
    itimerval timer{};
    (void)::getitimer(ITIMER_REAL, &timer);
    return std::chrono::microseconds(timer.it_value.tv_usec) +
           std::chrono::seconds(timer.it_value.tv_sec);
}

// Computes, and says how often it was offered meanwhile and how far away the next offer ever was.
struct Offers {
    int made = 0;
    std::chrono::microseconds farthest{};
};
Offers compute_for(std::chrono::milliseconds time) {
    Offers offers;
    auto last = next_offer();
    for (const auto end = steady_clock::now() + time; steady_clock::now() < end;) {
        const auto next = next_offer();
        offers.made += next > last ? 1 : 0;
        offers.farthest = std::max(offers.farthest, next);
        last = next;
    }
    return offers;
}

TEST(Courtesy, ACompilerIsOfTheIdleClass) {
    EXPECT_EQ(in_child([] {
                  be_courteous();
                  return ::sched_getscheduler(0);
              }),
              SCHED_IDLE);
}

TEST(Courtesy, TheCoreIsOfferedAgainAndAgainAndLessOftenWhereNobodyTakesIt) {
    EXPECT_EQ(in_child([] {
                  offer_core_often();
                  const auto offers = compute_for(400ms);
                  // Every millisecond, but for a machine that is slow to give this process a core.
                  return offers.made >= 20 && offers.farthest <= 1ms ? 0 : 1;
              }),
              0);
}

TEST(Courtesy, TheCoreIsOfferedOftenWhileAnotherWantsIt) {
    EXPECT_EQ(in_child([] {
                  cpu_set_t one;
                  CPU_ZERO(&one);
                  CPU_SET(static_cast<unsigned>(::sched_getcpu()), &one);
                  (void)::sched_setaffinity(0, sizeof one, &one);
                  const pid_t other = ::fork();
                  if (other == 0) {
                      (void)compute_for(10'000ms);
                      ::_exit(0);
                  }
                  offer_core_often();
                  const auto offers = compute_for(400ms);
                  ::kill(other, SIGKILL);
                  ::waitpid(other, nullptr, 0);
                  return offers.made >= 20 && offers.farthest <= 200us ? 0 : 1;
              }),
              0);
}

TEST(Courtesy, WhatWaitsIsNotDisturbed) {
    EXPECT_EQ(in_child([] {
                  int ends[2];
                  if (::pipe(ends) != 0) {
                      return 1;
                  }
                  const pid_t other = ::fork();
                  if (other == 0) {
                      ::usleep(50'000);
                      _exit(::write(ends[1], "x", 1) == 1 ? 0 : 1);
                  }
                  offer_core_often();
                  char byte = 0;
                  return ::read(ends[0], &byte, 1) == 1 && byte == 'x' ? 0 : 1;
              }),
              0);
}

}  // namespace
}  // namespace skiff::engine
