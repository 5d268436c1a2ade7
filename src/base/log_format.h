// How a line of the log looks.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"

namespace skiff::log {

enum class Format {
    text,  // TIME LEVEL EVENT key=value …
    json,  // {"ts":TIME,"level":LEVEL,"msg":EVENT,"key":"value",…}
};

// The default is text. Any thread may call.
void set_format(Format format);
[[nodiscard]] Format format();

// The arguments that make another program of Skiff log as this one does, and what such a program
// does with one of its arguments: false if it is none of these.
[[nodiscard]] std::vector<std::string> inherited_arguments();
[[nodiscard]] bool take_argument(std::string_view argument);

// One line without its end. `at` is RFC 3339. Whatever the values hold, it is one line, and JSON is
// valid UTF-8. Pure.
[[nodiscard]] std::string format_line(Format format, std::string_view at, Level level,
                                      std::string_view event, std::initializer_list<Field> fields);

}  // namespace skiff::log
