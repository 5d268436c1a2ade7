// Commands in containers that run: second runners beside a container's own.
//
// A session is a runner that the keeper starts as any other, under an id that no container has. It
// joins the namespaces of the container's process, which this agent opens when that process is
// proved to be the recorded one. It has no record on disk: with the agent its client goes, too, so
// the next agent ends what it finds (take_running() by the keeper, end_strangers() without one).
//
// Reactor thread only.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "async/blocking.h"
#include "base/random.h"
#include "os/cgroup.h"
#include "os/file.h"
#include "pods/ports.h"
#include "runtime/artifacts.h"
#include "runtime/keepers.h"
#include "runtime/record.h"
#include "state/paths.h"

namespace skiff::runtime {

class Execs {
public:
    static constexpr std::size_t kSessionsMax = 128;
    static constexpr std::size_t kSessionsOfContainerMax = 16;

    struct Parts {
        const state::Paths& paths;
        async::BlockingPool& pool;
        Random& random;
        std::shared_ptr<const os::CgroupTree> cgroups;
        Keepers& keepers;
        Artifacts& artifacts;
    };
    // `toolbox_folder` holds toolbox.wasm and toolbox-component.wasm; empty: there is no toolbox.
    // All of `parts` outlives this object.
    Execs(std::filesystem::path toolbox_folder, const Parts& parts);
    ~Execs();
    Execs(const Execs&) = delete;
    Execs& operator=(const Execs&) = delete;

    // Whether this is the id of a session and not of a container.
    [[nodiscard]] static bool is_session(std::string_view id);

    // The artifact that a command runs from, compiled if need be.
    [[nodiscard]] async::Task<Result<std::shared_ptr<const OpenArtifact>>> artifact_for(
        pods::ExecSpec spec, std::string handler);
    // Starts a session in the container, which runs. The keeper is the one that
    // Keepers::ensure_current() has named.
    struct Start {
        pods::ExecSpec spec;
        StoredContainer container;
        StoredGrant grant;
        std::shared_ptr<const OpenArtifact> artifact;
        std::string keeper;
    };
    [[nodiscard]] async::Task<Result<std::unique_ptr<pods::ExecSession>>> start(Start start);
    // A while after it is called, compiles the toolbox for the engine that pods have unless they
    // choose another, if that was not done: the first command need not wait for it.
    [[nodiscard]] async::Task<void> prepare_toolbox();
    // Digests of the toolbox's modules, as far as they were used: in no image, and yet not stale.
    [[nodiscard]] std::set<std::string> toolbox_modules() const;

    // What keepers say of sessions. take() is false for what is about something else.
    [[nodiscard]] bool take(const std::string& build, const wire::Message& message);
    void take_running(const std::string& build, const std::string& id);
    // The keeper has told all that runs.
    void settle_unlisted(const std::string& build, const std::set<std::string>& listed);
    void on_keeper_gone(const std::string& build);

    // Kills the container's sessions.
    void end_sessions(const std::string& container);
    // Until none of them is left. Fails with timeout.
    [[nodiscard]] async::Task<Result<void>> wait_ended(std::string container, SteadyTime deadline);
    // Kills what is in the container's cgroup and not its own process: sessions of an agent that
    // is gone, whose keeper is gone as well.
    void end_strangers(const StoredContainer& container) const;

private:
    struct Session;
    class Handle;
    using Held = std::shared_ptr<Session>;

    [[nodiscard]] Held find(const std::string& id) const;
    [[nodiscard]] Result<Held> add(const StoredContainer& container, const std::string& keeper);
    [[nodiscard]] async::Task<Result<void>> order(Held session, const Start& start);
    void kill(const Held& session);
    void finish(const Held& session, const wire::Exited& exited);
    void lose(const Held& session);
    void remove(const Held& session);
    [[nodiscard]] async::Task<Result<pods::ModuleFile>> toolbox_for(std::string handler);
    [[nodiscard]] async::Task<Result<std::shared_ptr<const OpenArtifact>>> compile(
        pods::CompileRequest request);

    std::filesystem::path toolbox_folder_;
    const state::Paths& paths_;
    async::BlockingPool& pool_;
    Random& random_;
    std::shared_ptr<const os::CgroupTree> cgroups_;
    Keepers& keepers_;
    Artifacts& artifacts_;
    std::map<std::string, Held> sessions_;
    std::uint64_t next_request_ = 1;
    // The toolbox's files by name, as they were when they were hashed.
    struct Known {
        os::FileStamp stamp;
        pods::ModuleFile module;
    };
    std::map<std::string, Known> toolbox_;
};

// The grant of a command: the container's, for other arguments and streams. Pure; descriptors are
// numbered from wire::kFirstFreeFd: namespaces (mounts, network, host name, and users where the
// container has mapped ids), then stdin, stdout, stderr where the specification has them.
[[nodiscard]] Result<wire::Grant> exec_grant(const pods::ExecSpec& spec, const StoredGrant& stored,
                                             const OpenArtifact& artifact, const std::string& id);

// For a container's start and end. A grant that cannot be kept costs commands and no container.
void store_grant(const state::Paths& paths, const ContainerId& id, const StoredGrant& grant);
[[nodiscard]] Result<StoredGrant> load_grant(const state::Paths& paths, const ContainerId& id);

// What commands of a container are looked up in.
[[nodiscard]] Result<pods::Image> image_of_grant(const StoredGrant& stored);

}  // namespace skiff::runtime
