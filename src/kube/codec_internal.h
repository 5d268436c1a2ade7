// Private to codec*.cpp: how one C++ type is read from and written to a JSON value, and the macros
// that make a StructTable from a described struct.
#pragma once

#include <boost/describe/class.hpp>
#include <boost/describe/members.hpp>
#include <boost/json/value.hpp>
#include <boost/mp11/algorithm.hpp>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "kube/codec.h"

namespace skiff::kube {

namespace json = boost::json;

// The state of one decoding: what to do about unknown fields, where we are, what went wrong first.
class Decoder {
public:
    explicit Decoder(UnknownFields unknown) : unknown_(unknown) {}
    [[nodiscard]] UnknownFields unknown() const { return unknown_; }
    // "spec.containers[0]." etc.; the caller pops what it pushed.
    void push(std::string_view field) { path_.push_back({field, 0}); }
    void push(std::size_t index) { path_.push_back({{}, index}); }
    void pop() { path_.pop_back(); }
    // Remembers the failure; returns false so that it can be returned at once.
    bool reject(std::string_view problem);
    bool reject_type(std::string_view wanted, const json::value& got);
    bool reject_unknown(std::string_view field);
    // The path of `field` below the present place.
    [[nodiscard]] std::string path_to(std::string_view field) const;
    [[nodiscard]] const std::string& problem() const { return problem_; }

private:
    struct Step {
        std::string_view field;  // empty: an index
        std::size_t index;
    };
    UnknownFields unknown_;
    std::vector<Step> path_;
    std::string problem_;
};

// How a type is decoded, encoded, and judged empty in the sense of Go's omitempty.
struct TypeOps {
    bool (*decode)(Decoder& decoder, const json::value& value, void* object);
    json::value (*encode)(const void* object);
    bool (*is_empty)(const void* object);
};

enum class Presence { omit_empty, always };

struct FieldEntry {
    std::string_view name;
    std::size_t offset;
    const TypeOps* ops;
    Presence presence;
};

struct StructTable {
    std::vector<FieldEntry> fields;
};

bool decode_struct(Decoder& decoder, const json::value& value, void* object,
                   const StructTable& table);
json::value encode_struct(const void* object, const StructTable& table);
bool is_empty_struct(const void* object, const StructTable& table);

bool decode_scalar(Decoder& decoder, const json::value& value, std::string& out);
// tidy: allow names: the boolean is what is decoded
bool decode_scalar(Decoder& decoder, const json::value& value, bool& out);
bool decode_scalar(Decoder& decoder, const json::value& value, std::int32_t& out);
bool decode_scalar(Decoder& decoder, const json::value& value, std::int64_t& out);
bool decode_scalar(Decoder& decoder, const json::value& value, Quantity& out);
bool decode_scalar(Decoder& decoder, const json::value& value, Time& out);
bool decode_scalar(Decoder& decoder, const json::value& value, MicroTime& out);
bool decode_scalar(Decoder& decoder, const json::value& value, IntOrString& out);
bool decode_scalar(Decoder& decoder, const json::value& value, Base64& out);
bool decode_scalar(Decoder& decoder, const json::value& value, RawJson& out);
bool decode_scalar(Decoder& decoder, const json::value& value, Ignored& out);
json::value encode_scalar(const std::string& value);
json::value encode_scalar(bool value);  // tidy: allow names: the boolean is what is encoded
json::value encode_scalar(std::int32_t value);
json::value encode_scalar(std::int64_t value);
json::value encode_scalar(const Quantity& value);
json::value encode_scalar(const Time& value);
json::value encode_scalar(const MicroTime& value);
json::value encode_scalar(const IntOrString& value);
json::value encode_scalar(const Base64& value);
json::value encode_scalar(const RawJson& value);
json::value encode_scalar(const Ignored& value);

inline bool is_zero(const std::string& value) {
    return value.empty();
}
inline bool is_zero(bool value) {  // tidy: allow names: the boolean is what is judged
    return !value;
}
inline bool is_zero(std::int32_t value) {
    return value == 0;
}
inline bool is_zero(std::int64_t value) {
    return value == 0;
}
inline bool is_zero(const RawJson& value) {
    return value.text.empty();
}
inline bool is_zero(const Base64& value) {
    return value.bytes.empty();
}
inline bool is_zero(const Ignored&) {
    return true;
}
// These print a value even when it is zero, as their Go types do.
template <typename T>
    requires std::is_same_v<T, Quantity> || std::is_same_v<T, Time> ||
             std::is_same_v<T, MicroTime> || std::is_same_v<T, IntOrString>
bool is_zero(const T&) {
    return false;
}

template <typename T>
concept Scalar = requires(const T& value) { encode_scalar(value); };

template <typename T>
const TypeOps& ops_of(std::type_identity<T>);
template <typename T>
const TypeOps& ops_of(std::type_identity<std::optional<T>>);
template <typename T>
const TypeOps& ops_of(std::type_identity<std::vector<T>>);
template <typename T>
const TypeOps& ops_of(std::type_identity<std::map<std::string, T>>);

template <typename T>
const TypeOps& ops_of(std::type_identity<T>) {
    if constexpr (Scalar<T>) {
        static constexpr TypeOps ops = {
            [](Decoder& decoder, const json::value& value, void* object) {
                return decode_scalar(decoder, value, *static_cast<T*>(object));
            },
            [](const void* object) { return encode_scalar(*static_cast<const T*>(object)); },
            [](const void* object) { return is_zero(*static_cast<const T*>(object)); }};
        return ops;
    } else {
        static constexpr TypeOps ops = {
            [](Decoder& decoder, const json::value& value, void* object) {
                return decode_struct(decoder, value, object, struct_table<T>());
            },
            [](const void* object) { return encode_struct(object, struct_table<T>()); },
            [](const void* object) { return is_empty_struct(object, struct_table<T>()); }};
        return ops;
    }
}

template <typename T>
const TypeOps& ops_of(std::type_identity<std::optional<T>>) {
    static constexpr TypeOps ops = {
        [](Decoder& decoder, const json::value& value, void* object) {
            auto& out = static_cast<std::optional<T>*>(object)->emplace();
            return ops_of(std::type_identity<T>()).decode(decoder, value, &out);
        },
        [](const void* object) {
            return ops_of(std::type_identity<T>())
                .encode(&**static_cast<const std::optional<T>*>(object));
        },
        [](const void* object) {
            return !static_cast<const std::optional<T>*>(object)->has_value();
        }};
    return ops;
}

// A null element is a zero element, as in Go.
template <typename T>
const TypeOps& ops_of(std::type_identity<std::vector<T>>) {
    static constexpr TypeOps ops = {
        [](Decoder& decoder, const json::value& value, void* object) {
            if (!value.is_array()) {
                return decoder.reject_type("a list", value);
            }
            auto& out = *static_cast<std::vector<T>*>(object);
            const json::array& array = value.get_array();
            out.clear();
            out.reserve(array.size());
            for (std::size_t i = 0; i < array.size(); ++i) {
                T& element = out.emplace_back();
                decoder.push(i);
                if (!array[i].is_null() &&
                    !ops_of(std::type_identity<T>()).decode(decoder, array[i], &element)) {
                    return false;
                }
                decoder.pop();
            }
            return true;
        },
        [](const void* object) {
            json::array array;
            for (const T& element : *static_cast<const std::vector<T>*>(object)) {
                array.push_back(ops_of(std::type_identity<T>()).encode(&element));
            }
            return json::value(std::move(array));
        },
        [](const void* object) { return static_cast<const std::vector<T>*>(object)->empty(); }};
    return ops;
}

template <typename T>
const TypeOps& ops_of(std::type_identity<std::map<std::string, T>>) {
    static constexpr TypeOps ops = {
        [](Decoder& decoder, const json::value& value, void* object) {
            if (!value.is_object()) {
                return decoder.reject_type("a map", value);
            }
            auto& out = *static_cast<std::map<std::string, T>*>(object);
            out.clear();
            for (const auto& [key, element] : value.get_object()) {
                decoder.push(std::string_view(key.data(), key.size()));
                if (!element.is_null() &&
                    !ops_of(std::type_identity<T>()).decode(decoder, element, &out[key])) {
                    return false;
                }
                if (element.is_null()) {
                    out[key];
                }
                decoder.pop();
            }
            return true;
        },
        [](const void* object) {
            json::object map;
            for (const auto& [key, element] :
                 *static_cast<const std::map<std::string, T>*>(object)) {
                map.emplace(key, ops_of(std::type_identity<T>()).encode(&element));
            }
            return json::value(std::move(map));
        },
        [](const void* object) {
            return static_cast<const std::map<std::string, T>*>(object)->empty();
        }};
    return ops;
}

// The JSON name of a member: without the underscore that avoids a C++ keyword.
constexpr std::string_view json_name(std::string_view member) {
    return member.ends_with('_') ? member.substr(0, member.size() - 1) : member;
}

template <typename T>
StructTable make_table(std::initializer_list<std::string_view> always) {
    namespace describe = boost::describe;
    using Members = describe::describe_members<T, describe::mod_public | describe::mod_inherited>;
    static const T sample{};
    StructTable table;
    boost::mp11::mp_for_each<Members>([&](auto member) {
        const auto& field = sample.*member.pointer;
        using Field = std::remove_cvref_t<decltype(field)>;
        auto offset =
            reinterpret_cast<const char*>(&field) - reinterpret_cast<const char*>(&sample);
        std::string_view name = json_name(member.name);
        bool forced = std::find(always.begin(), always.end(), name) != always.end();
        table.fields.push_back(FieldEntry{name, static_cast<std::size_t>(offset),
                                          &ops_of(std::type_identity<Field>()),
                                          forced ? Presence::always : Presence::omit_empty});
    });
    return table;
}

}  // namespace skiff::kube

// Defines struct_table<Type>(); the rest are the JSON names of fields that are written even when
// they are empty (those without omitempty in Go). The type must have been described before.
#define SKIFF_KUBE_TYPE(Type, ...)                                        \
    template <>                                                           \
    const StructTable& struct_table<Type>() {                             \
        static const StructTable table = make_table<Type>({__VA_ARGS__}); \
        return table;                                                     \
    }
