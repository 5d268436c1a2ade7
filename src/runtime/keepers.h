// The keepers of this instance: started, found again, listened to, replaced.
//
// A keeper belongs to one build of skiff-engine; several run side by side after an upgrade. Each
// has one task here that holds its connection, passes on what it says, reconnects when the
// connection is lost and reports its death only when its process is proved gone.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "async/scope.h"
#include "async/task.h"
#include "os/cgroup.h"
#include "os/process.h"
#include "runtime/keeper_link.h"
#include "state/paths.h"

namespace skiff::runtime {

struct KeeperSettings {
    std::filesystem::path engine_program;  // skiff-engine
    // die: the keeper ends its runners and itself when this process is gone (`skiff run`).
    os::OnParentDeath lifetime = os::OnParentDeath::live_on;
    Duration start_max = std::chrono::seconds(10);
};

// Told on the reactor thread.
class KeeperEvents {
public:
    virtual ~KeeperEvents() = default;
    virtual void on_keeper_message(const std::string& build, const wire::Message& message) = 0;
    // The answer to Lend; invalid: the keeper has no console of that container.
    virtual void on_console_lent(const std::string& container, os::Fd far_end) = 0;
    // The keeper's process is gone for good; its runners may live.
    virtual void on_keeper_gone(const std::string& build) = 0;
};

class Keepers {
public:
    Keepers(KeeperSettings settings, const state::Paths& paths, const os::CgroupTree& cgroups,
            async::Executor executor, KeeperEvents& events);
    ~Keepers();

    // Asks skiff-engine for its build, then connects to every keeper whose socket lies in the
    // run-dir. When this returns, each of them has told all it knows (Exited and Running were
    // passed to events), or is proved dead, or stays silent until `deadline`. Keepers of other
    // builds are asked to end with their last runner.
    [[nodiscard]] async::Task<Result<void>> connect_all(SteadyTime deadline);
    // The same without asking skiff-engine, which may be gone: to end what runs.
    [[nodiscard]] async::Task<Result<void>> connect_running(SteadyTime deadline);
    // The build whose keeper takes new containers; starts it if it does not run. Concurrent callers
    // join.
    [[nodiscard]] async::Task<Result<std::string>> ensure_current();
    // Sends to a keeper that is connected; unavailable otherwise.
    [[nodiscard]] async::Task<Result<void>> send(std::string build, wire::Message message,
                                                 std::vector<int> fds);
    // A message whose loss does no harm (Forget, Stop of something that ended).
    void post(const std::string& build, wire::Message message);
    // Whether a keeper of this build is known and not proved dead.
    [[nodiscard]] bool exists(const std::string& build) const;
    [[nodiscard]] const std::string& current_build() const { return current_build_; }
    // How many are known and not proved dead.
    [[nodiscard]] std::size_t size() const;
    // Of the current engine: part of the artifacts' key. Empty before connect_all().
    [[nodiscard]] const std::string& compatibility_key() const { return compatibility_key_; }

    // What the current engine offers: "wasmtime", "pulley", "wasmi".
    [[nodiscard]] const std::vector<std::string>& runtimes() const { return runtimes_; }

    // Tells every keeper to kill all and end, and waits for it; kills those that do not.
    [[nodiscard]] async::Task<Result<void>> shut_down_all();
    // Drops the connections; keepers and runners go on.
    [[nodiscard]] async::Task<void> stop();

private:
    struct Keeper {
        std::string build;
        std::filesystem::path socket;
        std::shared_ptr<KeeperLink> link;  // null while not connected
        std::optional<os::ProcessIdentity> process;
        os::Fd pidfd;
        async::Event
            listed;  // set while connected, once the first Running was complete; and once gone
        bool gone = false;
    };

    [[nodiscard]] async::Task<void> serve(std::shared_ptr<Keeper> keeper);
    [[nodiscard]] async::Task<Result<void>> connect(std::shared_ptr<Keeper> keeper);
    [[nodiscard]] async::Task<void> listen(std::shared_ptr<Keeper> keeper);
    [[nodiscard]] async::Task<void> send_quietly(std::string build, wire::Message message);
    [[nodiscard]] async::Task<Result<void>> start_current();
    // A start that is nobody's own; wait_started() tells how it went.
    [[nodiscard]] async::Task<void> start_for_all();
    [[nodiscard]] async::Task<Result<void>> wait_started();
    [[nodiscard]] async::Task<Result<void>> read_build(SteadyTime deadline);
    [[nodiscard]] Result<os::Spawned> spawn_keeper(const Keeper& keeper);
    // Connects to the keeper that was just spawned, or to another of its build that had the lock.
    [[nodiscard]] async::Task<Result<void>> connect_spawned(std::shared_ptr<Keeper> keeper,
                                                            os::Spawned& child);
    // `why`: how the latest connect() failed.
    [[nodiscard]] static bool is_dead(const Keeper& keeper, const Error& why);
    void remember(Keeper& keeper);
    void record(const std::string& build, const os::ProcessIdentity& identity);
    // Of a keeper that is proved dead: removes its record and its socket.
    void forget(Keeper& keeper);
    std::shared_ptr<Keeper> add(const std::string& build);

    KeeperSettings settings_;
    const state::Paths& paths_;
    const os::CgroupTree& cgroups_;
    KeeperEvents& events_;
    async::Scope scope_;
    std::map<std::string, std::shared_ptr<Keeper>> keepers_;
    std::string current_build_;
    std::string compatibility_key_;
    std::vector<std::string> runtimes_;
    bool starting_ = false;
    async::Event start_done_;
    std::optional<Error> start_error_;
};

}  // namespace skiff::runtime
