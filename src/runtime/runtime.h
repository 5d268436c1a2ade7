// The Runtime port of pods over keepers: containers as processes of `skiff-engine`.
//
// This object may be destroyed, or its process killed, at any instruction: what runs goes on, and
// the next object made on the same folders knows it again. A container's record is on disk before
// the keeper hears of it, its end before the keeper may forget it. Nothing is started a second time
// before the first is proved gone.
//
// Reactor thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "async/blocking.h"
#include "async/scope.h"
#include "base/random.h"
#include "base/time.h"
#include "os/cgroup.h"
#include "pods/ports.h"
#include "runtime/artifacts.h"
#include "runtime/consoles.h"
#include "runtime/exec.h"
#include "runtime/keepers.h"
#include "runtime/record.h"
#include "runtime/start_plan.h"
#include "state/id_ranges.h"
#include "state/instance.h"

namespace skiff::runtime {

struct RuntimeSettings {
    std::filesystem::path engine_program;  // skiff-engine
    // Absolute cgroup path; empty: below the group this process was started in.
    std::string cgroup_root;
    LogSettings logs;
    // die: keepers and containers end with this process (`skiff run`).
    os::OnParentDeath lifetime = os::OnParentDeath::live_on;
    Duration compile_time_max = std::chrono::minutes(5);
    bool wasi03 = true;             // components of WASI 0.3 are run
    Bytes compile_memory_max;       // zero: the larger of a quarter of the machine and 2 GiB
    unsigned compiles_at_once = 0;  // zero: all cores but one, at least one
    std::uint32_t pids_max = 128;   // threads and processes of one container
    state::IdRangeSettings ids;
    std::filesystem::path toolbox_folder;  // of toolbox.wasm; empty: commands need their own module
};

// What the runtime borrows; all of it outlives the runtime.
struct RuntimeParts {
    async::Reactor& reactor;
    async::BlockingPool& pool;
    const Clock& clock;
    Random& random;
    const state::Instance& instance;
};

class KeeperRuntime final : public pods::Runtime, private KeeperEvents {
public:
    // Reads the records, finds the keepers, adopts what runs and learns what ended meanwhile; then
    // has a keeper of the current build running. When this returns, containers() is the truth.
    [[nodiscard]] static async::Task<Result<std::unique_ptr<KeeperRuntime>>> create(
        RuntimeSettings settings, RuntimeParts parts);
    ~KeeperRuntime() override;
    KeeperRuntime(const KeeperRuntime&) = delete;
    KeeperRuntime& operator=(const KeeperRuntime&) = delete;

    // Ends this object's tasks and connections; containers go on. Call before destroying it.
    [[nodiscard]] async::Task<void> stop_tasks();
    // What of the limits cannot be enforced on this machine, for one warning at start.
    [[nodiscard]] std::vector<std::string> warnings() const { return cgroups_->warnings(); }
    // First of the pod's 65,536 host ids, for volumes that must be chowned; nullopt before
    // prepare_pod().
    [[nodiscard]] std::optional<std::uint32_t> first_id(const PodUid& pod) const;

    [[nodiscard]] std::vector<pods::ContainerRecord> containers(const PodUid& pod) const override;
    [[nodiscard]] std::vector<PodUid> pods() const override;
    void set_observer(std::function<void(const PodUid&)> observer) override;
    [[nodiscard]] async::Task<Result<void>> prepare_pod(const pods::PodSandbox& sandbox) override;
    [[nodiscard]] std::optional<std::string> allocation(const PodUid& pod) const override;
    void store_allocation(const PodUid& pod, std::string allocation) override;
    [[nodiscard]] async::Task<Result<void>> resize(const ContainerId& id,
                                                   pods::ContainerLimits limits,
                                                   kube::ResourceRequirements resources) override;
    // The handlers of RuntimeClasses that can be had here, the default first.
    [[nodiscard]] const std::vector<std::string>& handlers() const { return keepers_.runtimes(); }
    [[nodiscard]] async::Task<Result<pods::Artifact>> compile(
        pods::CompileRequest request, std::function<void()> compiling) override;
    [[nodiscard]] async::Task<Result<ContainerId>> start(const pods::ContainerSpec& spec) override;
    [[nodiscard]] async::Task<Result<void>> stop(const ContainerId& id, Duration grace) override;
    [[nodiscard]] async::Task<Result<void>> remove(const ContainerId& id) override;
    [[nodiscard]] async::Task<Result<void>> remove_pod(const PodUid& pod) override;
    [[nodiscard]] std::optional<pods::ContainerUsage> usage(const ContainerId& id) const override;
    [[nodiscard]] async::Task<Result<std::vector<pods::ContainerDiskUse>>> disk_use(
        const PodUid& pod) override;
    [[nodiscard]] Result<pods::Image> image_of(const ContainerId& id) const override;
    [[nodiscard]] async::Task<Result<std::unique_ptr<pods::ExecSession>>> exec(
        pods::ExecSpec spec) override;
    [[nodiscard]] async::Task<Result<std::unique_ptr<pods::AttachSession>>> attach(
        pods::AttachSpec spec) override;
    // In the background, a while after the start of a node: the first command need not wait for a
    // compile.
    void prepare_toolbox();

