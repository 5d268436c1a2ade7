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
    SKIFF_ASSERT(parse_rfc3339(line->time_text) == line->time);
    const std::string again =
        fmt::format("{} {} {} {}", format_rfc3339_nano(line->time),
                    line->stream == CriLine::Stream::out ? "stdout" : "stderr",
                    line->part == CriLine::Part::full ? "F" : "P", line->content);
    const auto back = parse_cri_line(again);
    SKIFF_ASSERT(back && back->time == line->time && back->stream == line->stream);
    SKIFF_ASSERT(back->part == line->part && back->content == line->content);
}

}  // namespace skiff::logs
