#include "server/request_target.h"

#include "base/text.h"

namespace skiff::server {

namespace {

constexpr std::size_t kSegmentsMax = 32;
constexpr std::size_t kParametersMax = 256;

enum class Plus { is_plus, is_space };

Result<std::string> decode(std::string_view text, Plus plus) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '+' && plus == Plus::is_space) {
            out += ' ';
            continue;
        }
        if (text[i] != '%') {
            out += text[i];
            continue;
        }
        bool whole = text.size() - i > 2;
        int high = whole ? hex_digit(text[i + 1]) : -1;
        int low = whole ? hex_digit(text[i + 2]) : -1;
        if (high < 0 || low < 0) {
            return fail(Code::invalid, "bad percent-encoding");
        }
        out += static_cast<char>(high * 16 + low);
        i += 2;
    }
    return out;
}

Result<std::string> decode_segment(std::string_view text) {
    SKIFF_TRY(std::string segment, decode(text, Plus::is_plus));
    if (segment.empty() || segment == "." || segment == "..") {
        return fail(Code::invalid, "empty, '.' and '..' path segments are refused");
    }
    for (char c : segment) {
        auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f || c == '/' || c == '\\') {
            return fail(Code::invalid, "control characters and encoded slashes are refused");
        }
    }
    if (bounded_utf8(segment, segment.size()) != segment) {
        return fail(Code::invalid, "the path is no UTF-8");
    }
    return segment;
}

}  // namespace

std::optional<std::string> RequestTarget::find(std::string_view name) const {
    for (const auto& [key, value] : query) {
        if (key == name) {
            return value;
        }
    }
    return std::nullopt;
}

Result<RequestTarget> parse_target(std::string_view target) {
    RequestTarget parsed;
    std::size_t mark = target.find('?');
    std::string_view path = target.substr(0, mark);
    if (!path.starts_with('/') || path.find('#') != std::string_view::npos) {
        return fail(Code::invalid, "the path must begin with a slash");
    }
    path.remove_prefix(1);
    if (path.ends_with('/')) {
        path.remove_suffix(1);
        if (path.empty()) {
            return fail(Code::invalid, "empty path segments are refused");
        }
    }
    if (!path.empty()) {
        for (std::string_view part : split(path, '/')) {
            SKIFF_TRY(std::string segment, decode_segment(part));
            parsed.segments.push_back(std::move(segment));
        }
    }
    if (parsed.segments.size() > kSegmentsMax) {
        return fail(Code::invalid, "too many path segments");
    }
    if (mark == std::string_view::npos || mark + 1 == target.size()) {
        return parsed;
    }
    for (std::string_view pair : split(target.substr(mark + 1), '&')) {
        if (pair.empty()) {
            continue;
        }
        std::size_t equals = pair.find('=');
        SKIFF_TRY(std::string name, decode(pair.substr(0, equals), Plus::is_space));
        std::string value;
        if (equals != std::string_view::npos) {
            SKIFF_TRY(value, decode(pair.substr(equals + 1), Plus::is_space));
        }
        parsed.query.emplace_back(std::move(name), std::move(value));
        if (parsed.query.size() > kParametersMax) {
            return fail(Code::invalid, "too many query parameters");
        }
    }
    return parsed;
}

}  // namespace skiff::server
