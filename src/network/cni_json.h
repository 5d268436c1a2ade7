// Private to the CNI client: JSON of others, read with bounds and without exceptions, and kept as
// it was spelled.
//
// Boost.JSON says what a text means. What a plugin is to get unchanged is taken from the text
// itself: a number that was read and written again (1.0, 20 digits) may be one that a plugin in Go
// refuses.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace skiff::network {

// Nesting of a configuration or result; deeper is Code::invalid.
inline constexpr std::size_t kCniDepthMax = 32;
// Of a value of somebody else's that is quoted in a message.
inline constexpr std::size_t kCniShownBytesMax = 100;
// Such a text, in quotes.
[[nodiscard]] std::string shown_cni(std::string_view text);

// A member of an object: its name, and its value as it was written.
struct RawMember {
    std::string name;
    std::string value;
    friend bool operator==(const RawMember&, const RawMember&) = default;
};
// In the order of the text; a name may come twice, and then the last one counts, as in Go.
using RawObject = std::vector<RawMember>;

// A JSON object. Fails with Code::invalid: not JSON, no object, too deep. The caller bounds `text`.
[[nodiscard]] Result<boost::json::object> parse_cni_json(std::string_view text);

// The members of an object, the elements of a list. `text` has been parsed: it is valid JSON.
[[nodiscard]] RawObject raw_members(std::string_view text);
[[nodiscard]] std::vector<std::string> raw_elements(std::string_view text);
// Compact but for what stands inside the values.
[[nodiscard]] std::string format_raw(const RawObject& members);

// The value of the last member of that name; null when there is none.
[[nodiscard]] const std::string* find_raw(const RawObject& members, std::string_view name);
// Gives the member this value: where it stands already, else at the end. It is there once then.
void set_raw(RawObject& members, std::string_view name, std::string value);
void remove_raw(RawObject& members, std::string_view name);

// Reads the members of one object. Null counts as absent, as in Go. Every failure is Code::invalid
// and names the field with its path, what is allowed and what was found.
class FieldReader {
public:
    // `path` is what stands before the names: "", "ips[0].". The object outlives the reader.
    FieldReader(const boost::json::object& object, std::string path)
        : object_(object), path_(std::move(path)) {}

    [[nodiscard]] std::string path_of(std::string_view name) const;
    [[nodiscard]] bool has(std::string_view name) const { return find(name) != nullptr; }

    // Absent is empty.
    [[nodiscard]] Result<std::string> text(std::string_view name) const;
    [[nodiscard]] Result<std::optional<std::int64_t>> whole_number(std::string_view name) const;
    // true, false, or the same as a string (CNI 0.4.0 says so). Absent is false.
    [[nodiscard]] Result<bool> boolean(std::string_view name) const;
    // Absent is an empty list; more than `count_max` is a failure.
    [[nodiscard]] Result<std::vector<std::string>> texts(std::string_view name,
                                                         std::size_t count_max) const;
    // One reader for each element.
    [[nodiscard]] Result<std::vector<FieldReader>> objects(std::string_view name,
                                                           std::size_t count_max) const;
    // Null when absent.
    [[nodiscard]] Result<const boost::json::object*> object(std::string_view name) const;

    // The failure of a field: `problem` is "it is no address".
    [[nodiscard]] tl::unexpected<Error> reject(std::string_view name,
                                               std::string_view problem) const;

private:
    [[nodiscard]] const boost::json::value* find(std::string_view name) const;
    [[nodiscard]] tl::unexpected<Error> reject_type(std::string_view name, std::string_view wanted,
                                                    const boost::json::value& found) const;
    // The elements of a list; null when absent.
    [[nodiscard]] Result<const boost::json::array*> list(std::string_view name,
                                                         std::size_t count_max) const;

    const boost::json::object& object_;
    std::string path_;
};

}  // namespace skiff::network
