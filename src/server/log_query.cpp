#include "server/log_query.h"

#include "base/text.h"

namespace skiff::server {

namespace {

tl::unexpected<Error> unreadable() {
    return fail_because(Code::invalid, "BadRequest", R"({{"message": "Unable to decode query."}})");
}

tl::unexpected<Error> not_allowed() {
    return fail_because(Code::invalid, "Invalid", R"({{"message": "Invalid request."}})");
}

// The API machinery's rule: only absence, "false" and "0" are false.
bool parse_flag(const RequestTarget& target, std::string_view name) {
    auto value = target.find(name);
    return value && to_lower(*value) != "false" && *value != "0";
}

// An empty value is absent, as for the API's optional integers.
Result<std::optional<std::int64_t>> parse_number(const RequestTarget& target,
                                                 std::string_view name) {
    auto text = target.find(name);
    if (!text || text->empty()) {
        return std::nullopt;
    }
    auto number = parse_int(*text);
    if (!number) {
        return unreadable();
    }
    return number;
}

}  // namespace

Result<pods::LogOptions> parse_log_query(const RequestTarget& target, WallTime now) {
    pods::LogOptions options;
    options.follow = parse_flag(target, "follow");
    options.previous = parse_flag(target, "previous");
    options.timestamps = parse_flag(target, "timestamps");
    SKIFF_TRY(options.tail_lines, parse_number(target, "tailLines"));
    SKIFF_TRY(options.limit_bytes, parse_number(target, "limitBytes"));
    SKIFF_TRY(auto since_seconds, parse_number(target, "sinceSeconds"));
    // What old clients send; "all" is the same as nothing.
    if (auto tail = target.find("tail"); tail && !tail->empty()) {
        options.tail_lines.reset();
        if (*tail != "all") {
            SKIFF_TRY(options.tail_lines, parse_number(target, "tail"));
        }
    }
    if (auto text = target.find("sinceTime"); text && !text->empty()) {
        options.since = parse_rfc3339(*text);
        if (!options.since) {
            return unreadable();
        }
    }
    bool negative = (options.tail_lines && *options.tail_lines < 0) ||
                    (options.limit_bytes && *options.limit_bytes < 1) ||
                    (since_seconds && *since_seconds < 1);
    if (negative || (since_seconds && options.since)) {
        return not_allowed();
    }
    // Split streams are an alpha feature that is off.
    auto stream = target.find("stream");
    if (stream && !stream->empty() && *stream != "All") {
        return not_allowed();
    }
    if (since_seconds) {
        constexpr std::int64_t kSecondsMax = std::int64_t{200} * 365 * 24 * 3600;
        options.since = now - std::chrono::seconds(std::min(*since_seconds, kSecondsMax));
    }
    return options;
}

}  // namespace skiff::server
