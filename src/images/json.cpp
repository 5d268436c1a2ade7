#include "images/json.h"

#include "base/text.h"

namespace skiff::images {

namespace json = boost::json;

Result<json::object> parse_object(std::string_view text) {
    json::parse_options options;
    options.max_depth = 32;
    boost::system::error_code error;
    json::value value = json::parse(json::string_view(text.data(), text.size()), error,
                                    json::storage_ptr(), options);
    if (error) {
        return fail(Code::invalid, "not JSON: {}", error.message());
    }
    if (!value.is_object()) {
        return fail(Code::invalid, "not a JSON object");
    }
    return std::move(value.get_object());
}

static const json::value* member(const json::object& in, std::string_view name) {
    return in.if_contains(json::string_view(name.data(), name.size()));
}

const json::object* object_in(const json::object& in, std::string_view name) {
    const json::value* value = member(in, name);
    return value == nullptr ? nullptr : value->if_object();
}

const json::array* array_in(const json::object& in, std::string_view name) {
    const json::value* value = member(in, name);
    return value == nullptr ? nullptr : value->if_array();
}

static std::string to_string(const json::string& text) {
    return std::string(text.data(), text.size());
}

std::string string_in(const json::object& in, std::string_view name) {
    const json::value* value = member(in, name);
    const json::string* text = value == nullptr ? nullptr : value->if_string();
    return text == nullptr ? std::string() : to_string(*text);
}

std::optional<std::int64_t> integer_in(const json::object& in, std::string_view name) {
    const json::value* value = member(in, name);
    if (value == nullptr) {
        return std::nullopt;
    }
    if (const auto* number = value->if_int64()) {
        return *number;
    }
    return std::nullopt;
}

std::vector<std::string> strings_in(const json::object& in, std::string_view name) {
    std::vector<std::string> out;
    if (const json::array* array = array_in(in, name)) {
        for (const json::value& item : *array) {
            if (const json::string* text = item.if_string()) {
                out.push_back(to_string(*text));
            }
        }
    }
    return out;
}

std::map<std::string, std::string> string_map_in(const json::object& in, std::string_view name) {
    std::map<std::string, std::string> out;
    if (const json::object* object = object_in(in, name)) {
        for (const auto& [key, value] : *object) {
            if (const json::string* text = value.if_string()) {
                out.emplace(std::string(key.data(), key.size()), to_string(*text));
            }
        }
    }
    return out;
}

}  // namespace skiff::images
