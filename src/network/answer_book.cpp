#include "network/answer_book.h"

#include <algorithm>

namespace skiff::network {

void AnswerBook::set_names(const std::vector<std::string>& names) {
    std::map<std::string, Name> next;
    for (const std::string& name : names) {
        auto known = names_.find(name);
        next.emplace(name, known == names_.end() ? Name{} : std::move(known->second));
    }
    names_ = std::move(next);
}

std::vector<std::string> AnswerBook::due(SteadyTime now) const {
    std::vector<std::pair<SteadyTime, std::string>> all;
    for (const auto& [text, name] : names_) {
        if (name.due <= now) {
            all.emplace_back(name.due, text);
        }
    }
    std::ranges::sort(all);
    std::vector<std::string> names;
    for (auto& [at, text] : all) {
        names.push_back(std::move(text));
    }
    return names;
}

SteadyTime AnswerBook::next_due() const {
    SteadyTime next = SteadyTime::max();
    for (const auto& [text, name] : names_) {
        next = std::min(next, name.due);
    }
    return next;
}

void AnswerBook::answered(const std::string& name, const std::vector<IpAddress>& addresses,
                          std::chrono::seconds ttl, SteadyTime now) {
    auto known = names_.find(name);
    if (known == names_.end()) {
        return;  // it went while it was looked up
    }
    auto& seen = known->second.seen;
    for (const IpAddress& address : addresses) {
        seen.insert_or_assign(address, now);
    }
    std::erase_if(seen, [&](const auto& entry) { return now - entry.second >= kAnswerKept; });
    while (seen.size() > kAnswersMax) {
        seen.erase(
            std::ranges::min_element(seen, {}, [](const auto& entry) { return entry.second; }));
    }
    known->second.due = now + std::clamp(ttl, kLookupPauseMin, kLookupPauseMax);
}

void AnswerBook::failed(const std::string& name, SteadyTime now) {
    auto known = names_.find(name);
    if (known != names_.end()) {
        known->second.due = now + kLookupPauseMin;
    }
}

NameAddresses AnswerBook::addresses() const {
    NameAddresses all;
    for (const auto& [text, name] : names_) {
        for (const auto& [address, at] : name.seen) {
            all[text].push_back(address);
        }
    }
    return all;
}

}  // namespace skiff::network
