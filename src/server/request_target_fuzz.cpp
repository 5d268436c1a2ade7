#include "server/request_target.h"

#include "base/fuzz.h"
#include "base/text.h"
#include "http/url.h"
#include "server/authorization.h"
#include "server/log_query.h"

namespace skiff::server {

static void check_log_query(const RequestTarget& target) {
    const WallTime now = std::chrono::sys_days(std::chrono::year(2026) / 11 / 25);
    const auto options = parse_log_query(target, now);
    if (!options) {
        fuzz::check_error(options.error());
        SKIFF_ASSERT(options.error().reason == "BadRequest" || options.error().reason == "Invalid");
        return;
    }
    SKIFF_ASSERT(options->tail_lines.value_or(0) >= 0);
    SKIFF_ASSERT(options->limit_bytes.value_or(1) >= 1);
}

SKIFF_FUZZ(server_request_target) {
    const auto target = parse_target(bytes);
    if (!target) {
        fuzz::check_error(target.error());
        return;
    }
    std::string again;
    for (const std::string& segment : target->segments) {
        SKIFF_ASSERT(!segment.empty() && segment != "." && segment != "..");
        SKIFF_ASSERT(segment.find_first_of("/\\") == std::string::npos);
        SKIFF_ASSERT(bounded_utf8(segment, segment.size()) == segment);
        again += "/" + http::percent_encode(segment);
    }
    again += again.empty() ? "/?" : "?";
    const auto back = parse_target(again + http::format_query(target->query));
    SKIFF_ASSERT(back && back->segments == target->segments && back->query == target->query, again);
    SKIFF_ASSERT(!attributes_of("GET", *target).subresources.empty());
    check_log_query(*target);
}

}  // namespace skiff::server
