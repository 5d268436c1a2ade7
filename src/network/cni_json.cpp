#include "network/cni_json.h"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "base/assert.h"
#include "base/text.h"
#include "kube/codec.h"

namespace skiff::network {

namespace json = boost::json;

namespace {

constexpr std::string_view kBlank = " \t\r\n";

std::string_view view(const json::string& text) {
    return {text.data(), text.size()};
}

std::string describe(const json::value& value) {
    switch (value.kind()) {
        case json::kind::array:
            return "a list";
        case json::kind::object:
            return "a map";
        case json::kind::string:
            return "the string " + shown_cni(view(value.get_string()));
        default:
            return json::serialize(value);
    }
}

// Walks over JSON that is known to be valid.
class Scanner {
public:
    explicit Scanner(std::string_view text) : text_(text) { skip_blank(); }

    // Whether the next character is `c`; if so it is passed, and the blanks after it.
    bool take(char c) {
        if (at_ >= text_.size() || text_[at_] != c) {
            return false;
        }
        ++at_;
        skip_blank();
        return true;
    }
    // The value that begins here, as it is written.
    std::string_view value() {
        const std::size_t start = at_;
        std::size_t depth = 0;
        do {
            const char c = text_[at_];
            if (c == '"') {
                skip_string();
            } else if (c == '{' || c == '[') {
                ++depth;
                ++at_;
            } else if (c == '}' || c == ']') {
                --depth;
                ++at_;
            } else if (depth > 0) {
                ++at_;
            } else {
                at_ = std::min(text_.find_first_of(" \t\r\n,]}", at_), text_.size());
            }
        } while (depth > 0 && at_ < text_.size());
        const std::string_view found = text_.substr(start, at_ - start);
        skip_blank();
        return found;
    }
    [[nodiscard]] bool at_end() const { return at_ >= text_.size(); }

private:
    void skip_blank() { at_ = std::min(text_.find_first_not_of(kBlank, at_), text_.size()); }
    void skip_string() {
        for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
            if (text_[at_] == '\\') {
                ++at_;
            }
        }
        ++at_;
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

}  // namespace

std::string shown_cni(std::string_view text) {
    return fmt::format("\"{}\"", bounded_utf8(text, kCniShownBytesMax));
}

Result<json::object> parse_cni_json(std::string_view text) {
    json::parse_options options;
    options.max_depth = kCniDepthMax;
    boost::system::error_code error;
    json::value value = json::parse(json::string_view(text.data(), text.size()), error,
                                    json::storage_ptr(), options);
    if (error) {
        return fail(Code::invalid, "not JSON: {}", error.message());
    }
    if (!value.is_object()) {
        return fail(Code::invalid, "expected a map, found {}", describe(value));
    }
    return std::move(value.get_object());
}

RawObject raw_members(std::string_view text) {
    Scanner scanner(text);
    RawObject members;
    SKIFF_ASSERT(scanner.take('{'), "no object");
    while (!scanner.at_end() && !scanner.take('}')) {
        boost::system::error_code error;
        const std::string_view quoted = scanner.value();
        const json::value name =
            json::parse(json::string_view(quoted.data(), quoted.size()), error);
        SKIFF_ASSERT(!error && name.is_string() && scanner.take(':'), "not valid JSON");
        members.push_back({std::string(view(name.get_string())), std::string(scanner.value())});
        scanner.take(',');
    }
    return members;
}

std::vector<std::string> raw_elements(std::string_view text) {
    Scanner scanner(text);
    std::vector<std::string> elements;
    SKIFF_ASSERT(scanner.take('['), "no list");
    while (!scanner.at_end() && !scanner.take(']')) {
        elements.emplace_back(scanner.value());
        scanner.take(',');
    }
    return elements;
}

std::string format_raw(const RawObject& members) {
    std::string text = "{";
    for (const RawMember& member : members) {
        text += text.size() > 1 ? "," : "";
        text += kube::quote_json(member.name);
        text += ":";
        text += member.value;
    }
    return text + "}";
}

const std::string* find_raw(const RawObject& members, std::string_view name) {
    for (auto member = members.rbegin(); member != members.rend(); ++member) {
        if (member->name == name) {
            return &member->value;
        }
    }
    return nullptr;
}

void set_raw(RawObject& members, std::string_view name, std::string value) {
    const auto first = std::ranges::find(members, name, &RawMember::name);
    if (first == members.end()) {
        members.push_back({std::string(name), std::move(value)});
        return;
    }
    first->value = std::move(value);
    members.erase(std::remove_if(first + 1, members.end(),
                                 [&](const RawMember& member) { return member.name == name; }),
                  members.end());
}

void remove_raw(RawObject& members, std::string_view name) {
    std::erase_if(members, [&](const RawMember& member) { return member.name == name; });
}

std::string FieldReader::path_of(std::string_view name) const {
    return path_ + bounded_utf8(name, kCniShownBytesMax);
}

const json::value* FieldReader::find(std::string_view name) const {
    const json::value* value = object_.if_contains(json::string_view(name.data(), name.size()));
    return value == nullptr || value->is_null() ? nullptr : value;
}

tl::unexpected<Error> FieldReader::reject(std::string_view name, std::string_view problem) const {
    return fail(Code::invalid, "{}: {}", path_of(name), problem);
}

tl::unexpected<Error> FieldReader::reject_type(std::string_view name, std::string_view wanted,
                                               const json::value& found) const {
    return reject(name, fmt::format("expected {}, found {}", wanted, describe(found)));
}

Result<std::string> FieldReader::text(std::string_view name) const {
    const json::value* value = find(name);
    if (value == nullptr) {
        return std::string();
    }
    if (!value->is_string()) {
        return reject_type(name, "a string", *value);
    }
    return std::string(view(value->get_string()));
}

Result<std::optional<std::int64_t>> FieldReader::whole_number(std::string_view name) const {
    const json::value* value = find(name);
    if (value == nullptr) {
        return std::nullopt;
    }
    boost::system::error_code error;
    const auto number = value->is_number() ? value->to_number<std::int64_t>(error) : 0;
    if (!value->is_number() || value->is_double() || error) {
        return reject_type(name, "a whole number", *value);
    }
    return std::optional<std::int64_t>(number);
}

Result<bool> FieldReader::boolean(std::string_view name) const {
    const json::value* value = find(name);
    if (value == nullptr) {
        return false;
    }
    if (value->is_bool()) {
        return value->get_bool();
    }
    const std::string word = value->is_string() ? to_lower(view(value->get_string())) : "";
    if (word != "true" && word != "false") {
        return reject_type(name, "true or false", *value);
    }
    return word == "true";
}

Result<const json::array*> FieldReader::list(std::string_view name, std::size_t count_max) const {
    const json::value* value = find(name);
    if (value == nullptr) {
        return nullptr;
    }
    if (!value->is_array()) {
        return reject_type(name, "a list", *value);
    }
    if (value->get_array().size() > count_max) {
        return reject(name, fmt::format("{} elements, at most {} are allowed",
                                        value->get_array().size(), count_max));
    }
    return &value->get_array();
}

Result<std::vector<std::string>> FieldReader::texts(std::string_view name,
                                                    std::size_t count_max) const {
    SKIFF_TRY(const json::array* elements, list(name, count_max));
    std::vector<std::string> texts;
    for (std::size_t i = 0; elements != nullptr && i < elements->size(); ++i) {
        const json::value& element = (*elements)[i];
        if (!element.is_string()) {
            return reject_type(fmt::format("{}[{}]", name, i), "a string", element);
        }
        texts.emplace_back(view(element.get_string()));
    }
    return texts;
}

Result<std::vector<FieldReader>> FieldReader::objects(std::string_view name,
                                                      std::size_t count_max) const {
    SKIFF_TRY(const json::array* elements, list(name, count_max));
    std::vector<FieldReader> readers;
    for (std::size_t i = 0; elements != nullptr && i < elements->size(); ++i) {
        const std::string place = fmt::format("{}[{}]", name, i);
        const json::value& element = (*elements)[i];
        if (!element.is_object()) {
            return reject_type(place, "a map", element);
        }
        readers.emplace_back(element.get_object(), path_of(place) + ".");
    }
    return readers;
}

Result<const json::object*> FieldReader::object(std::string_view name) const {
    const json::value* value = find(name);
    if (value == nullptr) {
        return nullptr;
    }
    if (!value->is_object()) {
        return reject_type(name, "a map", *value);
    }
    return &value->get_object();
}

}  // namespace skiff::network
