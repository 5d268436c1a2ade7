#include "http/headers.h"

#include <algorithm>

#include "base/text.h"

namespace skiff::http {

namespace {

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace

bool equal_ignoring_case(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](char x, char y) { return lower(x) == lower(y); });
}

void Headers::add(std::string name, std::string value) {
    fields_.emplace_back(std::move(name), std::move(value));
}

void Headers::set(std::string name, std::string value) {
    remove(name);
    add(std::move(name), std::move(value));
}

void Headers::remove(std::string_view name) {
    std::erase_if(fields_, [&](const Field& f) { return equal_ignoring_case(f.first, name); });
}

std::optional<std::string> Headers::find(std::string_view name) const {
    for (const auto& [key, value] : fields_) {
        if (equal_ignoring_case(key, name)) {
            return value;
        }
    }
    return std::nullopt;
}

std::vector<std::string> Headers::find_all(std::string_view name) const {
    std::vector<std::string> values;
    for (const auto& [key, value] : fields_) {
        if (equal_ignoring_case(key, name)) {
            values.push_back(value);
        }
    }
    return values;
}

bool Headers::contains(std::string_view name) const {
    return find(name).has_value();
}

std::vector<std::string> list_items(const Headers& headers, std::string_view name) {
    constexpr std::size_t kItemsMax = 32;
    std::vector<std::string> items;
    for (const std::string& value : headers.find_all(name)) {
        for (std::string_view part : split(value, ',')) {
            const std::string_view item = trim(part);
            if (!item.empty() && items.size() < kItemsMax) {
                items.emplace_back(item);
            }
        }
    }
    return items;
}

}  // namespace skiff::http
