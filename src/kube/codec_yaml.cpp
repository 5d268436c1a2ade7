// YAML as kubectl reads it, into JSON; and manifests split into objects.
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <charconv>
#include <set>

#include "base/text.h"
#include "kube/codec_internal.h"
#include "kube/yaml.h"

namespace skiff::kube {

namespace {

// The longest key that a message repeats.
constexpr std::size_t kShownBytesMax = 100;

std::size_t line_of(const YAML::Node& node) {
    return node.Mark().line < 0 ? 0 : static_cast<std::size_t>(node.Mark().line) + 1;
}

// "0x1f", "0b11", "0o17", "017", "1_000", "-5"; nullopt for what is no integer.
std::optional<json::value> resolve_integer(std::string_view text) {
    std::string digits;
    for (char c : text) {
        if (c != '_') {
            digits += c;
        }
    }
    std::string_view rest = digits;
    bool negative = rest.starts_with('-');
    if (negative || rest.starts_with('+')) {
        rest.remove_prefix(1);
    }
    int base = 10;
    if (rest.starts_with("0x") || rest.starts_with("0o") || rest.starts_with("0b")) {
        base = rest[1] == 'x' ? 16 : rest[1] == 'o' ? 8 : 2;
        rest.remove_prefix(2);
    } else if (rest.size() > 1 && rest.starts_with('0')) {
        base = 8;
        rest.remove_prefix(1);
    }
    std::uint64_t number = 0;
    auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number, base);
    if (rest.empty() || error != std::errc() || end != rest.data() + rest.size()) {
        return std::nullopt;
    }
    constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (negative) {
        if (number > kMax) {
            return std::nullopt;
        }
        return json::value(-static_cast<std::int64_t>(number));
    }
    if (number <= kMax) {
        return json::value(static_cast<std::int64_t>(number));
    }
    return json::value(number);
}

// [-+]? digits with a dot or an exponent; nullopt for what is no such number.
std::optional<json::value> resolve_float(std::string_view text) {
    std::string_view rest = text;
    if (rest.starts_with('-') || rest.starts_with('+')) {
        rest.remove_prefix(1);
    }
    bool digit = false;
    for (std::size_t i = 0; i < rest.size(); ++i) {
        char c = rest[i];
        bool sign = (c == '-' || c == '+') && i > 0 && (rest[i - 1] == 'e' || rest[i - 1] == 'E');
        digit = digit || (c >= '0' && c <= '9');
        if ((c < '0' || c > '9') && c != '.' && !(digit && (c == 'e' || c == 'E')) && !sign) {
            return std::nullopt;
        }
    }
    std::string number(text.starts_with('+') ? text.substr(1) : text);
    double value = 0;
    auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
    if (!digit || error != std::errc() || end != number.data() + number.size()) {
        return std::nullopt;
    }
    return json::value(value);
}

json::value resolve_plain(std::string_view text) {
    static const std::set<std::string_view> kNulls = {"", "~", "null", "Null", "NULL"};
    static const std::set<std::string_view> kTrue = {"y",    "Y",    "yes", "Yes", "YES", "true",
                                                     "True", "TRUE", "on",  "On",  "ON"};
    static const std::set<std::string_view> kFalse = {"n",     "N",     "no",  "No",  "NO", "false",
                                                      "False", "FALSE", "off", "Off", "OFF"};
    if (kNulls.contains(text)) {
        return nullptr;
    }
    if (kTrue.contains(text)) {
        return json::value(true);
    }
    if (kFalse.contains(text)) {
        return json::value(false);
    }
    if (auto integer = resolve_integer(text)) {
        return std::move(*integer);
    }
    if (auto number = resolve_float(text)) {
        return std::move(*number);
    }
    return json::value(json::string_view(text.data(), text.size()));
}

json::value resolve_scalar(const YAML::Node& node) {
    const std::string& text = node.Scalar();
    // yaml-cpp gives quoted scalars the tag "!", plain ones "?".
    if (node.Tag() == "!" || node.Tag() == "tag:yaml.org,2002:str") {
        return json::value(json::string_view(text.data(), text.size()));
    }
    return resolve_plain(text);
}

class YamlReader {
public:
    Result<json::value> convert(const YAML::Node& node, std::size_t depth) {
        if (depth > kDepthMax) {
            return fail(Code::invalid, "line {}: nested deeper than {}", line_of(node), kDepthMax);
        }
        if (++nodes_ > kYamlNodesMax) {
            return fail(Code::invalid, "more than {} YAML nodes", kYamlNodesMax);
        }
        switch (node.Type()) {
            case YAML::NodeType::Scalar:
                return resolve_scalar(node);
            case YAML::NodeType::Sequence:
                return convert_sequence(node, depth);
            case YAML::NodeType::Map:
                return convert_map(node, depth);
            default:
                return json::value(nullptr);
        }
    }

private:
    Result<json::value> convert_sequence(const YAML::Node& node, std::size_t depth) {
        json::array array;
        for (const auto& element : node) {
            SKIFF_TRY(auto value, convert(element, depth + 1));
            array.push_back(std::move(value));
        }
        return json::value(std::move(array));
    }

