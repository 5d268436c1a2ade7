#include "base/fuzz.h"
#include "base/text.h"

namespace skiff {

static std::string joined(const std::vector<std::string_view>& parts, char separator) {
    std::string text(parts.front());
    for (std::size_t i = 1; i < parts.size(); ++i) {
        text += separator;
        text += parts[i];
    }
    return text;
}

SKIFF_FUZZ(base_text) {
    SKIFF_ASSERT(base64_decode(base64_encode(bytes)) == bytes);
    if (auto decoded = base64_decode(bytes)) {
        SKIFF_ASSERT(decoded->size() <= bytes.size());
        SKIFF_ASSERT(base64_decode(base64_encode(*decoded)) == *decoded);
    }
    if (auto number = parse_int(bytes)) {
        SKIFF_ASSERT(parse_int(std::to_string(*number)) == *number);
    }
    if (auto number = parse_uint(bytes)) {
        SKIFF_ASSERT(parse_uint(std::to_string(*number)) == *number);
    }
    for (std::size_t most : {std::size_t{0}, std::size_t{3}, bytes.size(), 3 * bytes.size()}) {
        const std::string valid = bounded_utf8(bytes, most);
        SKIFF_ASSERT(valid.size() <= most);
        SKIFF_ASSERT(bounded_utf8(valid, valid.size()) == valid);
    }
    SKIFF_ASSERT(joined(split(bytes, '/'), '/') == bytes);
    SKIFF_ASSERT(trim(trim(bytes)) == trim(bytes));
    SKIFF_ASSERT(to_lower(bytes).size() == bytes.size());
    SKIFF_ASSERT(to_hex(bytes).size() == 2 * bytes.size());
}

}  // namespace skiff
