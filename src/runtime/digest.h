// SHA-256 and its keyed form, over memory and over open files.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace skiff::runtime {

// Lower-case hexadecimal.
[[nodiscard]] std::string sha256_hex(std::string_view bytes);
// Of a whole regular file, read from its start by pread(2): the descriptor's offset does not move.
[[nodiscard]] Result<std::string> sha256_hex_of_file(int fd);
// HMAC-SHA-256 of `label`, a newline and the whole file, in hexadecimal.
[[nodiscard]] Result<std::string> mac_hex_of_file(std::string_view key, std::string_view label,
                                                  int fd);
// Compares without telling by its time where the difference is.
[[nodiscard]] bool equal_secrets(std::string_view a, std::string_view b);

}  // namespace skiff::runtime
