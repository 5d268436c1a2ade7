#include "images/challenge.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "images/limits.h"

namespace skiff::images {

namespace {

bool is_token_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("!#$%&'*+-.^_`|~/").find(c) != std::string_view::npos;
}

// Reads a challenge list left to right.
class Reader {
public:
    explicit Reader(std::string_view text) : text_(text) {}

    [[nodiscard]] bool done() const { return at_ >= text_.size(); }
    void skip(std::string_view characters) {
        while (!done() && characters.find(text_[at_]) != std::string_view::npos) {
            ++at_;
        }
    }
    void advance() { ++at_; }
    bool take(char c) {
        bool there = !done() && text_[at_] == c;
        at_ += there ? 1 : 0;
        return there;
    }
    std::string token() {
        std::size_t start = at_;
        while (!done() && is_token_char(text_[at_])) {
            ++at_;
        }
        return std::string(text_.substr(start, at_ - start));
    }
    std::string value() {
        if (!take('"')) {
            return token();
        }
        std::string out;
        while (!done() && text_[at_] != '"') {
            if (text_[at_] == '\\' && at_ + 1 < text_.size()) {
                ++at_;
            }
            out += text_[at_++];
        }
        (void)take('"');
        return out;
    }

private:
    std::string_view text_;
    std::size_t at_ = 0;
};

bool is_address(std::string_view host) {
    return host.starts_with('[') || host.find_first_not_of("0123456789.") == std::string_view::npos;
}

// Names below which unrelated parties register: no owner can be told from them. Two labels whose
// first is short are taken for such as well (co.uk, com.br).
bool is_shared_suffix(const std::vector<std::string_view>& labels) {
    constexpr std::array<std::string_view, 10> kShared = {
        "github.io",   "gitlab.io",     "amazonaws.com", "azurecr.io",     "azurewebsites.net",
        "appspot.com", "herokuapp.com", "pages.dev",     "cloudfront.net", "workers.dev"};
    if (labels.size() < 2) {
        return true;
    }
    if (labels.size() > 2) {
        return false;
    }
    std::string both = std::string(labels[0]) + "." + std::string(labels[1]);
    bool short_second = labels[0].size() <= 3 && labels[1].size() == 2;
    return short_second || std::find(kShared.begin(), kShared.end(), both) != kShared.end();
}

}  // namespace

std::vector<Challenge> parse_challenges(std::string_view header) {
    std::vector<Challenge> out;
    Reader reader(header.substr(0, 8192));
    while (!reader.done()) {
        reader.skip(" \t,");
        std::string word = reader.token();
        if (word.empty()) {
            reader.advance();
            continue;
        }
        reader.skip(" \t");
        if (reader.take('=')) {
            reader.skip(" \t");
            std::string value = reader.value();
            if (!out.empty()) {
                out.back().parameters.emplace(to_lower(word), std::move(value));
            }
        } else if (out.size() == kChallengesMax) {
            break;
        } else {
            out.push_back(Challenge{to_lower(word), {}});
        }
    }
    return out;
}

bool realm_may_see_credentials(const http::Url& registry, const http::Url& realm) {
    if (registry.scheme != "https") {
        return registry.origin() == realm.origin();
    }
    if (realm.scheme != "https") {
        return false;
    }
    if (registry.host == realm.host) {
        return true;
    }
    // "example.com." has one label more than it has names: owners are not told from such hosts.
    if (is_address(registry.host) || is_address(realm.host) || realm.host.ends_with('.')) {
        return false;
    }
    auto a = split(registry.host, '.');
    auto b = split(realm.host, '.');
    std::vector<std::string_view> common;
    while (!a.empty() && !b.empty() && a.back() == b.back()) {
        common.insert(common.begin(), a.back());
        a.pop_back();
        b.pop_back();
    }
    return !is_shared_suffix(common);
}

}  // namespace skiff::images
