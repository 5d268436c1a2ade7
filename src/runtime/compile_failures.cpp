#include "runtime/compile_failures.h"

#include <algorithm>

namespace skiff::runtime {

std::optional<Error> CompileFailures::find(const std::string& key, SteadyTime now) const {
    auto found = failures_.find(key);
    if (found == failures_.end() || now - found->second.since >= found->second.delay) {
        return std::nullopt;
    }
    return found->second.error;
}

bool CompileFailures::is_costly(const std::string& key, SteadyTime now) const {
    auto found = failures_.find(key);
    return found != failures_.end() && found->second.error.code == Code::exhausted &&
           now - found->second.since < 2 * kCompileBackOffMax;
}

void CompileFailures::note(const std::string& key, const Error& error, SteadyTime now) {
    if (error.code == Code::cancelled || error.code == Code::timeout) {
        return;
    }
    auto [entry, fresh] = failures_.try_emplace(key);
    Failure& failure = entry->second;
    bool forgotten = fresh || now - failure.since > 2 * kCompileBackOffMax;
    failure.delay = forgotten ? kCompileBackOff : std::min(failure.delay * 2, kCompileBackOffMax);
    failure.since = now;
    failure.error = error;
    if (failures_.size() > kCompileFailuresMax) {
        failures_.erase(std::min_element(
            failures_.begin(), failures_.end(),
            [](const auto& a, const auto& b) { return a.second.since < b.second.since; }));
    }
}

}  // namespace skiff::runtime
