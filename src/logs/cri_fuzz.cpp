#include "logs/cri.h"

#include "base/fuzz.h"

namespace skiff::logs {

SKIFF_FUZZ(logs_cri) {
    const auto line = parse_cri_line(bytes);
    if (!line) {
        return;
    }
    SKIFF_ASSERT(bytes.starts_with(line->time_text));
    SKIFF_ASSERT(bytes.ends_with(line->content));
    const std::string again = fmt::format(
        "{} {} {} {}", line->time_text, line->stream == CriLine::Stream::out ? "stdout" : "stderr",
        line->part == CriLine::Part::full ? "F" : "P", line->content);
    const auto back = parse_cri_line(again);
    SKIFF_ASSERT(back && back->time_text == line->time_text && back->stream == line->stream);
    SKIFF_ASSERT(back->part == line->part && back->content == line->content);
}

}  // namespace skiff::logs
