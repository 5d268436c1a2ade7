#include "kube/codec.h"

#include <boost/json/monotonic_resource.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <limits>

#include "base/text.h"
#include "kube/codec_internal.h"

namespace skiff::kube {

namespace {

constexpr std::size_t kShownBytesMax = 64;

std::string_view view(const json::string& text) {
    return {text.data(), text.size()};
}

std::string describe(const json::value& value) {
    switch (value.kind()) {
        case json::kind::null:
            return "null";
        case json::kind::bool_:
            return value.get_bool() ? "the boolean true" : "the boolean false";
        case json::kind::int64:
        case json::kind::uint64:
        case json::kind::double_:
            return "the number " + json::serialize(value);
        case json::kind::string:
            return "the string \"" + bounded_utf8(view(value.get_string()), kShownBytesMax) + "\"";
        case json::kind::array:
            return "a list";
        case json::kind::object:
            return "a map";
    }
    return "something else";
}

// Parses bounded JSON text into `storage`.
Result<json::value> parse_text(std::string_view text, std::size_t bytes_max,
                               json::storage_ptr storage) {
    if (text.size() > bytes_max) {
        return fail(Code::corrupt, "{} bytes of JSON, more than {}", text.size(), bytes_max);
    }
    json::parse_options options;
    options.max_depth = kDepthMax;
    boost::system::error_code error;
    auto value = json::parse(json::string_view(text.data(), text.size()), error, std::move(storage),
                             options);
    if (error) {
        return fail(Code::corrupt, "not JSON: {}", error.message());
    }
    return value;
}

Code code_for(UnknownFields unknown) {
    return unknown == UnknownFields::refuse ? Code::invalid : Code::corrupt;
}

template <typename T>
bool decode_integer(Decoder& decoder, const json::value& value, T& out) {
    boost::system::error_code error;
    auto number = value.is_number() ? value.to_number<std::int64_t>(error) : 0;
    if (!value.is_number() || error || value.is_double()) {
        return decoder.reject_type("a whole number", value);
    }
    if (number < std::numeric_limits<T>::min() || number > std::numeric_limits<T>::max()) {
        return decoder.reject("the number is out of range");
    }
    out = static_cast<T>(number);
    return true;
}

std::optional<WallTime> decode_time(Decoder& decoder, const json::value& value) {
    if (!value.is_string()) {
        decoder.reject_type("a time", value);
        return std::nullopt;
    }
    auto time = parse_rfc3339(view(value.get_string()));
    if (!time) {
        decoder.reject_type("a time like 2026-01-31T00:00:00Z", value);
    }
    return time;
}

}  // namespace

bool Decoder::reject(std::string_view problem) {
    if (problem_.empty()) {
        std::string path = path_to({});
        problem_ = path.empty() ? std::string(problem) : fmt::format("{}: {}", path, problem);
    }
    return false;
}

bool Decoder::reject_type(std::string_view wanted, const json::value& got) {
    std::string_view hint =
        wanted == "a string" && (got.is_bool() || got.is_number()) ? " (quote it)" : "";
    return reject(fmt::format("expected {}, found {}{}", wanted, describe(got), hint));
}

bool Decoder::reject_unknown(std::string_view field) {
    if (problem_.empty()) {
        problem_ = fmt::format("unknown field \"{}\"", path_to(field));
    }
    return false;
}

std::string Decoder::path_to(std::string_view field) const {
    std::string path;
    auto append = [&path](std::string_view whole) {
        const std::string name = bounded_utf8(whole, kShownBytesMax);
        if (name.find_first_of(".[]/") != std::string::npos) {
            path += fmt::format("[\"{}\"]", name);
            return;
        }
        if (!path.empty()) {
            path += '.';
        }
        path += name;
    };
    for (const Step& step : path_) {
        if (step.field.data() == nullptr) {
            path += fmt::format("[{}]", step.index);
        } else {
            append(step.field);
        }
    }
    if (!field.empty()) {
        append(field);
    }
    return path;
}

bool decode_scalar(Decoder& decoder, const json::value& value, std::string& out) {
    if (!value.is_string()) {
        return decoder.reject_type("a string", value);
    }
    out = view(value.get_string());
    return true;
}

bool decode_scalar(Decoder& decoder, const json::value& value, bool& out) {
    if (!value.is_bool()) {
        return decoder.reject_type("a boolean", value);
    }
    out = value.get_bool();
    return true;
}

bool decode_scalar(Decoder& decoder, const json::value& value, std::int32_t& out) {
    return decode_integer(decoder, value, out);
}

bool decode_scalar(Decoder& decoder, const json::value& value, std::int64_t& out) {
    return decode_integer(decoder, value, out);
}

bool decode_scalar(Decoder& decoder, const json::value& value, Quantity& out) {
    std::string text;
    if (value.is_string()) {
        text = view(value.get_string());
    } else if (value.is_double()) {
        text = fmt::format("{}", value.get_double());
    } else if (value.is_number()) {
        text = json::serialize(value);
    } else {
        return decoder.reject_type("a quantity", value);
    }
    auto quantity = Quantity::parse(text);
    if (!quantity) {
        return decoder.reject(quantity.error().message);
    }
    out = *quantity;
    return true;
}

bool decode_scalar(Decoder& decoder, const json::value& value, Time& out) {
    auto time = decode_time(decoder, value);
    out = time ? Time(*time) : Time();
    return time.has_value();
}

bool decode_scalar(Decoder& decoder, const json::value& value, MicroTime& out) {
    auto time = decode_time(decoder, value);
    out = time ? MicroTime(*time) : MicroTime();
    return time.has_value();
}

bool decode_scalar(Decoder& decoder, const json::value& value, IntOrString& out) {
    if (value.is_string()) {
        out.value = std::string(view(value.get_string()));
        return true;
    }
    std::int32_t number = 0;
    if (!value.is_number()) {
        return decoder.reject_type("a number or a name", value);
    }
    if (!decode_integer(decoder, value, number)) {
        return false;
    }
    out.value = number;
    return true;
}

bool decode_scalar(Decoder& decoder, const json::value& value, Base64& out) {
    if (!value.is_string()) {
        return decoder.reject_type("a string of base64", value);
    }
    auto bytes = base64_decode(trim(view(value.get_string())));
    if (!bytes) {
        // Never show the value: it may be a secret.
        return decoder.reject("the string is not base64");
    }
    out.bytes = std::move(*bytes);
    return true;
}

bool decode_scalar(Decoder&, const json::value& value, RawJson& out) {
    out.text = json::serialize(value);
    return true;
}

bool decode_scalar(Decoder&, const json::value&, Ignored&) {
    return true;
}

json::value encode_scalar(const std::string& value) {
    return json::value(json::string_view(value.data(), value.size()));
}

json::value encode_scalar(bool value) {
    return json::value(value);
}

json::value encode_scalar(std::int32_t value) {
    return json::value(std::int64_t{value});
}

json::value encode_scalar(std::int64_t value) {
    return json::value(value);
}

json::value encode_scalar(const Quantity& value) {
    return encode_scalar(value.str());
}

json::value encode_scalar(const Time& value) {
    return encode_scalar(format_rfc3339(value.at));
}

json::value encode_scalar(const MicroTime& value) {
    return encode_scalar(format_rfc3339_micro(value.at));
}

json::value encode_scalar(const IntOrString& value) {
    if (const auto* number = value.number()) {
        return encode_scalar(*number);
    }
    return encode_scalar(*value.name());
}

json::value encode_scalar(const Base64& value) {
    return encode_scalar(base64_encode(value.bytes));
}

json::value encode_scalar(const RawJson& value) {
    auto parsed = parse_text(value.text, kWireBytesMax, {});
    return parsed ? std::move(*parsed) : json::value();
}

json::value encode_scalar(const Ignored&) {
    return {};
}

bool decode_struct(Decoder& decoder, const json::value& value, void* object,
                   const StructTable& table) {
    if (!value.is_object()) {
        return decoder.reject_type("a map", value);
    }
    const json::object& map = value.get_object();
    std::size_t known = 0;
    for (const FieldEntry& field : table.fields) {
        const json::value* member = map.if_contains(field.name);
        if (member == nullptr) {
            continue;
        }
        ++known;
        if (member->is_null()) {
            continue;
        }
        decoder.push(field.name);
        if (!field.ops->decode(decoder, *member, static_cast<char*>(object) + field.offset)) {
            return false;
        }
        decoder.pop();
    }
    if (known == map.size() || decoder.unknown() == UnknownFields::ignore) {
        return true;
    }
    for (const auto& [key, member] : map) {
        std::string_view name(key.data(), key.size());
        bool found = std::any_of(table.fields.begin(), table.fields.end(),
                                 [&](const FieldEntry& field) { return field.name == name; });
        if (!found) {
            return decoder.reject_unknown(name);
        }
    }
    return true;
}

json::value encode_struct(const void* object, const StructTable& table) {
    json::object map;
    for (const FieldEntry& field : table.fields) {
        const void* member = static_cast<const char*>(object) + field.offset;
        if (field.presence == Presence::always || !field.ops->is_empty(member)) {
            map.emplace(field.name, field.ops->encode(member));
        }
    }
    return json::value(std::move(map));
}

bool is_empty_struct(const void* object, const StructTable& table) {
    return std::all_of(table.fields.begin(), table.fields.end(), [&](const FieldEntry& field) {
        return field.ops->is_empty(static_cast<const char*>(object) + field.offset);
    });
}

std::string quote_json(std::string_view text) {
    return json::serialize(json::string_view(text.data(), text.size()));
}

namespace detail {

Result<void> parse_into(std::string_view text, UnknownFields unknown, const StructTable& table,
                        void* object) {
    json::monotonic_resource memory;
    auto value = parse_text(text, kWireBytesMax, &memory);
    if (!value) {
        value.error().code = code_for(unknown);
        return fail(std::move(value.error()));
    }
    Decoder decoder(unknown);
    if (!decode_struct(decoder, *value, object, table)) {
        return fail(code_for(unknown), "{}", decoder.problem());
    }
    return {};
}

std::string encode_from(const StructTable& table, const void* object) {
    return json::serialize(encode_struct(object, table));
}

Result<void> parse_list_into(std::string_view text, ListMeta& metadata, ListElements elements) {
    json::monotonic_resource memory;
    SKIFF_TRY(auto value, parse_text(text, kWireBytesMax, &memory));
    const json::object* map = value.if_object();
    if (map == nullptr) {
        return fail(Code::corrupt, "a list was expected, not {}", describe(value));
    }
    Decoder decoder(UnknownFields::ignore);
    if (const json::value* meta = map->if_contains("metadata"); meta != nullptr) {
        if (!decode_struct(decoder, *meta, &metadata, struct_table<ListMeta>())) {
            return fail(Code::corrupt, "{}", decoder.problem());
        }
    }
    const json::value* items = map->if_contains("items");
    if (items == nullptr || items->is_null()) {
        return {};
    }
    if (!items->is_array()) {
        return fail(Code::corrupt, "items: expected a list, found {}", describe(*items));
    }
    decoder.push("items");
    for (std::size_t i = 0; i < items->get_array().size(); ++i) {
        decoder.push(i);
        void* element = elements.append(elements.list);
        if (!decode_struct(decoder, items->get_array()[i], element, *elements.table)) {
            return fail(Code::corrupt, "{}", decoder.problem());
        }
        decoder.pop();
    }
    return {};
}

Result<void> parse_watch_into(std::string_view text, WatchKind& kind, const StructTable& table,
                              void* object, Status& status) {
    static const std::map<std::string_view, WatchKind> kKinds = {{"ADDED", WatchKind::added},
                                                                 {"MODIFIED", WatchKind::modified},
                                                                 {"DELETED", WatchKind::deleted},
                                                                 {"BOOKMARK", WatchKind::bookmark},
                                                                 {"ERROR", WatchKind::error}};
    json::monotonic_resource memory;
    SKIFF_TRY(auto value, parse_text(text, kWireBytesMax, &memory));
    const json::object* map = value.if_object();
    const json::value* type = map == nullptr ? nullptr : map->if_contains("type");
    const json::value* body = map == nullptr ? nullptr : map->if_contains("object");
    if (type == nullptr || !type->is_string() || body == nullptr) {
        return fail(Code::corrupt, "a watch event without type or object");
    }
    auto found = kKinds.find(view(type->get_string()));
    if (found == kKinds.end()) {
        return fail(Code::corrupt, "a watch event of unknown type {}", describe(*type));
    }
    kind = found->second;
    Decoder decoder(UnknownFields::ignore);
    decoder.push("object");
    bool decoded = kind == WatchKind::error
                       ? decode_struct(decoder, *body, &status, struct_table<Status>())
                       : decode_struct(decoder, *body, object, table);
    if (!decoded) {
        return fail(Code::corrupt, "{}", decoder.problem());
    }
    return {};
}

}  // namespace detail

}  // namespace skiff::kube
