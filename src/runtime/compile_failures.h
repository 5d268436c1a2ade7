// What could not be compiled, so that one module does not take the compiler again and again. Pure;
// the caller says what time it is.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/time.h"

namespace skiff::runtime {

// As CrashLoopBackOff: doubled at each failure, forgotten after twice the longest time without one.
inline constexpr Duration kCompileBackOff = std::chrono::seconds(10);
inline constexpr Duration kCompileBackOffMax = std::chrono::minutes(5);
// Beyond this the oldest is forgotten.
inline constexpr std::size_t kCompileFailuresMax = 1024;
static_assert(kCompileBackOff < kCompileBackOffMax);

class CompileFailures {
public:
    // The error to return without another try, nullopt when it is time for one.
    [[nodiscard]] std::optional<Error> find(const std::string& key, SteadyTime now) const;
    // Whether it used up what a compiler may have, not long ago: others go first.
    [[nodiscard]] bool is_costly(const std::string& key, SteadyTime now) const;
    // `error` as compile() returned it. Cancelled and timeout (no turn came) say nothing of the
    // module and are not remembered.
    void note(const std::string& key, const Error& error, SteadyTime now);
    void forget(const std::string& key) { failures_.erase(key); }

private:
    struct Failure {
        Error error;
        Duration delay{};
        SteadyTime since;
    };
    std::map<std::string, Failure> failures_;  // by artifact key
};

}  // namespace skiff::runtime
