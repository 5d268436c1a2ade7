// Private to this room: reading hostile JSON with Boost.JSON without exceptions.
#pragma once

#include <boost/json.hpp>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace skiff::images {

// Fails with Code::invalid; depth is bounded. The top level must be an object.
[[nodiscard]] Result<boost::json::object> parse_object(std::string_view json);

// The member of that name and type, or null/empty. Another type counts as absent.
[[nodiscard]] const boost::json::object* object_in(const boost::json::object& in,
                                                   std::string_view name);
[[nodiscard]] const boost::json::array* array_in(const boost::json::object& in,
                                                 std::string_view name);
[[nodiscard]] std::string string_in(const boost::json::object& in, std::string_view name);
[[nodiscard]] std::optional<std::int64_t> integer_in(const boost::json::object& in,
                                                     std::string_view name);
[[nodiscard]] std::vector<std::string> strings_in(const boost::json::object& in,
                                                  std::string_view name);
[[nodiscard]] std::map<std::string, std::string> string_map_in(const boost::json::object& in,
                                                               std::string_view name);

}  // namespace skiff::images
