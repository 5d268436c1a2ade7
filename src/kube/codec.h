// JSON and YAML ⇄ the structs of types.h.
//
// On the wire unknown fields are ignored (servers are newer than we are); in a user's file they are
// refused with their full path. Encoding omits what Go's `omitempty` omits, in the API's field
// order. Pure; any thread. Every input is bounded in size and depth.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "kube/codec_tables.h"
#include "kube/types.h"

namespace skiff::kube {

// A LIST of all Services of a large cluster is the largest thing that is read.
inline constexpr std::size_t kWireBytesMax = std::size_t{64} << 20;
// A user's manifest, all documents together.
inline constexpr std::size_t kManifestBytesMax = std::size_t{8} << 20;
inline constexpr std::size_t kDepthMax = 64;
// Nodes of a YAML file once aliases are followed: bounds alias bombs.
inline constexpr std::size_t kYamlNodesMax = 500'000;
inline constexpr std::size_t kManifestDocumentsMax = 10'000;

enum class UnknownFields { ignore, refuse };

enum class WatchKind { added, modified, deleted, bookmark, error };

// One event of a WATCH. `status` is set for WatchKind::error, `object` for all others (of a
// bookmark only its resourceVersion means something).
template <typename T>
struct WatchEvent {
    WatchKind kind = WatchKind::error;
    T object;
    Status status;
};

namespace detail {
[[nodiscard]] Result<void> parse_into(std::string_view json, UnknownFields unknown,
                                      const StructTable& table, void* object);
[[nodiscard]] std::string encode_from(const StructTable& table, const void* object);
struct ListElements {
    void* list;
    const StructTable* table;
    void* (*append)(void* list);
};
[[nodiscard]] Result<void> parse_list_into(std::string_view json, ListMeta& metadata,
                                           ListElements elements);
[[nodiscard]] Result<void> parse_watch_into(std::string_view json, WatchKind& kind,
                                            const StructTable& table, void* object, Status& status);
}  // namespace detail

// An object from the wire. Fails with Code::corrupt: not JSON, too large, too deep, or a field of
// the wrong type (the message names its path).
template <typename T>
[[nodiscard]] Result<T> from_json(std::string_view json) {
    T object;
    SKIFF_CHECK(detail::parse_into(json, UnknownFields::ignore, struct_table<T>(), &object));
    return object;
}

// A LIST from the wire; fails as from_json.
template <typename T>
[[nodiscard]] Result<List<T>> list_from_json(std::string_view json) {
    List<T> list;
    auto append = [](void* items) -> void* {
        return &static_cast<std::vector<T>*>(items)->emplace_back();
    };
    SKIFF_CHECK(detail::parse_list_into(
        json, list.metadata, detail::ListElements{&list.items, &struct_table<T>(), append}));
    return list;
}

// One event of a WATCH; fails as from_json, also for an event type that nobody knows.
template <typename T>
[[nodiscard]] Result<WatchEvent<T>> watch_event_from_json(std::string_view json) {
    WatchEvent<T> event;
    SKIFF_CHECK(
        detail::parse_watch_into(json, event.kind, struct_table<T>(), &event.object, event.status));
    return event;
}

// An object of a user's file, as JSON. Fails with Code::invalid: unknown field, wrong type.
template <typename T>
[[nodiscard]] Result<T> from_json_strict(std::string_view json) {
    T object;
    SKIFF_CHECK(detail::parse_into(json, UnknownFields::refuse, struct_table<T>(), &object));
    return object;
}

// Compact JSON.
template <typename T>
[[nodiscard]] std::string to_json(const T& object) {
    return detail::encode_from(struct_table<T>(), &object);
}

// `text` as a JSON string, quotes included.
[[nodiscard]] std::string quote_json(std::string_view text);

// One object of a manifest, not yet decoded.
struct Document {
    std::string apiVersion;
    std::string kind;
    std::string name;      // metadata.name, may be empty
    std::size_t line = 0;  // where it begins in the file, from 1
    std::string json;      // compact
};

// Splits a manifest (YAML with any number of documents, or JSON) into its objects; the items of
// `kind: List` are objects of their own, empty documents are skipped. YAML 1.1 scalars as kubectl
// reads them (0644 is octal, unquoted yes is a boolean), merge keys, aliases. Fails with
// Code::invalid, the message naming the line: syntax, a key twice, no apiVersion or kind, too
// large.
[[nodiscard]] Result<std::vector<Document>> parse_manifest(std::string_view text);

// YAML (one document) as compact JSON text, by the same rules; "null" for an empty document.
[[nodiscard]] Result<std::string> yaml_to_json(std::string_view text);

// A document as T, unknown fields refused; the message names kind, name and line: `Pod "x" at line
// 3`.
[[nodiscard]] std::string place_of(const Document& document);
template <typename T>
[[nodiscard]] Result<T> from_document(const Document& document) {
    auto object = from_json_strict<T>(document.json);
    if (!object) {
        return fail(std::move(object.error()).context(place_of(document)));
    }
    return object;
}

}  // namespace skiff::kube
