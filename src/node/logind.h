// systemd-logind, where there is one: it tells that the machine goes down, and waits while we hold
// it back (contract row 64). Over the system bus, by libsystemd.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "async/task.h"
#include "base/result.h"
#include "base/time.h"
#include "os/fd.h"

struct sd_bus;
struct sd_bus_message;
struct sd_bus_slot;

namespace skiff::node {

class Logind {
public:
    // The bus at `address` ("unix:path=/x"); empty: the machine's. Blocks for at most two seconds a
    // call: for the pool. Fails with unavailable where no bus or no logind answers.
    [[nodiscard]] static Result<std::unique_ptr<Logind>> connect(const std::string& address);
    ~Logind();
    Logind(const Logind&) = delete;
    Logind& operator=(const Logind&) = delete;

    // How long logind waits for those who hold a shutdown back (InhibitDelayMaxSec).
    [[nodiscard]] Duration delay_max() const { return delay_max_; }
    // From here on a shutdown waits for let_go(), at most delay_max(). Again is fine. Blocks as
    // connect().
    [[nodiscard]] Result<void> hold_back();
    void let_go() { lock_ = os::Fd(); }

    enum class Change {
        begins,      // the machine goes down
        called_off,  // it does not
    };
    // The next of them; none is lost between calls. Reactor thread. Fails with unavailable when the
    // bus has gone.
    [[nodiscard]] async::Task<Result<Change>> next();

private:
    struct Unref {
        void operator()(sd_bus* bus) const;
        void operator()(sd_bus_slot* slot) const;
    };
    explicit Logind(std::unique_ptr<sd_bus, Unref> bus) : bus_(std::move(bus)) {}
    [[nodiscard]] Result<void> listen();
    static int on_prepare(sd_bus_message* message, void* self, void* error);

    std::unique_ptr<sd_bus, Unref> bus_;
    std::unique_ptr<sd_bus_slot, Unref> match_;
    std::deque<Change> changes_;
    Duration delay_max_{};
    os::Fd lock_;
};

}  // namespace skiff::node
