#include "os/child.h"

#include <signal.h>

namespace skiff::os {

constexpr int kReapWaitMs = 1000;

SessionChild::~SessionChild() {
    if (reaped_) {
        return;
    }
    kill();
    if (wait_ended(its_.pidfd.get(), kReapWaitMs)) {
        (void)os::reap(its_.pidfd.get());
    }
}

void SessionChild::kill() {
    ::kill(-its_.pid, SIGKILL);
}

Result<ProcessExit> SessionChild::reap() {
    SKIFF_TRY(auto exit, os::reap(its_.pidfd.get()));
    reaped_ = exit.has_value();
    return exit.value_or(ProcessExit{});
}

}  // namespace skiff::os
