#include "images/credentials.h"

#include <algorithm>
#include <set>

#include "base/text.h"
#include "images/digest.h"
#include "images/json.h"
#include "images/limits.h"

namespace skiff::images {

namespace json = boost::json;

namespace {

Credential parse_entry(const json::object& object) {
    Credential out{string_in(object, "username"), string_in(object, "password"),
                   string_in(object, "identitytoken"), string_in(object, "registrytoken")};
    std::string auth = string_in(object, "auth");
    if (!auth.empty()) {
        auto decoded = base64_decode(auth);
        auto colon = decoded ? decoded->find(':') : std::string::npos;
        if (colon != std::string::npos) {
            out.username = decoded->substr(0, colon);
            out.password = decoded->substr(colon + 1);
            // docker pads short passwords with zero bytes.
            out.password.erase(out.password.find_last_not_of('\0') + 1);
        }
    }
    if (!out.identity_token.empty()) {
        // The user name beside an identity token is a placeholder.
        out.username.clear();
        out.password.clear();
    }
    return out;
}

// "https://index.docker.io/v1/" → "docker.io".
std::string normalize(std::string_view key) {
    for (std::string_view scheme : {"https://", "http://"}) {
        if (key.starts_with(scheme)) {
            key.remove_prefix(scheme.size());
        }
    }
    while (key.ends_with('/')) {
        key.remove_suffix(1);
    }
    auto slash = key.find('/');
    std::string host = to_lower(key.substr(0, slash));
    std::string path(slash == std::string_view::npos ? "" : key.substr(slash));
    if (path.starts_with("/v1") || path.starts_with("/v2")) {
        path = path.size() == 3 || path[3] == '/' ? path.substr(3) : path;
    }
    if (host == "index.docker.io" || host == "registry-1.docker.io") {
        host = "docker.io";
    }
    return host + path;
}

bool glob(std::string_view pattern, std::string_view text) {
    std::size_t p = 0;
    std::size_t t = 0;
    std::size_t star = std::string_view::npos;
    std::size_t mark = 0;
    while (t < text.size()) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            mark = t;
        } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
            ++p;
            ++t;
        } else if (star != std::string_view::npos) {
            p = star + 1;
            t = ++mark;
        } else {
            return false;
        }
    }
    while (p < pattern.size() && pattern[p] == '*') {
        ++p;
    }
    return p == pattern.size();
}

std::pair<std::string_view, std::string_view> split_port(std::string_view host) {
    auto colon = host.rfind(':');
    if (colon == std::string_view::npos || host.ends_with(']')) {
        return {host, {}};
    }
    return {host.substr(0, colon), host.substr(colon + 1)};
}

}  // namespace

std::string Credential::key() const {
    std::string all;
    for (const std::string* part : {&username, &password, &identity_token, &registry_token}) {
        all += std::to_string(part->size()) + ":" + *part;
    }
    return digest_of(all).hex();
}

Result<std::vector<CredentialEntry>> parse_docker_config(std::string_view text, ConfigFormat format,
                                                         std::string source) {
    if (text.size() > kPullSecretBytesMax) {
        return fail(Code::invalid, "longer than {} bytes", kPullSecretBytesMax);
    }
    SKIFF_TRY(json::object object, parse_object(text));
    const json::object* auths = &object;
    if (format == ConfigFormat::config_json) {
        auths = object_in(object, "auths");
    }
    std::vector<CredentialEntry> out;
    if (auths == nullptr) {
        return out;
    }
    for (const auto& [key, value] : *auths) {
        if (!value.is_object() || out.size() == kCredentialsMax) {
            continue;
        }
        Credential credential = parse_entry(value.get_object());
        if (credential != Credential{}) {
            out.push_back(CredentialEntry{normalize(std::string_view(key.data(), key.size())),
                                          std::move(credential), source});
        }
    }
    return out;
}

std::vector<std::string> named_helpers(std::string_view text) {
    std::set<std::string> names;
    auto object = text.size() <= kPullSecretBytesMax
                      ? parse_object(text)
                      : Result<json::object>(fail(Code::invalid, "long"));
    if (!object) {
        return {};
    }
    auto add = [&names](const json::value& value) {
        if (value.is_string() && !value.get_string().empty() && names.size() < kCredentialsMax) {
            std::string_view name(value.get_string().data(), value.get_string().size());
            names.insert("docker-credential-" + bounded_utf8(name, 64));
        }
    };
    if (const json::value* store = object->if_contains("credsStore")) {
        add(*store);
    }
    if (const json::object* helpers = object_in(*object, "credHelpers")) {
        for (const auto& [registry, helper] : *helpers) {
            add(helper);
        }
    }
    return {names.begin(), names.end()};
}

bool matches(std::string_view pattern, std::string_view name) {
    auto pattern_slash = pattern.find('/');
    auto name_slash = name.find('/');
    auto [pattern_host, pattern_port] = split_port(pattern.substr(0, pattern_slash));
    auto [host, port] = split_port(name.substr(0, name_slash));
    if (pattern_port != port) {
        return false;
    }
    auto pattern_parts = split(pattern_host, '.');
    auto parts = split(host, '.');
    if (pattern_parts.size() != parts.size()) {
        return false;
    }
    for (std::size_t i = 0; i < parts.size(); ++i) {
        if (!glob(pattern_parts[i], to_lower(parts[i]))) {
            return false;
        }
    }
    if (pattern_slash == std::string_view::npos) {
        return true;
    }
    std::string_view prefix = pattern.substr(pattern_slash);
    std::string_view path = name_slash == std::string_view::npos ? "" : name.substr(name_slash);
    return path.starts_with(prefix) && (path.size() == prefix.size() || path[prefix.size()] == '/');
}

std::vector<CredentialEntry> find_credentials(const std::vector<CredentialEntry>& entries,
                                              std::string_view name) {
    std::vector<CredentialEntry> found;
    for (const CredentialEntry& entry : entries) {
        bool known = std::any_of(found.begin(), found.end(), [&](const CredentialEntry& other) {
            return other.credential == entry.credential && other.source == entry.source;
        });
        if (!known && matches(entry.pattern, name)) {
            found.push_back(entry);
        }
    }
    std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
        return a.pattern.size() > b.pattern.size();
    });
    return found;
}

}  // namespace skiff::images
