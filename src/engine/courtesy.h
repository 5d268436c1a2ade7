// How a compiler gives way to guests that serve.
#pragma once

namespace skiff::engine {

// For a process of one thread: from now on it is of the class SCHED_IDLE, with the shortest time
// slice there is.
void be_courteous();

// Also offers its core again and again, from a handler of SIGALRM and the process's real timer,
// which are its own from now on. Calls that wait are begun again (SA_RESTART), but for those that
// never are (signal(7)). Called once, when all that is left to do is to compute.
//
// The class (and the idle group around it) decides who comes first when a task wakes. When a core
// becomes free Linux's EEVDF (6.6 and later) asks only whose turn it is: a server that something
// interrupted has just run, so that the compiler is next, and stays until the tick, 4 ms at 250 Hz.
// While others use the core it is offered every 200 µs, which costs a tenth of it; else every
// millisecond, which costs nothing that can be measured.
void offer_core_often();

}  // namespace skiff::engine
