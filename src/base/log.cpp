#include "base/log.h"

#include <unistd.h>

#include <atomic>
#include <chrono>

#include "base/log_format.h"
#include "base/text.h"
#include "base/time.h"

namespace skiff::log {

static std::atomic<Level> g_level{Level::info};
static std::atomic<Format> g_format{Format::text};

void set_level(Level level) {
    g_level = level;
}

void set_format(Format format) {
    g_format = format;
}

Format format() {
    return g_format.load(std::memory_order_relaxed);
}

static constexpr std::string_view kQuiet = "--log-level=warn";
static constexpr std::string_view kJson = "--log-format=json";

std::vector<std::string> inherited_arguments() {
    std::vector<std::string> all;
    if (!enabled(Level::info)) {
        all.emplace_back(kQuiet);
    }
    if (format() == Format::json) {
        all.emplace_back(kJson);
    }
    return all;
}

bool take_argument(std::string_view argument) {
    if (argument == kQuiet) {
        set_level(Level::warn);
    } else if (argument == kJson) {
        set_format(Format::json);
    } else {
        return false;
    }
    return true;
}

bool enabled(Level level) {
    return level >= g_level.load(std::memory_order_relaxed);
}

Level parse_level(std::string_view text) {
    if (text == "debug") {
        return Level::debug;
    }
    if (text == "warn") {
        return Level::warn;
    }
    if (text == "error") {
        return Level::error;
    }
    return text == "critical" ? Level::critical : Level::info;
}

static std::string_view name_of(Level level) {
    switch (level) {
        case Level::debug:
            return "debug";
        case Level::info:
            return "info ";
        case Level::warn:
            return "warn ";
        case Level::error:
            return "error";
        case Level::critical:
            return "crit ";
    }
    return "?";
}

// In quotes, so that a line stays one line.
static void append_quoted(std::string& out, std::string_view value, Format format) {
    out += '"';
    for (char c : value) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (c == '\n') {
            out += "\\n";
        } else if (byte < 0x20) {
            out += format == Format::json ? fmt::format("\\u{:04x}", byte)
                                          : fmt::format("\\x{:02x}", byte);
        } else {
            out += c;
        }
    }
    out += '"';
}

// A value with blanks, quotes or control characters is quoted.
static void append_value(std::string& out, std::string_view value) {
    bool plain = !value.empty();
    for (char c : value) {
        plain = plain && c > ' ' && c != '"' && c != '=' && c != 0x7f;
    }
    if (plain) {
        out += value;
    } else {
        append_quoted(out, value, Format::text);
    }
}

static void append_json(std::string& out, std::string_view value) {
    append_quoted(out, bounded_utf8(value, value.size() * 3), Format::json);
}

std::string format_line(Format format, std::string_view at, Level level, std::string_view event,
                        std::initializer_list<Field> fields) {
    if (format == Format::text) {
        std::string line = fmt::format("{} {} {}", at, name_of(level), event);
        for (const Field& field : fields) {
            line += ' ';
            line += field.key;
            line += '=';
            append_value(line, field.value);
        }
        return line;
    }
    std::string line = R"({"ts":)";
    append_json(line, at);
    line += R"(,"level":)";
    append_json(line, trim(name_of(level)));
    line += R"(,"msg":)";
    append_json(line, event);
    for (const Field& field : fields) {
        line += ',';
        append_json(line, field.key);
        line += ':';
        append_json(line, field.value);
    }
    return line + '}';
}

void write(Level level, std::string_view event, std::initializer_list<Field> fields) {
    if (!enabled(level)) {
        return;
    }
    std::string line =
        format_line(format(), format_rfc3339_nano(SystemClock().wall_now()), level, event, fields) +
        '\n';
    // A log that cannot be written has nowhere to be reported.
    [[maybe_unused]] auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace skiff::log
