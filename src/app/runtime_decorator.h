// A runtime that passes everything on to another one: what stands between pods and the keepers
// derives from it and overrides what it is about.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "pods/ports.h"

namespace skiff::app {

class RuntimeDecorator : public pods::Runtime {
public:
    // `inner` outlives it.
    explicit RuntimeDecorator(pods::Runtime& inner) : inner_(inner) {}

    std::vector<pods::ContainerRecord> containers(const PodUid& pod) const override {
        return inner_.containers(pod);
    }
    std::vector<PodUid> pods() const override { return inner_.pods(); }
    void set_observer(std::function<void(const PodUid&)> observer) override {
        inner_.set_observer(std::move(observer));
    }
    async::Task<Result<void>> prepare_pod(const pods::PodSandbox& sandbox) override {
        return inner_.prepare_pod(sandbox);
    }
    std::optional<std::string> allocation(const PodUid& pod) const override {
        return inner_.allocation(pod);
    }
    void store_allocation(const PodUid& pod, std::string allocation) override {
        inner_.store_allocation(pod, std::move(allocation));
    }
    async::Task<Result<void>> resize(const ContainerId& id, pods::ContainerLimits limits,
                                     kube::ResourceRequirements resources) override {
        return inner_.resize(id, limits, std::move(resources));
    }
    async::Task<Result<pods::Artifact>> compile(pods::CompileRequest request,
                                                std::function<void()> compiling) override {
        return inner_.compile(std::move(request), std::move(compiling));
    }
    async::Task<Result<ContainerId>> start(const pods::ContainerSpec& spec) override {
        return inner_.start(spec);
    }
    async::Task<Result<void>> stop(const ContainerId& id, Duration grace) override {
        return inner_.stop(id, grace);
    }
    async::Task<Result<void>> remove(const ContainerId& id) override { return inner_.remove(id); }
    async::Task<Result<void>> remove_pod(const PodUid& pod) override {
        return inner_.remove_pod(pod);
    }
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
        return inner_.exec(std::move(spec));
    }
    async::Task<Result<std::unique_ptr<pods::AttachSession>>> attach(
        pods::AttachSpec spec) override {
        return inner_.attach(std::move(spec));
    }

protected:
    [[nodiscard]] pods::Runtime& inner() const { return inner_; }

private:
    pods::Runtime& inner_;
};

}  // namespace skiff::app
