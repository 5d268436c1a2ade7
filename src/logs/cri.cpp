#include "logs/cri.h"

#include <algorithm>

namespace skiff::logs {

// Takes the text up to the next blank off the front of `line`.
static std::string_view take_word(std::string_view& line) {
    std::size_t blank = line.find(' ');
    std::string_view word = line.substr(0, blank);
    line.remove_prefix(blank == std::string_view::npos ? line.size() : blank + 1);
    return word;
}

// The shape of RFC 3339; whether there is such a day is left to CriLine::time().
static bool looks_like_a_time(std::string_view text) {
    constexpr std::string_view kShape = "0000-00-00T00:00:00";
    auto fits = [](char wanted, char found) {
        return wanted == '0' ? found >= '0' && found <= '9' : found == wanted;
    };
    return text.size() > kShape.size() &&
           std::equal(kShape.begin(), kShape.end(), text.begin(), fits);
}

std::optional<CriLine> parse_cri_line(std::string_view line) {
    CriLine parsed;
    parsed.time_text = take_word(line);
    std::string_view stream = take_word(line);
    std::string_view tags = take_word(line);
    bool stream_known = stream == "stdout" || stream == "stderr";
    if (!looks_like_a_time(parsed.time_text) || !stream_known || tags.empty()) {
        return std::nullopt;
    }
    parsed.stream = stream == "stdout" ? CriLine::Stream::out : CriLine::Stream::err;
    // Tags are separated by ':'; the first one says whether the line is whole.
    parsed.part = tags.front() == 'P' ? CriLine::Part::partial : CriLine::Part::full;
    parsed.content = line;
    return parsed;
}

}  // namespace skiff::logs
