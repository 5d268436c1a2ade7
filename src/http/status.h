// What an HTTP status that is no success means.
#pragma once

#include <optional>

#include "base/result.h"

namespace skiff::http {

// Where every server means the same by it (RFC 9110 §15): unauthenticated, denied, not_found, or
// unavailable for what may pass (429 and all of 5xx); nullopt: what it means is the caller's to
// say.
[[nodiscard]] std::optional<Code> code_of_status(int status);

}  // namespace skiff::http
