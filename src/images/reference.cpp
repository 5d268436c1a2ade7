#include "images/reference.h"

#include <array>

#include "base/text.h"
#include "images/limits.h"

namespace skiff::images {

namespace {

constexpr std::string_view kInvalid = "invalid reference format";

bool is_lower(char c) {
    return c >= 'a' && c <= 'z';
}
bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
bool is_alphanumeric(char c) {
    return is_lower(c) || is_digit(c) || (c >= 'A' && c <= 'Z');
}

// [a-z0-9]+ joined by '.', '_', '__' or any number of '-'.
bool is_path_component(std::string_view text) {
    std::size_t i = 0;
    auto word = [&] {
        std::size_t start = i;
        while (i < text.size() && (is_lower(text[i]) || is_digit(text[i]))) {
            ++i;
        }
        return i > start;
    };
    if (!word()) {
        return false;
    }
    while (i < text.size()) {
        std::size_t start = i;
        char separator = text[i];
        while (i < text.size() && text[i] == separator) {
            ++i;
        }
        std::size_t length = i - start;
        bool good = separator == '-' || (separator == '.' && length == 1) ||
                    (separator == '_' && length <= 2);
        if (!good || !word()) {
            return false;
        }
    }
    return true;
}

bool is_host_label(std::string_view label) {
    if (label.empty() || !is_alphanumeric(label.front()) || !is_alphanumeric(label.back())) {
        return false;
    }
    return std::all_of(label.begin(), label.end(),
                       [](char c) { return is_alphanumeric(c) || c == '-'; });
}

bool is_registry(std::string_view text) {
    std::string_view host = text;
    std::string_view port;
    if (text.starts_with('[')) {
        auto close = text.find(']');
        if (close == std::string_view::npos) {
            return false;
        }
        host = text.substr(1, close - 1);
        port = text.substr(close + 1);
        if (host.empty() || host.find_first_not_of("0123456789abcdefABCDEF:") != host.npos) {
            return false;
        }
    } else {
        auto colon = text.find(':');
        host = text.substr(0, colon);
        port = colon == std::string_view::npos ? "" : text.substr(colon);
        for (std::string_view label : split(host, '.')) {
            if (!is_host_label(label)) {
                return false;
            }
        }
    }
    if (port.empty()) {
        return true;
    }
    return port.front() == ':' && parse_port(port.substr(1)).has_value();
}

bool is_tag(std::string_view text) {
    if (text.empty() || text.size() > kTagBytesMax || text.front() == '.' || text.front() == '-') {
        return false;
    }
    return std::all_of(text.begin(), text.end(), [](char c) {
        return is_alphanumeric(c) || c == '_' || c == '.' || c == '-';
    });
}

// Takes the registry off the front of `rest`, or gives the default.
std::string take_registry(std::string_view& rest) {
    auto slash = rest.find('/');
    std::string_view first = rest.substr(0, slash);
    bool named =
        slash != std::string_view::npos && (first.find_first_of(".:[") != std::string_view::npos ||
                                            first == "localhost" || to_lower(first) != first);
    if (!named) {
        return "docker.io";
    }
    rest.remove_prefix(slash + 1);
    std::string registry(first);
    return registry == "index.docker.io" ? "docker.io" : registry;
}

Result<void> check_repository(std::string_view repository, std::string_view whole) {
    std::string lower = to_lower(repository);
    for (std::string_view component : split(lower, '/')) {
        if (!is_path_component(component)) {
            return fail(Code::invalid, "{}", kInvalid);
        }
    }
    if (lower != repository) {
        return fail(Code::invalid, "{}: repository name must be lowercase", kInvalid);
    }
    bool identifier =
        whole.size() == 64 && whole.find_first_not_of("0123456789abcdef") == std::string_view::npos;
    if (identifier) {
        return fail(Code::invalid,
                    "invalid repository name ({}), cannot specify 64-byte hexadecimal strings",
                    whole);
    }
    return {};
}

}  // namespace

std::string Reference::str() const {
    std::string text = name();
    if (!tag.empty()) {
        text += ":" + tag;
    }
    if (digest) {
        text += "@" + digest->str();
    }
    return text;
}

std::string Reference::manifest_key() const {
    return digest ? digest->str() : tag;
}

Result<Reference> parse_reference(std::string_view text) {
    if (text.empty() || text.size() > kReferenceBytesMax) {
        return fail(Code::invalid, "{}", kInvalid);
    }
    Reference reference;
    std::string_view rest = text;
    if (auto at = rest.find('@'); at != std::string_view::npos) {
        auto digest = Digest::parse(rest.substr(at + 1));
        if (!digest) {
            return fail(Code::invalid, "{}", kInvalid);
        }
        reference.digest = std::move(*digest);
        rest = rest.substr(0, at);
    }
    reference.registry = take_registry(rest);
    if (auto colon = rest.rfind(':'); colon != std::string_view::npos) {
        reference.tag = std::string(rest.substr(colon + 1));
        rest = rest.substr(0, colon);
        if (!is_tag(reference.tag)) {
            return fail(Code::invalid, "{}", kInvalid);
        }
    }
    if (!is_registry(reference.registry)) {
        return fail(Code::invalid, "{}", kInvalid);
    }
    SKIFF_CHECK(check_repository(rest, text));
    bool plain = rest.find('/') == std::string_view::npos;
    reference.repository = reference.registry == "docker.io" && plain
                               ? "library/" + std::string(rest)
                               : std::string(rest);
    if (reference.name().size() > kNameBytesMax) {
        return fail(Code::invalid, "repository name must not be more than {} characters",
                    kNameBytesMax);
    }
    if (reference.tag.empty() && !reference.digest) {
        reference.tag = "latest";
    }
    return reference;
}

}  // namespace skiff::images
