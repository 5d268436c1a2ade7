// For tests: what a sanitizer cannot run is counted as skipped and says why.
#pragma once

#include <gtest/gtest.h>

#include "base/sanitizer.h"

// In a test or its SetUp(). ThreadSanitizer adds a thread to every process and every fork: such a
// process may not enter a user namespace, and is killed by a runner's list of system calls.
#define SKIFF_NOT_UNDER_THREAD_SANITIZER(why) \
    if (::skiff::kThreadSanitizer)            \
    GTEST_SKIP() << "not under ThreadSanitizer: " << (why)
