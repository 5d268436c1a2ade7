// `kubectl attach` to a container without a console: its log, from now on.
#pragma once

#include <memory>

#include "async/blocking.h"
#include "async/scope.h"
#include "logs/read.h"
#include "pods/ports.h"

namespace skiff::app {

// Whole lines, as they come into the log of `record`'s run. What its client sends goes nowhere.
// `request` has the log and is_running. The reading is a task of `scope`, which ends with the
// session. `pool` outlives the scope.
[[nodiscard]] std::unique_ptr<pods::AttachSession> attach_to_log(logs::ReadRequest request,
                                                                 const pods::AttachSpec& spec,
                                                                 async::Scope& scope,
                                                                 async::BlockingPool& pool);

}  // namespace skiff::app
