// clone(2) for a child that shares this process's memory (CLONE_VM).
#pragma once

#include <sched.h>

#include "base/sanitizer.h"

// ThreadSanitizer's own clone() takes every child for a copy of the process, and starts its books
// afresh in memory that the parent goes on using. glibc's other name for the same function passes
// it by; the child's first function carries SKIFF_SHARES_MEMORY, so that its frame, which may never
// return, is not left in the parent's books.
#if defined(__SANITIZE_THREAD__)
extern "C" int __clone(int (*)(void*), void*, int, void*, ...);
#endif
#if defined(__SANITIZE_THREAD__) && defined(__clang__)
#define SKIFF_SHARES_MEMORY __attribute__((disable_sanitizer_instrumentation))
#else
#define SKIFF_SHARES_MEMORY
#endif

namespace skiff::os {

#if defined(__SANITIZE_THREAD__)
inline constexpr auto& clone_sharing_memory = ::__clone;
#else
inline constexpr auto& clone_sharing_memory = ::clone;
#endif

}  // namespace skiff::os
