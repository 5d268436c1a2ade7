// Bounds that several rooms must agree on. What one room knows of alone stands in that room.
#pragma once

#include "base/result.h"
#include "base/types.h"

namespace skiff {

// A Wasm module or component, as it is compiled: mapped by the compiler, hashed by the agent.
inline constexpr Bytes kModuleBytesMax = 1_GiB;

// Whether a file may be a module. Asked before its first byte is read. Code::exhausted.
[[nodiscard]] Result<void> check_module_size(Bytes size);

}  // namespace skiff
