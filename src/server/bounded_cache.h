// A map that forgets: each entry has its own end, and the oldest makes room for a new one.
#pragma once

#include <list>
#include <map>
#include <string>

#include "base/time.h"

namespace skiff::server {

template <typename Value>
class BoundedCache {
public:
    explicit BoundedCache(std::size_t entries_max) : entries_max_(entries_max) {}

    // nullptr when absent or over. Valid until the next call of put().
    [[nodiscard]] const Value* find(const std::string& key, SteadyTime now) {
        auto found = entries_.find(key);
        if (found == entries_.end()) {
            return nullptr;
        }
        if (found->second.until <= now) {
            forget(found);
            return nullptr;
        }
        return &found->second.value;
    }
    void put(const std::string& key, Value value, SteadyTime until) {
        if (auto found = entries_.find(key); found != entries_.end()) {
            forget(found);
        }
        if (entries_.size() >= entries_max_) {
            forget(entries_.find(order_.front()));
        }
        auto at = order_.insert(order_.end(), key);
        entries_.emplace(key, Entry{std::move(value), until, at});
    }
    [[nodiscard]] std::size_t size() const { return entries_.size(); }

private:
    struct Entry {
        Value value;
        SteadyTime until;
        std::list<std::string>::iterator at;
    };
    void forget(typename std::map<std::string, Entry>::iterator entry) {
        order_.erase(entry->second.at);
        entries_.erase(entry);
    }

    std::size_t entries_max_;
    std::list<std::string> order_;  // oldest first
    std::map<std::string, Entry> entries_;
};

}  // namespace skiff::server
