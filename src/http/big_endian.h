// Numbers in network byte order, as frames have them. Of this room only.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace skiff::http {

// At most eight bytes.
[[nodiscard]] inline std::uint64_t big_endian(std::span<const char> bytes) {
    std::uint64_t value = 0;
    for (char c : bytes) {
        value = value << 8 | static_cast<std::uint8_t>(c);
    }
    return value;
}

// The last `bytes` bytes of `value`.
inline void append_big_endian(std::string& out, std::uint64_t value, int bytes) {
    for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) {
        out += static_cast<char>(value >> shift & 0xff);
    }
}

}  // namespace skiff::http
