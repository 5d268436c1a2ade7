// The Volumes port: sets up, refreshes and removes what pods mount. See README.md for the kinds.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "async/lanes.h"
#include "base/time.h"
#include "os/id_map_probe.h"
#include "pods/ports.h"
#include "state/paths.h"
#include "volumes/atomic_writer.h"
#include "volumes/foreign.h"
#include "volumes/kinds.h"

namespace skiff::volumes {

// How hostPath volumes on filesystems that cannot map ids are treated.
struct ForeignVolumes {
    // Finds them. Outlives the room; null: none is found.
    const os::IdMapProbe* probe = nullptr;
    // allowed: the pod's containers open files with the machine's ids. forbidden: the pod fails.
    enum class MachineIds { allowed, forbidden } machine_ids = MachineIds::allowed;
};

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
               Pools pools, const Clock& clock, ForeignVolumes rules = {});
    ~PodVolumes() override;

    [[nodiscard]] async::Task<Result<std::map<std::string, pods::MountedVolume>>> set_up(
        const kube::Pod& pod, const pods::PodFacts& facts) override;
    [[nodiscard]] async::Task<Result<std::filesystem::path>> resolve_mount(
        const kube::Pod& pod, const pods::MountedVolume& volume, std::string sub_path) override;
    [[nodiscard]] async::Task<Result<pods::MountedVolume>> mount_image(const kube::Pod& pod,
                                                                       std::string volume,
                                                                       pods::Image image) override;
    [[nodiscard]] async::Task<Result<std::string>> read_file(const pods::MountedVolume& volume,
                                                             std::string path) override;
    [[nodiscard]] async::Task<Result<std::vector<pods::VolumeUsage>>> usage(
        const kube::Pod& pod) override;
    [[nodiscard]] async::Task<Result<void>> tear_down(const PodUid& pod) override;

    // Waits for the file work in progress, but not long for what hangs. Before destruction.
    [[nodiscard]] async::Task<void> stop();

private:
    // One volume, ready to be made on disk.
    struct Plan {
        std::string name;
        std::filesystem::path path;
        enum class Kind { payload, empty_dir, foreign } kind = Kind::payload;
        Medium medium = Medium::disk;
        Showing showing;  // of a payload
        EmptyDirPlan empty_dir;
        ForeignPlace foreign;
        pods::VolumeIds ids = pods::VolumeIds::of_pod;  // set by make()
    };

    [[nodiscard]] async::Task<Result<Plan>> plan(const kube::Pod& pod, const pods::PodFacts& facts,
                                                 std::size_t index);
    [[nodiscard]] async::Task<Result<Payload>> payload_of(const kube::Pod& pod,
                                                          const pods::PodFacts& facts,
                                                          std::size_t index);
    [[nodiscard]] static Result<void> make(Plan& plan, WallTime now, const ForeignVolumes& rules);
    // The host paths among `plans`, each apart: one that hangs holds up neither the pod's other
    // work nor its teardown.
    [[nodiscard]] async::Task<Result<void>> make_foreign(std::shared_ptr<std::vector<Plan>> plans);

    state::Paths paths_;
    pods::Objects& objects_;
    async::BlockingPool& pool_;
    ForeignWork foreign_;
    const Clock& clock_;
    ForeignVolumes rules_;
    async::Lanes file_work_;  // by pod uid
};

// The kind of a volume that Skiff does not offer ("nfs", "csi" …), nullopt for one it does. Pure.
[[nodiscard]] std::optional<std::string_view> unsupported_kind(const kube::Volume& volume);

}  // namespace skiff::volumes
