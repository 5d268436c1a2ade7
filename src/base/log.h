// Logging: an event and its fields, never a sentence. log::info("pod started", log::kv("pod",
// key)).
//
// Levels by meaning: critical = the node stops serving; error = we failed a promise; warn = outside
// the expected flow; info = the golden path, at most 10 lines for one pod; debug = the rest.
// Secrets are never fields. Any thread may call; one line is written by one write(2) to stderr.
#pragma once

#include <fmt/format.h>

#include <initializer_list>
#include <string>
#include <string_view>

namespace skiff::log {

enum class Level { debug, info, warn, error, critical };

struct Field {
    std::string_view key;
    std::string value;
};

template <typename T>
Field kv(std::string_view key, const T& value) {
    return Field{key, fmt::format("{}", value)};
}

// Lines below `level` are dropped. The default is info.
void set_level(Level level);
[[nodiscard]] bool enabled(Level level);
// The level that `text` names ("debug", "info", …), else info.
[[nodiscard]] Level parse_level(std::string_view text);

void write(Level level, std::string_view event, std::initializer_list<Field> fields);

template <typename... F>
void debug(std::string_view event, const F&... fields) {
    if (enabled(Level::debug)) {
        write(Level::debug, event, {fields...});
    }
}
template <typename... F>
void info(std::string_view event, const F&... fields) {
    if (enabled(Level::info)) {
        write(Level::info, event, {fields...});
    }
}
template <typename... F>
void warn(std::string_view event, const F&... fields) {
    write(Level::warn, event, {fields...});
}
template <typename... F>
void error(std::string_view event, const F&... fields) {
    write(Level::error, event, {fields...});
}
template <typename... F>
void critical(std::string_view event, const F&... fields) {
    write(Level::critical, event, {fields...});
}

}  // namespace skiff::log
