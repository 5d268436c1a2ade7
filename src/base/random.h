// Randomness as a parameter, so that jitter and identifiers repeat in tests.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace skiff {

class Random {
public:
    virtual ~Random() = default;
    // Fills `out`. The system's generator is fit for keys; a seeded one is for tests only.
    virtual void fill(std::span<std::byte> out) = 0;

    [[nodiscard]] std::uint64_t next();
    // Uniform in [0, 1).
    [[nodiscard]] double uniform();
    // `bytes` random bytes as lower-case hexadecimal.
    [[nodiscard]] std::string hex(std::size_t bytes);
};

// getrandom(2).
class SystemRandom final : public Random {
public:
    void fill(std::span<std::byte> out) override;
};

// SplitMix64 from a seed: the same seed gives the same sequence on every machine.
class SeededRandom final : public Random {
public:
    explicit SeededRandom(std::uint64_t seed) : state_(seed) {}
    void fill(std::span<std::byte> out) override;

private:
    std::uint64_t state_;
};

}  // namespace skiff
