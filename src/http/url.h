// URLs of http and https: parse, compare origins, resolve a redirect. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace skiff::http {

// An absolute http or https URL without user information and fragment.
struct Url {
    std::string scheme;      // "http" or "https"
    std::string host;        // lower case; an IPv6 address keeps its brackets
    std::uint16_t port = 0;  // never 0 after parse
    std::string path = "/";  // still percent-encoded, starts with a slash
    std::string query;       // still percent-encoded, without the question mark

    // "https://host:port": what credentials and connections belong to.
    [[nodiscard]] std::string origin() const;
    // "host:port", the port left out where it is the scheme's own.
    [[nodiscard]] std::string authority() const;
    // The whole URL.
    [[nodiscard]] std::string str() const;
    // path, and "?query" if there is one.
    [[nodiscard]] std::string target() const;
    // Appends "name=value", both percent-encoded.
    void add_query(std::string_view name, std::string_view value);

    friend bool operator==(const Url&, const Url&) = default;
};

// Fails with Code::invalid: another scheme, no host, user information, control characters, too
// long.
[[nodiscard]] Result<Url> parse_url(std::string_view text);
// Resolves `reference` (a Location header: absolute or relative) against `base`. Fails as
// parse_url.
[[nodiscard]] Result<Url> resolve_url(const Url& base, std::string_view reference);
// Everything but RFC 3986's unreserved characters as %XX.
[[nodiscard]] std::string percent_encode(std::string_view text);
// "a=b&c=d", percent-encoded: query strings and form bodies.
[[nodiscard]] std::string format_query(
    const std::vector<std::pair<std::string, std::string>>& fields);

}  // namespace skiff::http