    Result<json::value> convert_map(const YAML::Node& node, std::size_t depth) {
        json::object map;
        std::vector<json::value> merged;
        for (const auto& entry : node) {
            if (!entry.first.IsScalar()) {
                return fail(Code::invalid, "line {}: a key is not a plain word",
                            line_of(entry.first));
            }
            const std::string& key = entry.first.Scalar();
            SKIFF_TRY(auto value, convert(entry.second, depth + 1));
            if (key == "<<" && entry.first.Tag() != "!") {
                merged.push_back(std::move(value));
                continue;
            }
            auto inserted = map.emplace(key, std::move(value));
            if (!inserted.second) {
                return fail(Code::invalid, "line {}: key \"{}\" appears twice",
                            line_of(entry.first), bounded_utf8(key, kShownBytesMax));
            }
        }
        for (const json::value& source : merged) {
            merge(map, source);
        }
        return json::value(std::move(map));
    }

    // `<<`: keys that the map does not have itself.
    static void merge(json::object& map, const json::value& source) {
        if (const json::array* sources = source.if_array()) {
            for (const json::value& each : *sources) {
                if (each.is_object()) {
                    merge(map, each);
                }
            }
        } else if (const json::object* other = source.if_object()) {
            for (const auto& [key, value] : *other) {
                map.emplace(key, value);
            }
        }
    }

    std::size_t nodes_ = 0;
};

std::string text_at(const json::object& map, std::string_view key) {
    const json::value* value = map.if_contains(key);
    const json::string* text = value == nullptr ? nullptr : value->if_string();
    return text == nullptr ? std::string() : std::string(text->data(), text->size());
}

Result<void> add_document(const json::value& value, std::size_t line,
                          std::vector<Document>& documents) {
    const json::object* map = value.if_object();
    if (map == nullptr) {
        return fail(Code::invalid, "line {}: not an object", line);
    }
    Document document;
    document.line = line;
    document.apiVersion = text_at(*map, "apiVersion");
    document.kind = text_at(*map, "kind");
    if (document.apiVersion.empty() || document.kind.empty()) {
        return fail(Code::invalid, "line {}: an object without apiVersion and kind", line);
    }
    const json::value* items = map->if_contains("items");
    if (document.kind.ends_with("List") && items != nullptr && items->is_array()) {
        // The items of a list of one kind need not name it.
        std::string_view kind = std::string_view(document.kind);
        kind.remove_suffix(std::string_view("List").size());
        for (json::value item : items->get_array()) {
            json::object* its = kind.empty() ? nullptr : item.if_object();
            if (its != nullptr && !its->contains("kind") && !its->contains("apiVersion")) {
                (*its)["kind"] = kind;
                (*its)["apiVersion"] = document.apiVersion;
            }
            SKIFF_CHECK(add_document(item, line, documents));
        }
        return {};
    }
    const json::value* metadata = map->if_contains("metadata");
    if (metadata != nullptr && metadata->is_object()) {
        document.name = text_at(metadata->get_object(), "name");
    }
    document.json = json::serialize(value);
    if (documents.size() >= kManifestDocumentsMax) {
        return fail(Code::invalid, "more than {} objects", kManifestDocumentsMax);
    }
    documents.push_back(std::move(document));
    return {};
}

}  // namespace

std::string place_of(const Document& document) {
    return fmt::format("{} \"{}\" at line {}", bounded_utf8(document.kind, kShownBytesMax),
                       bounded_utf8(document.name, kShownBytesMax), document.line);
}

Result<std::string> yaml_to_json(std::string_view text) {
    SKIFF_TRY(auto nodes, load_yaml(text, kManifestBytesMax));
    if (nodes.size() > 1) {
        return fail(Code::invalid, "{} documents where one was expected", nodes.size());
    }
    if (nodes.empty()) {
        return std::string("null");
    }
    YamlReader reader;
    SKIFF_TRY(auto value, reader.convert(nodes[0], 0));
    return json::serialize(value);
}

Result<std::vector<Document>> parse_manifest(std::string_view text) {
    std::vector<Document> documents;
    if (trim(text).starts_with('{')) {
        // JSON with tabs is no YAML.
        json::parse_options options;
        options.max_depth = kDepthMax;
        boost::system::error_code error;
        auto value = json::parse(json::string_view(text.data(), text.size()), error, {}, options);
        if (!error && text.size() <= kManifestBytesMax) {
            SKIFF_CHECK(add_document(value, 1, documents));
            return documents;
        }
    }
    SKIFF_TRY(auto nodes, load_yaml(text, kManifestBytesMax));
    YamlReader reader;
    for (const YAML::Node& node : nodes) {
        if (node.IsNull()) {
            continue;
        }
        SKIFF_TRY(auto value, reader.convert(node, 0));
        SKIFF_CHECK(add_document(value, line_of(node), documents));
    }
    return documents;
}

}  // namespace skiff::kube
