// skiff_sim: lives of a simulated node, one for each seed.
//
//   skiff_sim --seeds 100000 [--from N]   many; stops at the first that breaks a rule (exit 1)
//   skiff_sim --seed N [--trace]          one again, exactly as it was, with all that happened
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <ctime>

#include "base/log.h"
#include "simulation.h"

namespace {

constexpr std::uint64_t kProgressSeeds = 5000;

// Of this process: what other programs do on the machine does not count.
double cpu_seconds() {
    timespec used{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return static_cast<double>(used.tv_sec) + (static_cast<double>(used.tv_nsec) / 1e9);
}

int run(std::uint64_t from, std::uint64_t count, skiff::sim::Journal::Trace trace) {
    double began = cpu_seconds();
    double pod_hours = 0;
    for (std::uint64_t seed = from; seed < from + count; ++seed) {
        auto outcome = skiff::sim::simulate(seed, trace);
        pod_hours += outcome.pod_hours;
        if (count >= 2 * kProgressSeeds && (seed - from + 1) % kProgressSeeds == 0) {
            fmt::print(stderr, "{} of {} seeds\n", seed - from + 1, count);
        }
        if (outcome.broken) {
            fmt::print("seed {}: {}\nreplay: skiff_sim --seed {} --trace\n", seed, *outcome.broken,
                       seed);
            return 1;
        }
    }
    double took = cpu_seconds() - began;
    fmt::print("{} seeds, {:.0f} pod-hours in {:.1f} s of CPU: {:.0f} pod-hours/s\n", count,
               pod_hours, took, pod_hours / took);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("Lives of a simulated node");
    std::uint64_t seeds = 1000;
    std::uint64_t from = 1;
    std::uint64_t seed = 0;
    bool trace = false;
    app.add_option("--seeds", seeds, "how many lives");
    app.add_option("--from", from, "the first seed");
    auto* one = app.add_option("--seed", seed, "this one only");
    app.add_flag("--trace", trace, "tell all that happens");
    CLI11_PARSE(app, argc, argv);
    // What the agent says of faults that were ordered is only of use beside all that happened.
    skiff::log::set_level(trace ? skiff::log::Level::info : skiff::log::Level::critical);
    using Trace = skiff::sim::Journal::Trace;
    return run(one->count() > 0 ? seed : from, one->count() > 0 ? 1 : seeds,
               trace ? Trace::on : Trace::off);
}
