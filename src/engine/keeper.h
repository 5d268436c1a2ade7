// The keeper: makes what all runners share once, then only forks, watches and reaps. One thread.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/child.h"
#include "engine/connection.h"
#include "engine/runner.h"
#include "os/fd.h"

namespace skiff::engine {

struct KeeperSettings {
    std::string run_dir;
    Lifetime lifetime = Lifetime::independent;
    // After this many starts the keeper executes itself anew, so that not all runners of a
    // machine's life share one address layout. 0: never.
    std::uint64_t starts_max = 1000;
    // The state of a predecessor in the same process, or -1.
    int resume_fd = -1;
};

// Reads nothing that could be secret: a Start is a small header, the grant a descriptor that only
// the child reads. What ends is recorded on disk before any agent is told.
class Keeper {
public:
    // Makes the engine, the filters and the socket. Fails with Code::exists when another keeper of
    // this build serves the same folder.
    [[nodiscard]] static Result<std::unique_ptr<Keeper>> create(const KeeperSettings& settings);

    // Serves until the last runner has ended after Shutdown, or until the parent is gone
    // (Lifetime::with_keeper).
    [[nodiscard]] Result<void> run();

private:
    static constexpr std::size_t kChildrenMax = 4096;
    static constexpr std::size_t kExitsMax = 4096;
    static constexpr std::size_t kConnectionsMax = 16;
    // Nothing has happened for so long: time to fork the next runner ahead of its start.
    static constexpr int kQuietMs = 10;

    explicit Keeper(KeeperSettings settings) : settings_(std::move(settings)) {}
    Result<void> set_up();
    Result<void> take_over(int state_fd);
    void execute_anew();
    KeeperState state() const;

    void poll_once();
    int poll_timeout_ms() const;
    bool is_building() const;
    bool wants_spare() const;
    void accept_agents();
    void serve(std::size_t connection);
    void drop(std::size_t connection, const Error& error);
    void handle(Connection& from, Packet packet);
    void on(Connection& from, const wire::Hello& hello);
    void on(Connection& from, const wire::Start& start, std::vector<os::Fd> fds);
    void on(const wire::Stop& stop);
    void on(const wire::Kill& kill);
    void on(Connection& from, const wire::List& list);
    void on(Connection& from, const wire::Lend& lend);
    void on(const wire::Forget& forget);
    void on(const wire::Shutdown& shutdown);
    void broadcast(const wire::Message& message);

    Result<void> start(const wire::Start& start, std::vector<os::Fd> fds);
    // A runner and the socket that takes its order and brings its report.
    struct Spare {
        pid_t pid = -1;
        os::Fd socket;
    };
    Result<Spare> order_runner(const std::vector<os::Fd>& fds, int stop_fd);
    Result<Spare> fork_runner();
    pid_t fork_child(int socket);
    void keep_spare();
    void read_report(Child& child);
    void reap();
    void bury(Child child, int wait_status);
    void signal_stop(const Child& child, std::chrono::milliseconds grace);
    // Empty when it cannot be read.
    [[nodiscard]] std::string page_of(const Child& child) const;
    void kill(Child& child, Intent intent);
    void kill_overdue();
    void kill_all();

    KeeperSettings settings_;
    std::optional<RunnerParts> parts_;
    os::Fd lock_;
    os::Fd listener_;
    os::Fd signals_;
    os::Fd parent_;
    os::Fd own_pid_namespace_;
    std::vector<std::unique_ptr<Connection>> connections_;
    std::map<std::string, Child> children_;  // by container id
    std::vector<wire::Exited> exits_;        // not forgotten yet
    // Waits for the next start. Forked while it is quiet, so that a burst forks no more than it
    // needs; after a failure not before the next start: a machine in trouble gets no loop of forks.
    std::optional<Spare> spare_;
    bool spare_wanted_ = true;
    std::uint64_t starts_ = 0;
    std::uint64_t executions_ = 0;
    bool draining_ = false;
    bool ending_ = false;
};

}  // namespace skiff::engine
