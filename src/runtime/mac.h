// Keyed digests: what only this instance can have written.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace skiff::runtime {

// HMAC-SHA-256 of `label`, a newline and the whole of a regular file, in lower-case hexadecimal.
[[nodiscard]] Result<std::string> mac_hex_of_file(std::string_view key, std::string_view label,
                                                  int fd);
// Compares without telling by its time where the difference is.
[[nodiscard]] bool equal_secrets(std::string_view a, std::string_view b);

}  // namespace skiff::runtime
