// HTTP header fields as both the client and the server see them: ordered, names case-insensitive.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace skiff::http {

// A value type. Field names keep the case they were given, and compare without it.
class Headers {
public:
    using Field = std::pair<std::string, std::string>;

    Headers() = default;
    Headers(std::initializer_list<Field> fields) : fields_(fields) {}

    // Appends; a field may occur several times.
    void add(std::string name, std::string value);
    // Replaces every field of that name by one.
    void set(std::string name, std::string value);
    void remove(std::string_view name);
    // The first field of that name.
    [[nodiscard]] std::optional<std::string> find(std::string_view name) const;
    // Every field of that name, in order.
    [[nodiscard]] std::vector<std::string> find_all(std::string_view name) const;
    [[nodiscard]] bool contains(std::string_view name) const;
    [[nodiscard]] bool empty() const { return fields_.empty(); }
    [[nodiscard]] std::size_t size() const { return fields_.size(); }
    [[nodiscard]] auto begin() const { return fields_.begin(); }
    [[nodiscard]] auto end() const { return fields_.end(); }

private:
    std::vector<Field> fields_;
};

// The items of all fields of that name, which are lists with commas; empty ones are left out, and
// what follows the first 32 is not seen.
[[nodiscard]] std::vector<std::string> list_items(const Headers& headers, std::string_view name);

// Whether two header field names (or other ASCII tokens) are the same but for case.
[[nodiscard]] bool equal_ignoring_case(std::string_view a, std::string_view b);

}  // namespace skiff::http
