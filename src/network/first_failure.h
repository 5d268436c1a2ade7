// For work that goes on after a failure.
#pragma once

#include "base/result.h"

namespace skiff::network {

// Keeps the first failure in `first`.
inline void keep_first(Result<void>& first, Result<void> result) {
    if (first && !result) {
        first = std::move(result);
    }
}

}  // namespace skiff::network
