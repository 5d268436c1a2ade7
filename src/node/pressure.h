// When the node is short of memory, disk or processes (contract row 62): thresholds, conditions,
// and what to reclaim. Pure; the clock comes with each look.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "node/status.h"

namespace skiff::node {

// A signal that fell below what the settings allow.
struct Threshold {
    std::string signal;  // memory.available …
    std::string value;   // "100Mi" or "10%"
    // hard: acted upon at once, and nothing is asked of the victim. soft: when it lasts for
    // `grace`.
    enum class Kind { hard, soft } kind = Kind::hard;
    Duration grace{};
    std::string minimum_reclaim;  // how far above `value` the signal must come; may be empty
    friend bool operator==(const Threshold&, const Threshold&) = default;
};

struct PressureSettings {
    std::vector<Threshold> thresholds;
    // How long a condition stays after its last threshold was met.
    Duration transition_period = std::chrono::minutes(5);
    Duration grace_max{};  // of pods that a soft threshold evicts
};

// As the KubeletConfiguration has them, each keyed by signal.
struct EvictionMaps {
    std::map<std::string, std::string> hard;
    std::map<std::string, std::string> soft;
    std::map<std::string, std::string> soft_grace;  // "1m30s"
    std::map<std::string, std::string> minimum_reclaim;
};
// Fails with Code::invalid and names the field: an unknown signal, a value that is neither a
// quantity nor a percentage, a soft threshold without its grace. "0%" and "100%" turn a threshold
// off.
[[nodiscard]] Result<std::vector<Threshold>> thresholds_of(const EvictionMaps& maps);

// What one look says.
struct PressureReport {
    // MemoryPressure, DiskPressure, PIDPressure, as far as they hold.
    std::vector<std::string> conditions;
    // The most urgent threshold that is due; nullopt: nothing has to be done.
    std::optional<Threshold> due;
    std::string resource;         // what it is about: memory, ephemeral-storage, inodes, pids
    std::uint64_t quantity = 0;   // the threshold's value
    std::uint64_t available = 0;  // what there is
};

class Pressure {
public:
    explicit Pressure(PressureSettings settings) : settings_(std::move(settings)) {}

    // What the machine has now.
    PressureReport look(const MachineFacts& facts, SteadyTime now);
    // Whether no threshold is met any more, minimum reclaim included: after something was
    // reclaimed.
    [[nodiscard]] bool is_relieved(const MachineFacts& facts) const;
    [[nodiscard]] const std::vector<std::string>& conditions() const { return conditions_; }
    [[nodiscard]] const PressureSettings& settings() const { return settings_; }

private:
    PressureSettings settings_;
    std::vector<Threshold> due_;
    // By place in settings_.thresholds.
    std::map<std::size_t, SteadyTime> met_since_;
    std::map<std::string, SteadyTime> condition_seen_;
    std::vector<std::string> conditions_;
};

}  // namespace skiff::node
