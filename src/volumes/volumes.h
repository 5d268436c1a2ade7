// The Volumes port: sets up, refreshes and removes what pods mount. See README.md for the kinds.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "async/blocking.h"
#include "async/scope.h"
#include "base/time.h"
#include "pods/ports.h"
#include "state/paths.h"
#include "volumes/foreign.h"
#include "volumes/kinds.h"

namespace skiff::volumes {

// Threads for file work.
struct Pools {
    async::BlockingPool& own;
    async::BlockingPool& foreign;  // see ForeignWork
    Duration foreign_patience = std::chrono::seconds(10);
};

// Reactor thread; file work runs in the pools, for one pod one piece at a time and never cut short:
// a tear_down() that follows a cancelled set_up() waits for what that one began.
class PodVolumes final : public pods::Volumes {
public:
    // All outlive this object.
    PodVolumes(async::Executor executor, const state::Paths& paths, pods::Objects& objects,
               Pools pools, const Clock& clock);
    ~PodVolumes() override;

    [[nodiscard]] async::Task<Result<std::map<std::string, pods::MountedVolume>>> set_up(
        const kube::Pod& pod, const pods::PodFacts& facts) override;
    [[nodiscard]] async::Task<Result<std::filesystem::path>> resolve_mount(
        const kube::Pod& pod, const pods::MountedVolume& volume, std::string sub_path) override;
    [[nodiscard]] async::Task<Result<void>> tear_down(const PodUid& pod) override;

    // Waits for the file work in progress, but not long for what hangs. Before destruction.
    [[nodiscard]] async::Task<void> stop();

private:
    // File work of one pod, one piece at a time.
    struct Lane {
        async::Semaphore free{1};
    };
    // One volume, ready to be made on disk.
    struct Plan {
        std::string name;
        std::filesystem::path path;
        enum class Kind { payload, empty_dir, host_path } kind = Kind::payload;
        enum class Medium { disk, memory } medium = Medium::disk;
        Payload payload;
        EmptyDirPlan empty_dir;
        std::string host_path_type;
        std::optional<std::uint32_t> fs_group;
    };

    [[nodiscard]] async::Task<Result<Plan>> plan(const kube::Pod& pod, const pods::PodFacts& facts,
                                                 std::size_t index);
    [[nodiscard]] async::Task<Result<Payload>> payload_of(const kube::Pod& pod,
                                                          const pods::PodFacts& facts,
                                                          const kube::Volume& volume,
                                                          std::string field);
    [[nodiscard]] static Result<void> make(const Plan& plan, WallTime now);
    [[nodiscard]] async::Task<Result<void>> run(PodUid pod, async::BlockingPool& pool,
                                                std::function<Result<void>()> work);
    // The host paths among `plans`, each apart: one that hangs holds up neither the pod's other
    // work nor its teardown.
    [[nodiscard]] async::Task<Result<void>> make_foreign(std::shared_ptr<std::vector<Plan>> plans);
    struct Job;
    static async::Task<void> run_job(async::BlockingPool* pool, std::shared_ptr<Lane> lane,
                                     std::shared_ptr<Job> job);

    state::Paths paths_;
    pods::Objects& objects_;
    async::BlockingPool& pool_;
    ForeignWork foreign_;
    const Clock& clock_;
    std::map<PodUid, std::shared_ptr<Lane>> lanes_;
    async::Scope jobs_;
};

// The kind of a volume that Skiff does not offer ("nfs", "csi" …), nullopt for one it does. Pure.
[[nodiscard]] std::optional<std::string_view> unsupported_kind(const kube::Volume& volume);

}  // namespace skiff::volumes
