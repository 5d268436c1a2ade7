// The capabilities of this process: which it keeps, and which what it starts can have.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>

#include "base/result.h"

namespace skiff::os {

// A set of CAP_… numbers of <linux/capability.h>.
class CapabilitySet {
public:
    constexpr CapabilitySet() = default;
    constexpr CapabilitySet(std::initializer_list<int> numbers) {
        for (const int number : numbers) {
            bits_ |= std::uint64_t{1} << number;
        }
    }
    [[nodiscard]] static constexpr CapabilitySet from_bits(std::uint64_t bits) {
        CapabilitySet set;
        set.bits_ = bits;
        return set;
    }
    [[nodiscard]] constexpr std::uint64_t bits() const { return bits_; }
    [[nodiscard]] constexpr bool empty() const { return bits_ == 0; }
    [[nodiscard]] constexpr bool contains(int number) const { return (bits_ >> number & 1U) != 0; }
    // What is in one, in both, in the first only.
    friend constexpr CapabilitySet operator|(CapabilitySet a, CapabilitySet b) {
        return from_bits(a.bits_ | b.bits_);
    }
    friend constexpr CapabilitySet operator&(CapabilitySet a, CapabilitySet b) {
        return from_bits(a.bits_ & b.bits_);
    }
    friend constexpr CapabilitySet operator-(CapabilitySet a, CapabilitySet b) {
        return from_bits(a.bits_ & ~b.bits_);
    }
    friend constexpr bool operator==(CapabilitySet, CapabilitySet) = default;

private:
    std::uint64_t bits_ = 0;
};

// "CAP_CHOWN, CAP_SYS_ADMIN"; numbers for what this program has no name for.
[[nodiscard]] std::string names_of(CapabilitySet set);

// What this thread may use (permitted), and what a program that it executes as root gets
// (bounding).
[[nodiscard]] Result<CapabilitySet> permitted_capabilities();
[[nodiscard]] CapabilitySet bounding_capabilities();

// Gives up, for this thread and those that it makes, every capability but `own`, and for what it
// executes as root all but `own` and `started`. What is missing stays missing; without CAP_SETPCAP
// what is started can have more. None is inheritable or ambient afterwards. To be called before
// other threads exist.
[[nodiscard]] Result<void> keep_capabilities(CapabilitySet own, CapabilitySet started);

}  // namespace skiff::os