    // Where the kernel counts what a running container uses: its group's name in the instance's
    // tree, and its folders.
    struct Group {
        std::string name;
        os::CgroupPlace place;
    };
    [[nodiscard]] std::optional<Group> group_of(const ContainerId& id) const;
    // Keepers whose processes run.
    [[nodiscard]] std::size_t keepers() const { return keepers_.size(); }
    // All that the cache of compiled modules has.
    [[nodiscard]] async::Task<Result<std::vector<CachedArtifact>>> cached_artifacts() {
        return artifacts_.cached();
    }

    // The modules of which the cache has code, each once.
    [[nodiscard]] async::Task<Result<std::vector<SourceModule>>> compiled_modules();
    // Drops the code of every module that is not in `left` (digests), unless a container runs it:
    // to be called when images went. Returns the size of what went.
    [[nodiscard]] async::Task<Result<Bytes>> drop_artifacts(std::set<std::string> left);

private:
    struct Container {
        StoredContainer stored;
        // stored.resources, read.
        std::optional<kube::ResourceRequirements> resources;
        // A thread makes its files.
        std::optional<async::BlockingPool::Begun<Result<ContainerFiles>>> making;
        // Start went to the keeper: from here on only an answer tells what became of it.
        bool requested = false;
        async::Event answered;  // Started, StartFailed or Exited came for this start
        std::optional<Error> start_error;
        async::Event ended;
        // Held while the container has no keeper.
        os::Fd orphan;
        // Once it was asked to end: when what is left is killed. Whoever gets hold of the container
        // next (a keeper that is back, this object when it has become an orphan) acts on it at
        // once.
        std::optional<SteadyTime> stop_by;
        // What we asked for, to tell the exit of an orphan.
        enum class Asked { nothing, stop, kill } asked = Asked::nothing;
        // Ended, and its record on disk says so: only then may the keeper forget.
        bool recorded = false;
        // Ended, and its log files have their names, as far as they can be given.
        async::Event named;
        // earlier: nothing but its end and its files is left.
        pods::ContainerRecord::Boot boot = pods::ContainerRecord::Boot::present;
        // Once it has ended: that is in the root-dir, or need not be.
        bool kept = false;
        // Its process could not be looked at; settle_for_ever() tries again.
        bool unknown = false;
        // Whether a start() of this life waits for the answer (and cleans up after a failure).
        enum class Waiter { none, start } waiter = Waiter::none;
    };
    using Held = std::shared_ptr<Container>;
    struct Pod {
        StoredPod stored;
        os::CgroupLimits limits;
        bool prepared = false;  // in this life of the agent
    };

    KeeperRuntime(RuntimeSettings settings, RuntimeParts parts,
                  std::unique_ptr<os::CgroupTree> cgroups);

    // Recovery (recover.cpp).
    [[nodiscard]] async::Task<Result<void>> recover();
    void load_records();
    void load_containers();
    [[nodiscard]] Held add(StoredContainer stored);
    void sweep_leftovers();
    void end_commands();
    [[nodiscard]] async::Task<void> sweep_artifacts();
    // Keys of the code that containers have mapped or may be about to.
    [[nodiscard]] Artifacts::Spared artifacts_in_use() const;
    void on_keeper_message(const std::string& build, const wire::Message& message) override;
    void on_keeper_gone(const std::string& build) override;
    void on_console_lent(const std::string& id, os::Fd far_end) override;
    // Of a container that an agent before this one has started.
    void ask_for_console(const std::string& build, const std::string& id);
    void on_started(const std::string& build, const wire::Started& started);
    void on_start_failed(const wire::StartFailed& failed);
    void on_exited(const std::string& build, const wire::Exited& exited);
    void on_running(const std::string& build, const wire::Running& running);
    void settle_unlisted(const std::string& build);
    // Finds out by process, exit file, page and cgroup what became of a container that no keeper
    // knows.
    void settle_without_keeper(const Held& container);
    void finish_from_traces(const Held& container, std::optional<os::ProcessExit> status);
    void adopt_orphan(const Held& container, os::Fd pidfd);
    [[nodiscard]] std::vector<os::ProcessIdentity> oldest_first(const std::string& cgroup) const;
    // True when the container's group holds a process, which is adopted.
    [[nodiscard]] bool adopt_from_cgroup(const Held& container);
    void fail_start(const Held& container, Error error);
    void finish(const Held& container, const wire::Exited& exited);
    void finish_as(const Held& container, StoredExit exit);
    // Writes the record of an ended container, and lets its keeper forget it once that is done.
    void record_end(const Held& container);
    void settle_again();
    [[nodiscard]] async::Task<void> settle_for_ever();
    [[nodiscard]] std::string termination_message(const StoredContainer& stored) const;
    // The end of the log, for a container that wants it as its message and gave no other.
    [[nodiscard]] std::string fallback_message(const StoredContainer& stored) const;
    [[nodiscard]] std::vector<Held> unsettled(const std::string& build) const;
    [[nodiscard]] async::Task<void> watch_orphan(Held container);

