// Which addresses a pod's names have, and when each name is to be looked up again. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/time.h"
#include "network/egress_policy.h"

namespace skiff::network {

// A name is looked up again when its answer ends, but neither sooner nor later than this.
inline constexpr std::chrono::seconds kLookupPauseMin{5};
inline constexpr std::chrono::seconds kLookupPauseMax{30};
// An address is the name's for so long after an answer had it last: guests keep connections, and
// their own look-ups may have been told another part of the truth.
inline constexpr std::chrono::minutes kAnswerKept{5};
// Addresses of one name; of more, those that an answer had last are kept.
inline constexpr std::size_t kAnswersMax = 256;

class AnswerBook {
public:
    // These names and no others; what is known of those that stay is kept. New ones are due.
    void set_names(const std::vector<std::string>& names);
    [[nodiscard]] bool empty() const { return names_.empty(); }

    // The names to look up now, the most overdue first.
    [[nodiscard]] std::vector<std::string> due(SteadyTime now) const;
    // When the next one is; SteadyTime::max() without names.
    [[nodiscard]] SteadyTime next_due() const;

    // What a look-up found: nothing means that there is no such name. Addresses that ended are
    // forgotten.
    void answered(const std::string& name, const std::vector<IpAddress>& addresses,
                  std::chrono::seconds ttl, SteadyTime now);
    // Nobody answered: what is known stays, however old, until somebody does.
    void failed(const std::string& name, SteadyTime now);

    [[nodiscard]] NameAddresses addresses() const;

private:
    struct Name {
        std::map<IpAddress, SteadyTime> seen;
        SteadyTime due{};
    };
    std::map<std::string, Name> names_;
};

}  // namespace skiff::network
