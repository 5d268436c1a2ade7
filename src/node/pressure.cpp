#include "node/pressure.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace skiff::node {

namespace {

struct Signal {
    std::string_view name;
    std::string_view condition;
    std::string_view resource;
    std::uint64_t (*available)(const MachineFacts&);
    std::uint64_t (*capacity)(const MachineFacts&);
};

std::uint64_t free_pids(const MachineFacts& facts) {
    return static_cast<std::uint64_t>(std::max<std::int64_t>(facts.pids_max - facts.pids_used, 0));
}

// In the order in which they are acted upon: memory kills first.
constexpr std::array kSignals = {
    Signal{"memory.available", "MemoryPressure", "memory",
           [](const MachineFacts& f) { return f.memory_available.value; },
           [](const MachineFacts& f) { return f.memory_total.value; }},
    Signal{"nodefs.available", "DiskPressure", "ephemeral-storage",
           [](const MachineFacts& f) { return f.disk_available.value; },
           [](const MachineFacts& f) { return f.disk_total.value; }},
    Signal{"nodefs.inodesFree", "DiskPressure", "inodes",
           [](const MachineFacts& f) { return f.inodes_available; },
           [](const MachineFacts& f) { return f.inodes_total; }},
    Signal{"imagefs.available", "DiskPressure", "ephemeral-storage",
           [](const MachineFacts& f) { return f.image_disk_available.value; },
           [](const MachineFacts& f) { return f.image_disk_total.value; }},
    Signal{"imagefs.inodesFree", "DiskPressure", "inodes",
           [](const MachineFacts& f) { return f.image_inodes_available; },
           [](const MachineFacts& f) { return f.image_inodes_total; }},
    Signal{"pid.available", "PIDPressure", "pids", free_pids,
           [](const MachineFacts& f) { return static_cast<std::uint64_t>(f.pids_max); }},
};

const Signal* find_signal(std::string_view name) {
    auto found = std::ranges::find(kSignals, name, &Signal::name);
    return found == kSignals.end() ? nullptr : &*found;
}

std::size_t rank_of(const Threshold& threshold) {
    return static_cast<std::size_t>(find_signal(threshold.signal) - kSignals.data());
}

enum class Reclaim { ignored, enforced };

bool is_met(const Threshold& threshold, const MachineFacts& facts, Reclaim reclaim) {
    const Signal* signal = find_signal(threshold.signal);
    std::uint64_t capacity = signal->capacity(facts);
    std::uint64_t least = threshold_of(threshold.value, capacity).value_or(0);
    if (reclaim == Reclaim::enforced && !threshold.minimum_reclaim.empty()) {
        least += threshold_of(threshold.minimum_reclaim, capacity).value_or(0);
    }
    return capacity > 0 && signal->available(facts) < least;
}

Result<void> check(std::string_view field, const std::string& signal, const std::string& value) {
    if (find_signal(signal) == nullptr) {
        std::vector<std::string_view> names;
        std::ranges::transform(kSignals, std::back_inserter(names), &Signal::name);
        return fail(Code::invalid, "{}: {} is not a signal of this node; allowed are {}", field,
                    signal, fmt::join(names, ", "));
    }
    if (!threshold_of(value, 100)) {
        return fail(Code::invalid, "{}: {} of {} is neither a quantity nor a percentage", field,
                    value, signal);
    }
    return {};
}

bool is_off(std::string_view value) {
    return value == "0%" || value == "100%";
}

}  // namespace

Result<std::vector<Threshold>> thresholds_of(const EvictionMaps& maps) {
    std::vector<Threshold> list;
    for (const auto& [signal, value] : maps.minimum_reclaim) {
        SKIFF_CHECK(check("evictionMinimumReclaim", signal, value));
    }
    auto add = [&](const std::string& signal, const std::string& value) -> Threshold& {
        Threshold& made = list.emplace_back();
        made.signal = signal;
        made.value = value;
        if (auto least = maps.minimum_reclaim.find(signal); least != maps.minimum_reclaim.end()) {
            made.minimum_reclaim = least->second;
        }
        return made;
    };
    for (const auto& [signal, value] : maps.hard) {
        SKIFF_CHECK(check("evictionHard", signal, value));
        if (!is_off(value)) {
            add(signal, value);
        }
    }
    for (const auto& [signal, value] : maps.soft) {
        SKIFF_CHECK(check("evictionSoft", signal, value));
        auto text = maps.soft_grace.find(signal);
        auto grace = text == maps.soft_grace.end() ? std::nullopt : parse_duration(text->second);
        if (!grace || *grace < Duration::zero()) {
            return fail(Code::invalid,
                        "evictionSoftGracePeriod: {} needs a duration like 1m30s for its soft "
                        "threshold",
                        signal);
        }
        if (!is_off(value)) {
            Threshold& made = add(signal, value);
            made.kind = Threshold::Kind::soft;
            made.grace = *grace;
        }
    }
    for (const auto& [signal, grace] : maps.soft_grace) {
        if (!maps.soft.contains(signal)) {
            return fail(Code::invalid, "evictionSoftGracePeriod: {} has no evictionSoft", signal);
        }
    }
    return list;
}

PressureReport Pressure::look(const MachineFacts& facts, SteadyTime now) {
    std::map<std::size_t, SteadyTime> met;
    for (std::size_t i = 0; i < settings_.thresholds.size(); ++i) {
        const Threshold& threshold = settings_.thresholds[i];
        bool acted_upon = std::ranges::find(due_, threshold) != due_.end();
        // What was acted upon counts until it is really relieved.
        if (!is_met(threshold, facts, acted_upon ? Reclaim::enforced : Reclaim::ignored)) {
            continue;
        }
        auto before = met_since_.find(i);
        met[i] = before == met_since_.end() ? now : before->second;
        condition_seen_[std::string(find_signal(threshold.signal)->condition)] = now;
    }
    met_since_ = std::move(met);
    conditions_.clear();
    for (const char* name : {"MemoryPressure", "DiskPressure", "PIDPressure"}) {
        auto seen = condition_seen_.find(name);
        bool now_met = seen != condition_seen_.end() && seen->second == now;
        if (now_met ||
            (seen != condition_seen_.end() && now - seen->second < settings_.transition_period)) {
            conditions_.emplace_back(name);
        }
    }
    due_.clear();
    for (const auto& [i, since] : met_since_) {
        if (now - since >= settings_.thresholds[i].grace) {
            due_.push_back(settings_.thresholds[i]);
        }
    }
    PressureReport report;
    report.conditions = conditions_;
    auto first = std::ranges::min_element(due_, {}, rank_of);
    if (first != due_.end()) {
        const Signal* signal = find_signal(first->signal);
        report.due = *first;
        report.resource = signal->resource;
        report.available = signal->available(facts);
        report.quantity = threshold_of(first->value, signal->capacity(facts)).value_or(0);
    }
    return report;
}

bool Pressure::is_relieved(const MachineFacts& facts) const {
    return std::ranges::none_of(settings_.thresholds, [&](const Threshold& threshold) {
        return is_met(threshold, facts, Reclaim::enforced);
    });
}

}  // namespace skiff::node
