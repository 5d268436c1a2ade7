// What a forked runner must not share with its siblings.
#pragma once

namespace skiff::engine {

// Fills the holes of the heap, for good. Runners allocate behind them then, on pages of their own
// side by side, and not in the corners of pages that they would have to copy first. Call it once,
// after everything that the keeper makes before its first fork.
void fill_heap();

// Draws a new stack canary and pointer guard where they can be set, and a random gap in the address
// space, so that what is mapped from here on (native code, linear memories, stacks of fibers) lies
// elsewhere than in the next runner. What stays shared with all runners of one keeper: the
// addresses of the executable, its libraries and its heap; the keeper bounds that by executing
// itself anew after a number of starts.
//
// Call it first in the child, from a function that never returns: its callers' frames hold the old
// canary. On machines other than x86-64 the canary is a read-only variable of the C library and
// stays as it is; the gap is made everywhere.
void draw_fresh_secrets();

}  // namespace skiff::engine
