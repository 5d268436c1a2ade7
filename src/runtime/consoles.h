// Clients attached to containers (`kubectl attach`): pods::AttachSession over what console_files.h
// makes.
//
// While clients are attached to a console one task for each stream passes what the guest writes to
// all of them, as fast as the slowest reads; with the last client the FIFOs are closed, and the
// guest waits for nobody. Reactor thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "async/scope.h"
#include "async/task.h"
#include "os/fd.h"
#include "pods/ports.h"
#include "runtime/record.h"
#include "state/paths.h"

namespace skiff::runtime {

class Consoles {
public:
    // Of one container.
    static constexpr std::size_t kClientsMax = 16;
    // Of one client and stream, before the guest waits for it.
    static constexpr std::size_t kUnreadBytesMax = 128 << 10;

    // `stuck_max`: how long the others wait for a client who does not read before it is cut off.
    explicit Consoles(const state::Paths& paths, Duration stuck_max = std::chrono::minutes(1));
    ~Consoles();
    Consoles(const Consoles&) = delete;
    Consoles& operator=(const Consoles&) = delete;

    // The far end of a container's console, as it was made or as its keeper lent it; invalid when
    // the keeper has none. An input that was `once` and in use by an agent that is gone ends.
    void add(const StoredContainer& container, os::Fd far_end);
    [[nodiscard]] bool has(const std::string& container) const;
    // The container has ended: its clients read what is left of its output.
    void remove(const std::string& container);

    // Before a client sends to an input that is `once` for the first time: must be on disk when it
    // returns.
    using OnUse = std::function<void(const std::string& container)>;
    // Waits for the far end of a console that an agent before this one had made. Fails as
    // Runtime::attach().
    [[nodiscard]] async::Task<Result<std::unique_ptr<pods::AttachSession>>> attach(
        pods::AttachSpec spec, StoredContainer container, OnUse on_use, async::Scope& scope);

private:
    struct Console;
    struct Client;
    struct Audience;
    class Handle;
    using Held = std::shared_ptr<Console>;

    [[nodiscard]] Held known(const StoredContainer& container);
    [[nodiscard]] Result<void> open(const Held& console) const;
    [[nodiscard]] static async::Task<void> serve(std::shared_ptr<Audience> audience);
    [[nodiscard]] static async::Task<Result<void>> pass_all(std::shared_ptr<Audience> audience);
    [[nodiscard]] static async::Task<Result<void>> pass(std::shared_ptr<Audience> audience,
                                                        pods::OutputStream stream);
    [[nodiscard]] static async::Task<Result<void>> make_room(std::shared_ptr<Audience> audience,
                                                             pods::OutputStream stream);

    const state::Paths& paths_;
    Duration stuck_max_;
    std::map<std::string, Held> consoles_;
};

}  // namespace skiff::runtime
