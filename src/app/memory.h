// The agent's free memory goes back to the machine.
#pragma once

#include "async/blocking.h"
#include "async/task.h"

namespace skiff::app {

// Before the first thread: all threads share one heap. The C library would give each a heap of its
// own, whose free end it never returns (malloc_trim(3) neither): 5 MB of a node with 110 pods. What
// threads wait for here are disks and the kernel, not each other's allocations.
void share_one_heap();

// Until cancelled: when a burst of work is over (the start is one), gives the pages of the heap
// that hold nothing any more back to the kernel, which the C library by itself does for the heap's
// end only, and lets go of the pages of programs and libraries that are mapped: what runs on is
// mapped again at once, what only the burst used stays in the kernel's cache as long as that has
// room. Costs a look at the heap's books each second, and nothing else while the agent is at rest.
[[nodiscard]] async::Task<void> return_memory(async::BlockingPool& pool);

}  // namespace skiff::app
