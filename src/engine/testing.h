// For tests of this room: a real keeper as a child process, and an agent that talks to it.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "os/fd.h"
#include "os/process.h"
#include "wire/compile.h"
#include "wire/grant.h"
#include "wire/message.h"
#include "wire/runner_page.h"

namespace skiff::engine::testing {

// The artifact of a guest in build/guests, compiled once per process by `skiff-engine compile`.
struct Compiled {
    wire::CompileReport report;
    os::Fd artifact;
};
Compiled compile(const std::filesystem::path& module, std::vector<std::string> options = {});
const Compiled& guest(const std::string& name);

// A keeper in a folder of its own. Its destructor kills everything and removes the folder.
class KeeperProcess {
public:
    explicit KeeperProcess(std::vector<std::string> options = {});
    ~KeeperProcess();
    KeeperProcess(const KeeperProcess&) = delete;
    KeeperProcess& operator=(const KeeperProcess&) = delete;

    [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
    [[nodiscard]] std::string run_dir() const { return folder_ / "run"; }
    [[nodiscard]] pid_t pid() const { return spawned_.pid; }
    void kill();
    void wait_ended();

private:
    std::filesystem::path folder_;
    os::Spawned spawned_;
};

// The agent's side of the socket. Every wait fails the test after ten seconds.
class Agent {
public:
    explicit Agent(const KeeperProcess& keeper);

    // Prepares files and sends Start. The grant's log slots are made here.
    void start(const std::string& id, const std::string& guest_name, wire::Grant grant,
               wire::Start header = {});
    // The same with these descriptors behind the log's, for the grant to name: from kPassedFd on.
    void pass(std::vector<int> fds) { passed_ = std::move(fds); }
    static constexpr std::int32_t kPassedFd = 6;
    // When the latest Start went out, CLOCK_MONOTONIC in nanoseconds.
    [[nodiscard]] std::int64_t sent_ns() const { return sent_ns_; }
    void send(const wire::Message& message);
    wire::Message receive();
    // What the keeper holds of the container; invalid: nothing.
    os::Fd borrow(const std::string& id);
    template <typename T>
    T expect() {
        while (true) {
            wire::Message message = receive();
            if (auto* wanted = std::get_if<T>(&message)) {
                return std::move(*wanted);
            }
            skipped_.push_back(std::move(message));
        }
    }
    // What expect() passed over.
    [[nodiscard]] const std::vector<wire::Message>& skipped() const { return skipped_; }
    // Starts, waits for Started and Exited (or fails).
    wire::Exited run(const std::string& id, const std::string& guest_name, wire::Grant grant);
    // All that the container said, CRI stamps removed, in order; "stderr: " before stderr's lines.
    [[nodiscard]] std::string log_of(const std::string& id) const;
    [[nodiscard]] wire::PageView page_of(const std::string& id) const;

private:
    const KeeperProcess& keeper_;
    os::Fd socket_;
    std::int64_t sent_ns_ = 0;
    std::vector<wire::Message> skipped_;
    std::vector<int> passed_;
};

// A grant with nothing but arguments and an own range of ids.
wire::Grant plain_grant(std::vector<std::string> args);

}  // namespace skiff::engine::testing
