// `$(VAR)` references in command, args, env values and subPathExpr (contract row 25). Pure.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace skiff::pods {

using Variables = std::map<std::string, std::string>;

// Replaces $(NAME) where NAME is known; an unknown reference stays as written, "$$" becomes "$".
[[nodiscard]] std::string expand(std::string_view text, const Variables& variables);

// The same for subPathExpr: an unknown name, an absolute result, or one with ".." is refused with
// reason CreateContainerConfigError.
[[nodiscard]] Result<std::string> expand_sub_path(std::string_view text,
                                                  const Variables& variables);

}  // namespace skiff::pods
