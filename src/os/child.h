// A foreign program that this process waits for, with all that it starts.
#pragma once

#include "os/process.h"

namespace skiff::os {

// Killed with its session and reaped when it was not waited for to the end. The program was started
// with Session::own. One thread at a time; destruction may block for up to a second, while the
// kernel ends a process that was just killed.
class SessionChild {
public:
    explicit SessionChild(Spawned spawned) : its_(std::move(spawned)) {}
    ~SessionChild();
    SessionChild(const SessionChild&) = delete;
    SessionChild& operator=(const SessionChild&) = delete;

    // Readable once it has ended.
    [[nodiscard]] int pidfd() const { return its_.pidfd.get(); }
    // With all of its session. Before reap(): until then the number is nobody else's.
    void kill();
    // Once it has ended; fails as os::reap().
    [[nodiscard]] Result<ProcessExit> reap();

private:
    Spawned its_;
    bool reaped_ = false;
};

}  // namespace skiff::os
