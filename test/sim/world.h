// What every part of a simulation shares.
#pragma once

#include "dice.h"
#include "journal.h"
#include "timeline.h"
#include "virtual_time.h"

namespace skiff::sim {

struct World {
    World(std::uint64_t seed, Journal::Trace trace)
        : dice(seed), clock(WallTime(std::chrono::seconds(1'800'000'000))), journal(clock, trace) {}

    Dice dice;
    VirtualTime clock;
    Journal journal;
    Timeline timeline;
    // calm: nothing fails, guests run for ever unless they are init containers, which succeed. Then
    // everything has to come right by itself.
    enum class Mood { wild, calm } mood = Mood::wild;

    // Whether the next call of a port fails.
    [[nodiscard]] bool fails(double probability) {
        return mood == Mood::wild && dice.chance(probability);
    }
    void later(Duration in, std::function<void()> happening) {
        auto steady = std::chrono::duration_cast<SteadyTime::duration>(in);
        timeline.at(clock.steady_now() + steady, std::move(happening));
    }
};

}  // namespace skiff::sim
