// All chance of a simulation, from its seed.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

#include "base/random.h"
#include "base/time.h"

namespace skiff::sim {

class Dice {
public:
    explicit Dice(std::uint64_t seed) : random_(seed) {}

    [[nodiscard]] bool chance(double probability) { return random_.uniform() < probability; }
    // From `least` to `most`, both possible.
    [[nodiscard]] int number(int least, int most) {
        return least + static_cast<int>(random_.uniform() * (most - least + 1));
    }
    // Short times are as likely as long ones: uniform in the logarithm.
    [[nodiscard]] Duration duration(Duration least, Duration most);
    template <typename T>
    [[nodiscard]] T one_of(std::initializer_list<T> values) {
        return values.begin()[number(0, static_cast<int>(values.size()) - 1)];
    }
    template <typename T>
    [[nodiscard]] T& one_of(std::vector<T>& values) {
        return values[static_cast<std::size_t>(number(0, static_cast<int>(values.size()) - 1))];
    }

private:
    SeededRandom random_;
};

}  // namespace skiff::sim
