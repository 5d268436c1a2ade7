// The runtime with its operations counted, on the way from pods to the keepers.
#pragma once

#include <functional>
#include <string>

#include "app/meters.h"
#include "app/pod_starts.h"
#include "app/runtime_decorator.h"

namespace skiff::app {

class MeteredRuntime final : public RuntimeDecorator {
public:
    struct Parts {
        Meters& meters;
        PodStarts& starts;
        const Clock& clock;
    };
    // `inner` and the parts outlive it.
    MeteredRuntime(pods::Runtime& inner, Parts parts) : RuntimeDecorator(inner), parts_(parts) {}

    async::Task<Result<void>> prepare_pod(const pods::PodSandbox& sandbox) override;
    async::Task<Result<void>> resize(const ContainerId& id, pods::ContainerLimits limits,
                                     kube::ResourceRequirements resources) override {
        return timed("update_container", inner().resize(id, limits, std::move(resources)));
    }
    async::Task<Result<pods::Artifact>> compile(pods::CompileRequest request,
                                                std::function<void()> compiling) override;
    async::Task<Result<ContainerId>> start(const pods::ContainerSpec& spec) override;
    async::Task<Result<void>> stop(const ContainerId& id, Duration grace) override {
        return timed("stop_container", inner().stop(id, grace));
    }
    async::Task<Result<void>> remove(const ContainerId& id) override {
        return timed("remove_container", inner().remove(id));
    }
    async::Task<Result<void>> remove_pod(const PodUid& pod) override { return remove_metered(pod); }
    async::Task<Result<std::unique_ptr<pods::ExecSession>>> exec(pods::ExecSpec spec) override {
        return timed("exec", inner().exec(std::move(spec)));
    }
    async::Task<Result<std::unique_ptr<pods::AttachSession>>> attach(
        pods::AttachSpec spec) override {
        return timed("attach", inner().attach(std::move(spec)));
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
    // Of a pod that had nothing on the node yet.
    async::Task<Result<void>> prepare_new(PodUid pod, async::Task<Result<void>> preparing);
    async::Task<Result<ContainerId>> start_metered(std::string type,
                                                   async::Task<Result<ContainerId>> starting);
    async::Task<Result<void>> remove_metered(PodUid pod);

    Parts parts_;
};

}  // namespace skiff::app
