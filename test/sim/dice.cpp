#include "dice.h"

#include <cmath>

namespace skiff::sim {

Duration Dice::duration(Duration least, Duration most) {
    double low = std::log(static_cast<double>(least.count()));
    double high = std::log(static_cast<double>(most.count()));
    double chosen = std::exp(low + (random_.uniform() * (high - low)));
    return Duration(static_cast<std::int64_t>(chosen));
}

}  // namespace skiff::sim
