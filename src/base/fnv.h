// FNV-1a, 64 bits: notices torn, rotten and changed bytes. No defence against who wants a
// collision.
#pragma once

#include <cstdint>
#include <string_view>

namespace skiff {

class Fnv1a {
public:
    constexpr Fnv1a& mix(std::string_view bytes) {
        for (char c : bytes) {
            mix(static_cast<unsigned char>(c));
        }
        return *this;
    }
    constexpr Fnv1a& mix(unsigned char byte) {
        value_ = (value_ ^ byte) * 0x100000001b3ULL;
        return *this;
    }
    [[nodiscard]] constexpr std::uint64_t value() const { return value_; }

private:
    std::uint64_t value_ = 0xcbf29ce484222325ULL;
};

// The published test vector.
static_assert(Fnv1a().mix("foobar").value() == 0x85944171f73967e8ULL);

}  // namespace skiff
