// The runtime of a simulated node: keepers that answer late, never, or with a refusal, and guests
// that live, end, and obey as the dice say. It outlives the agent, as keepers do.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "async/event.h"
#include "pods/ports.h"
#include "world.h"

namespace skiff::sim {

// One run of a container, from the moment its start is asked for. Kept for ever, for the checker.
struct Run {
    pods::ContainerRecord record;
    pods::ContainerSpec::EndKept end_kept = pods::ContainerSpec::EndKept::this_boot;
    std::uint32_t boot = 0;
    enum class Fate { there, forgotten } fate = Fate::there;
    std::optional<SteadyTime> asked_until;  // when a stop was asked for, heard or not
    std::optional<SteadyTime> kill_at;      // once it was asked to stop
    // Whoever waits for the keeper's answer, or for the end.
    std::shared_ptr<async::Event> changed = std::make_shared<async::Event>();

    [[nodiscard]] bool is_active() const { return fate == Fate::there && !record.exit; }
    [[nodiscard]] bool is_starting() const {
        return record.phase == pods::ContainerRecord::Phase::starting;
    }
    [[nodiscard]] std::string name() const {
        return fmt::format("{}/{}#{}", record.pod_name.name, record.name, record.attempt);
    }
};

class Guests final : public pods::Runtime {
public:
    explicit Guests(World& world) : world_(world) {}

    // Told of everything that the agent asks and that guests do; set by the checker.
    struct Watcher {
        std::function<void(const Run&)> starts;
        std::function<void(const Run&, Duration grace)> stops;
        std::function<void(const Run&)> ended;
    };
    void set_watcher(Watcher watcher) { watcher_ = std::move(watcher); }

    // A random guest ends by itself.
    void end_some();
    // Power is lost and comes back: of what was kept on disk only that is there.
    void reboot();
    // The agent is gone: nobody waits any more.
    void agent_gone() { observer_ = {}; }

    [[nodiscard]] const std::vector<std::shared_ptr<Run>>& runs() const { return runs_; }
    [[nodiscard]] std::uint32_t boot() const { return boot_; }
    [[nodiscard]] bool has_pod(const PodUid& pod) const { return marks_.contains(pod); }

    std::vector<pods::ContainerRecord> containers(const PodUid& pod) const override;
    std::vector<PodUid> pods() const override;
    void set_observer(std::function<void(const PodUid&)> observer) override {
        observer_ = std::move(observer);
    }
    pods::Task<Result<void>> prepare_pod(const pods::PodSandbox& sandbox) override;
    std::optional<std::string> allocation(const PodUid& pod) const override;
    void store_allocation(const PodUid& pod, std::string allocation) override;
    pods::Task<Result<void>> resize(const ContainerId& id, pods::ContainerLimits limits,
                                    kube::ResourceRequirements resources) override;
    pods::Task<Result<pods::Artifact>> compile(pods::CompileRequest request,
                                               std::function<void()> compiling) override;
    pods::Task<Result<ContainerId>> start(const pods::ContainerSpec& spec) override;
    pods::Task<Result<void>> stop(const ContainerId& id, Duration grace) override;
    pods::Task<Result<void>> remove(const ContainerId& id) override;
    pods::Task<Result<void>> remove_pod(const PodUid& pod) override;
    std::optional<pods::ContainerUsage> usage(const ContainerId&) const override {
        return std::nullopt;
    }
    pods::Task<Result<std::vector<pods::ContainerDiskUse>>> disk_use(const PodUid&) override {
        co_return std::vector<pods::ContainerDiskUse>{};
    }
    Result<pods::Image> image_of(const ContainerId&) const override {
        return fail(Code::conflict, "no commands here");
    }
    pods::Task<Result<std::unique_ptr<pods::ExecSession>>> exec(pods::ExecSpec) override {
        co_return fail(Code::conflict, "no commands here");
    }
    pods::Task<Result<std::unique_ptr<pods::AttachSession>>> attach(pods::AttachSpec) override {
        co_return fail(Code::conflict, "no commands here");
    }

private:
    using Held = std::shared_ptr<Run>;
    [[nodiscard]] Held find(const ContainerId& id) const;
    void answer(const Held& run);
    void begin(const Held& run);
    void refuse(const Held& run);
    void end(const Held& run, pods::ExitKind kind, int code);
    // When the guest ends if nobody stops it.
    void choose_life(const Held& run);
    void changed(const Held& run);

    World& world_;
    Watcher watcher_;
    std::function<void(const PodUid&)> observer_;
    std::vector<Held> runs_;
    std::set<PodUid> marks_;                  // until remove_pod()
    std::map<PodUid, std::string> prepared_;  // in this boot; what was allocated to it
    std::uint32_t boot_ = 0;
};

}  // namespace skiff::sim
