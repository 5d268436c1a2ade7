// The runtime with its operations counted, on the way from pods to the keepers.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "app/meters.h"
#include "app/pod_starts.h"
#include "pods/ports.h"

namespace skiff::app {

class MeteredRuntime final : public pods::Runtime {
public:
    struct Parts {
        Meters& meters;
        PodStarts& starts;
        const Clock& clock;
    };
    // `inner` and the parts outlive it.
    MeteredRuntime(pods::Runtime& inner, Parts parts) : inner_(inner), parts_(parts) {}

    std::vector<pods::ContainerRecord> containers(const PodUid& pod) const override {
        return inner_.containers(pod);
    }
    std::vector<PodUid> pods() const override { return inner_.pods(); }
    void set_observer(std::function<void(const PodUid&)> observer) override {
        inner_.set_observer(std::move(observer));
    }
    async::Task<Result<void>> prepare_pod(const pods::PodSandbox& sandbox) override;
    std::optional<std::string> allocation(const PodUid& pod) const override {
        return inner_.allocation(pod);
    }
    void store_allocation(const PodUid& pod, std::string allocation) override {
        inner_.store_allocation(pod, std::move(allocation));
    }
    async::Task<Result<void>> resize(const ContainerId& id, pods::ContainerLimits limits,
                                     kube::ResourceRequirements resources) override {
        return timed("update_container", inner_.resize(id, limits, std::move(resources)));
    }
    async::Task<Result<pods::Artifact>> compile(pods::CompileRequest request,
                                                std::function<void()> compiling) override;
    async::Task<Result<ContainerId>> start(const pods::ContainerSpec& spec) override;
    async::Task<Result<void>> stop(const ContainerId& id, Duration grace) override {
        return timed("stop_container", inner_.stop(id, grace));
    }
    async::Task<Result<void>> remove(const ContainerId& id) override {
        return timed("remove_container", inner_.remove(id));
    }
    async::Task<Result<void>> remove_pod(const PodUid& pod) override { return remove_metered(pod); }
    std::optional<pods::ContainerUsage> usage(const ContainerId& id) const override {
        return inner_.usage(id);
    }
    async::Task<Result<std::vector<pods::ContainerDiskUse>>> disk_use(const PodUid& pod) override {
        return inner_.disk_use(pod);
    }
    Result<pods::Image> image_of(const ContainerId& id) const override {
        return inner_.image_of(id);
    }
    async::Task<Result<std::unique_ptr<pods::ExecSession>>> exec(pods::ExecSpec spec) override {
        return timed("exec", inner_.exec(std::move(spec)));
    }
    async::Task<Result<std::unique_ptr<pods::AttachSession>>> attach(
        pods::AttachSpec spec) override {
        return timed("attach", inner_.attach(std::move(spec)));
    }

private:
    template <typename T>
    async::Task<Result<T>> timed(std::string operation, async::Task<Result<T>> task) {
        SteadyTime begun = parts_.clock.steady_now();
        auto result = co_await std::move(task);
        count(operation, parts_.clock.steady_now() - begun, result ? nullptr : &result.error());
        co_return result;
    }
    // `error`: nullptr for success.
    void count(const std::string& operation, Duration took, const Error* error);
    async::Task<Result<void>> prepare_metered(pods::PodSandbox sandbox);
    async::Task<Result<ContainerId>> start_metered(pods::ContainerSpec spec);
    async::Task<Result<void>> remove_metered(PodUid pod);

    pods::Runtime& inner_;
    Parts parts_;
};

}  // namespace skiff::app
