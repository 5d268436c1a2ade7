// Compiled modules: made once by a jailed compiler, kept in `compiled/`, checked once per boot,
// handed out as open files.
//
// The key is the hash of everything that native code depends on. Beside each artifact lies
// `<key>.facts` with what the agent must know of the module and a MAC over the artifact: native
// code from this folder is executed, so only what this instance made itself is taken. What fails is
// quarantined and made anew.
//
// Compilers are few and modules hostile: what failed is not tried again before its back-off, what
// waits is served in the order of coming, but modules that used up a compiler's time or memory come
// after all others, and what nobody waits for any more leaves the queue.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "async/blocking.h"
#include "async/scope.h"
#include "async/task.h"
#include "base/random.h"
#include "os/cgroup.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/process.h"
#include "pods/ports.h"
#include "runtime/compile_failures.h"
#include "state/paths.h"
#include "wire/compile.h"

namespace skiff::runtime {

struct CompileSettings {
    std::filesystem::path engine_program;
    Duration time_max = std::chrono::minutes(5);
    Bytes memory_max;      // zero: the larger of a quarter of the machine and 2 GiB
    unsigned at_once = 0;  // zero: all cores but one, at least one
    bool wasi03 = true;    // false: modules of WASI 0.3 are refused
};

// An artifact that containers can start from.
struct OpenArtifact {
    pods::Artifact artifact;
    wire::ModuleFacts facts;
    os::Fd fd;  // read-only, its MAC was checked
};

// A module that went into an artifact.
struct SourceModule {
    std::string digest;  // "sha256:…"
    std::uint64_t bytes = 0;
    friend bool operator==(const SourceModule&, const SourceModule&) = default;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.digest, s.bytes);
    }
};

// What the cache has, as its facts say.
struct CachedArtifact {
    std::string key;
    std::string engine;
    std::vector<SourceModule> modules;  // what was plugged in comes after the first
    Bytes size;
};

class Artifacts {
public:
    Artifacts(CompileSettings settings, const state::Paths& paths, const os::CgroupTree& cgroups,
              async::Executor executor, async::BlockingPool& pool, Random& random);
    ~Artifacts();

    // Reads or makes the key of the MAC. Called once, before anything else.
    [[nodiscard]] Result<void> open();
    // What the keys of artifacts depend on besides the module.
    void set_engine(std::string build, std::string compatibility_key);

    // See pods::Runtime::compile(). A failure is returned again, without a try, until its back-off
    // (CompileFailures) is over. timeout: no compiler became free.
    [[nodiscard]] async::Task<Result<pods::Artifact>> compile(pods::CompileRequest request,
                                                              std::function<void()> compiling);
    // The artifact behind a key that compile() returned; opened and checked again after a restart.
    [[nodiscard]] async::Task<Result<std::shared_ptr<const OpenArtifact>>> find(std::string key);

    // Everything in the cache, of every engine.
    [[nodiscard]] async::Task<Result<std::vector<CachedArtifact>>> cached();
    // What drop() leaves alone.
    using Spared = std::set<std::string>;
    // Removes those of other engines than the present one, but for `in_use`. Returns how many.
    [[nodiscard]] async::Task<Result<std::size_t>> drop_stale(Spared in_use);
    // Removes `artifacts`, but for `in_use` and what is being made. Returns their size.
    [[nodiscard]] async::Task<Result<Bytes>> drop(std::vector<CachedArtifact> artifacts,
                                                  Spared in_use);

    // How many compilers may run at once on a machine of so many cores: one core stays free for
    // what runs, where there is more than one.
    [[nodiscard]] static unsigned at_once(unsigned cores) { return cores > 1 ? cores - 1 : 1; }

    // Ends the compilers that run.
    [[nodiscard]] async::Task<void> stop();

private:
    struct Job {
        async::Event done;
        async::Event compiling;  // set when no cached artifact was found
        std::optional<Result<std::shared_ptr<const OpenArtifact>>> result;
        std::size_t waiters = 0;
        // The last waiter left: a job that still waits for its turn gives up.
        bool left = false;
        async::Event enough;
        bool abandoned = false;  // it did
    };
    class Waiting;

    using Opened = std::shared_ptr<const OpenArtifact>;
    [[nodiscard]] async::Task<void> run(std::shared_ptr<Job> job, pods::CompileRequest request,
                                        std::string key);
    [[nodiscard]] async::Task<Result<Opened>> produce(std::shared_ptr<Job> job,
                                                      pods::CompileRequest request,
                                                      std::string key);
    [[nodiscard]] Result<pods::Artifact> accept(const OpenArtifact& opened) const;
    [[nodiscard]] async::Task<Result<Opened>> load(std::string key);
    [[nodiscard]] async::Task<Result<async::Semaphore::Permit>> take_turn(std::shared_ptr<Job> job,
                                                                          std::string key);
    [[nodiscard]] async::Task<Result<os::Fd>> open_input(pods::ModuleFile module);
    // The files of a request: the module, then what is plugged into it.
    [[nodiscard]] async::Task<Result<std::vector<os::Fd>>> open_inputs(
        const pods::CompileRequest& request);
    [[nodiscard]] async::Task<Result<Opened>> build(pods::CompileRequest request, std::string key);
    [[nodiscard]] os::SpawnSpec compiler_of(const pods::CompileRequest& request,
                                            const std::vector<os::Fd>& inputs, int output,
                                            int report) const;

    CompileSettings settings_;
    const state::Paths& paths_;
    const os::CgroupTree& cgroups_;
    async::BlockingPool& pool_;
    Random& random_;
    async::Scope scope_;
    async::Semaphore compilers_;
    std::string mac_key_;
    std::string engine_;
    std::map<std::string, Opened> open_;
    std::map<std::string, std::shared_ptr<Job>> jobs_;
    CompileFailures failures_;
    // Files whose digest was right, by digest: a module that fails is hashed once.
    std::map<std::string, os::FileStamp> proven_;
};

}  // namespace skiff::runtime
