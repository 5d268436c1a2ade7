#include "logs/cri.h"

namespace skiff::logs {

// Takes the text up to the next blank off the front of `line`.
static std::string_view take_word(std::string_view& line) {
    std::size_t blank = line.find(' ');
    std::string_view word = line.substr(0, blank);
    line.remove_prefix(blank == std::string_view::npos ? line.size() : blank + 1);
    return word;
}

// YYYY-MM-DDT and more.
static bool looks_like_a_time(std::string_view text) {
    return text.size() >= 20 && text[4] == '-' && text[7] == '-' && text[10] == 'T';
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
