// Files of variables that a container writes for those after it (`env[].valueFrom.fileKeyRef`,
// contract row 68, KEP-3721). Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace skiff::pods {

// The value of the first line `key='value'` of `text`, nullopt when there is none or it is empty.
// A value stands in single quotes and may have several lines; nothing in it is expanded. Blank
// lines, lines that begin with `#`, blanks before a name and a comment after the closing quote are
// passed over; blanks after `=` make the value empty. Anything else before the key was found is
// invalid, and the message names the line.
[[nodiscard]] Result<std::optional<std::string>> find_in_env_file(std::string_view text,
                                                                  std::string_view key);

}  // namespace skiff::pods
