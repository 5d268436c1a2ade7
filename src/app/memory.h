// The agent's free memory goes back to the machine.
#pragma once

#include "async/blocking.h"
#include "async/task.h"

namespace skiff::app {

// Until cancelled: when a burst of work is over, gives the pages of the heap that hold nothing any
// more back to the kernel, which the C library by itself does for the heap's end only. Costs a look
// at the heap's books each second, and nothing else while the agent is at rest.
[[nodiscard]] async::Task<void> return_memory(async::BlockingPool& pool);

}  // namespace skiff::app
