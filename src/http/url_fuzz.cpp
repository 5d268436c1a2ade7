#include "http/url.h"

#include <algorithm>

#include "base/fuzz.h"
#include "base/text.h"

namespace skiff::http {

static void check_url(const Url& url) {
    SKIFF_ASSERT(url.scheme == "http" || url.scheme == "https");
    SKIFF_ASSERT(!url.host.empty() && to_lower(url.host) == url.host);
    SKIFF_ASSERT(url.port != 0 && url.path.starts_with('/'));
    // What goes into a request line and a Host header.
    const std::string whole = url.authority() + url.target();
    SKIFF_ASSERT(
        std::ranges::none_of(
            whole, [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f; }),
        whole);
    const auto again = parse_url(url.str());
    SKIFF_ASSERT(again.has_value(), url.str());
    SKIFF_ASSERT(*again == url, url.str());
}

// The input: a URL, a zero byte, where it redirects to.
SKIFF_FUZZ(http_url) {
    fuzz::Input input(bytes);
    auto url = parse_url(input.part());
    if (!url) {
        fuzz::check_error(url.error());
        return;
    }
    check_url(*url);
    const std::string_view location = input.rest();
    const auto target = resolve_url(*url, location);
    if (target) {
        check_url(*target);
    } else {
        fuzz::check_error(target.error());
    }
    url->add_query("name", location);
    check_url(*url);
}

}  // namespace skiff::http