    // What the disk has to know (aftermath.cpp).
    struct DiskWork {
        std::vector<Held> ended;               // of which something has to be done
        std::vector<StoredContainer> to_name;  // their logs
        std::vector<StoredContainer> to_keep;  // their ends
    };
    enum class Whose { all, ended };
    [[nodiscard]] async::Task<void> serve_disk_for_ever();
    [[nodiscard]] async::Task<Result<void>> serve_disk(Whose whose);
    [[nodiscard]] DiskWork disk_work(Whose whose) const;

    // Starting and ending (containers.cpp).
    [[nodiscard]] async::Task<Result<ContainerId>> start_copy(pods::ContainerSpec spec);
    [[nodiscard]] Result<Held> make_container(const pods::ContainerSpec& spec,
                                              const std::string& keeper);
    [[nodiscard]] async::Task<Result<void>> launch(Held container, const pods::ContainerSpec& spec,
                                                   std::shared_ptr<const OpenArtifact> artifact);
    [[nodiscard]] async::Task<Result<void>> stop_copy(ContainerId id, Duration grace);
    [[nodiscard]] async::Task<Result<void>> ask_to_end(Held container, Duration grace);
    // Asks the keeper to end it within what is left of its grace; of no effect without `stop_by`.
    [[nodiscard]] wire::Message stop_request(const Container& container) const;
    // The same for those of the keeper's containers that were asked to end: the request may have
    // been lost with the connection before this one. A keeper takes the shorter of two.
    void repeat_stops(const std::string& build);
    [[nodiscard]] async::Task<Result<void>> stop_orphan(Held container);
    [[nodiscard]] async::Task<void> go_on_stopping(Held container);
    [[nodiscard]] async::Task<Result<void>> remove_copy(ContainerId id);
    [[nodiscard]] async::Task<Result<void>> remove_pod_copy(PodUid uid);
    [[nodiscard]] async::Task<Result<void>> prepare_copy(pods::PodSandbox sandbox);
    [[nodiscard]] Result<void> limit_guest(const StoredContainer& stored,
                                           std::optional<Bytes> memory) const;
    [[nodiscard]] os::CgroupLimits cgroup_limits(const pods::ContainerLimits& limits) const;
    // Forgets a container that never was: no record, no files, no group. Ends every wait for it.
    void discard(const Held& container);
    [[nodiscard]] async::Task<void> discard_made(Held container);
    void drop(const Held& container);
    void remove_cgroup_later(const std::string& name);
    [[nodiscard]] async::Task<void> remove_cgroup(std::string name);
    [[nodiscard]] Held find(const std::string& id) const;
    [[nodiscard]] Held active(const PodUid& pod, const std::string& name) const;
    // The container, which must be running.
    [[nodiscard]] Result<Held> running(const ContainerId& id) const;
    void write_record(const StoredContainer& stored);
    void changed(const StoredContainer& stored);

    RuntimeSettings settings_;
    async::BlockingPool& pool_;
    const Clock& clock_;
    Random& random_;
    const state::Paths& paths_;
    // Shared with work on the pool, which may outlive this object.
    std::shared_ptr<const os::CgroupTree> cgroups_;
    state::IdRanges ids_;
    std::map<std::string, Held> containers_;
    std::map<PodUid, std::vector<Held>> by_pod_;  // oldest first
    std::map<PodUid, Pod> pods_;
    // Keeper build → ids of its Running that is not complete yet.
    std::map<std::string, std::set<std::string>> listed_;
    std::function<void(const PodUid&)> observer_;
    async::Event ended_one_;
    std::uint64_t next_request_ = 1;
    async::Scope scope_;
    Keepers keepers_;
    Artifacts artifacts_;
    Execs execs_;
    Consoles consoles_;
};

// The cgroup tree of the instance: the one that an earlier agent of this boot recorded, else a new
// one.
[[nodiscard]] std::unique_ptr<os::CgroupTree> open_cgroups(const state::Instance& instance,
                                                           const std::string& root);

[[nodiscard]] std::string pod_cgroup(const PodUid& pod);

}  // namespace skiff::runtime
