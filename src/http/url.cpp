#include "http/url.h"

#include <curl/curl.h>

#include <memory>

#include "base/text.h"

namespace skiff::http {

namespace {

constexpr std::size_t kUrlBytesMax = 16384;

struct CurlUrlDeleter {
    void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using CurlUrl = std::unique_ptr<CURLU, CurlUrlDeleter>;

std::string part(CURLU* url, CURLUPart what, unsigned flags) {
    char* text = nullptr;
    if (curl_url_get(url, what, &text, flags) != CURLUE_OK) {
        return {};
    }
    std::string copy = text;
    curl_free(text);
    return copy;
}

bool has_control(std::string_view text) {
    for (char c : text) {
        auto byte = static_cast<unsigned char>(c);
        if (byte <= 0x20 || byte == 0x7f) {
            return true;
        }
    }
    return false;
}

Result<Url> take_apart(CURLU* handle, std::string_view text) {
    Url url;
    url.scheme = part(handle, CURLUPART_SCHEME, 0);
    if (url.scheme != "http" && url.scheme != "https") {
        return fail(Code::invalid, "URL {:?} is neither http nor https", bounded_utf8(text, 256));
    }
    if (!part(handle, CURLUPART_USER, 0).empty() || !part(handle, CURLUPART_PASSWORD, 0).empty()) {
        return fail(Code::invalid, "URL with user information");
    }
    url.host = to_lower(part(handle, CURLUPART_HOST, 0));
    auto port = parse_port(part(handle, CURLUPART_PORT, CURLU_DEFAULT_PORT));
    if (url.host.empty() || !port) {
        return fail(Code::invalid, "URL {:?} has no usable host and port", bounded_utf8(text, 256));
    }
    url.port = *port;
    url.path = part(handle, CURLUPART_PATH, 0);
    if (url.path.empty()) {
        url.path = "/";
    }
    url.query = part(handle, CURLUPART_QUERY, 0);
    return url;
}

Result<Url> set_and_take(CURLU* handle, std::string_view text) {
    if (text.size() > kUrlBytesMax || has_control(text)) {
        return fail(Code::invalid, "URL too long or with blanks or control characters");
    }
    std::string copy(text);
    CURLUcode code = curl_url_set(handle, CURLUPART_URL, copy.c_str(), 0);
    if (code != CURLUE_OK) {
        return fail(Code::invalid, "URL {:?}: {}", bounded_utf8(text, 256),
                    curl_url_strerror(code));
    }
    return take_apart(handle, text);
}

}  // namespace

std::string Url::origin() const {
    return fmt::format("{}://{}:{}", scheme, host, port);
}

std::string Url::authority() const {
    bool usual = port == (scheme == "https" ? 443 : 80);
    return usual ? host : fmt::format("{}:{}", host, port);
}

std::string Url::target() const {
    return query.empty() ? path : path + "?" + query;
}

std::string Url::str() const {
    return scheme + "://" + authority() + target();
}

void Url::add_query(std::string_view name, std::string_view value) {
    if (!query.empty()) {
        query += '&';
    }
    query += percent_encode(name) + "=" + percent_encode(value);
}

Result<Url> parse_url(std::string_view text) {
    CurlUrl handle(curl_url());
    return set_and_take(handle.get(), text);
}

Result<Url> resolve_url(const Url& base, std::string_view reference) {
    CurlUrl handle(curl_url());
    SKIFF_TRY([[maybe_unused]] Url known, set_and_take(handle.get(), base.str()));
    // With a URL set already, curl resolves a relative one against it.
    return set_and_take(handle.get(), reference);
}

std::string percent_encode(std::string_view text) {
    constexpr char kDigits[] = "0123456789ABCDEF";
    std::string out;
    out.reserve(text.size());
    for (char c : text) {
        auto byte = static_cast<unsigned char>(c);
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || c == '~';
        if (plain) {
            out += c;
        } else {
            out += '%';
            out += kDigits[byte >> 4];
            out += kDigits[byte & 15];
        }
    }
    return out;
}

std::string format_query(const std::vector<std::pair<std::string, std::string>>& fields) {
    std::string out;
    for (const auto& [name, value] : fields) {
        if (!out.empty()) {
            out += '&';
        }
        out += percent_encode(name) + "=" + percent_encode(value);
    }
    return out;
}

}  // namespace skiff::http
