// The other ports of a simulated node: each takes its time and fails now and then.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "pods/ports.h"
#include "world.h"

namespace skiff::sim {

using pods::Task;

class Events final : public pods::EventSink {
public:
    explicit Events(World& world) : world_(world) {}
    void emit(const kube::Pod& pod, std::string_view container, pods::EventType,
              std::string_view reason, std::string_view message) override {
        world_.journal.note("event {} {} {}: {}", pod.metadata.name, container, reason, message);
    }

private:
    World& world_;
};

// Nothing to read; every pod is of the default runtime class.
class Objects final : public pods::Objects {
public:
    Task<Result<std::shared_ptr<const kube::ConfigMap>>> config_map(const kube::Pod&,
                                                                    std::string) override {
        co_return fail(Code::not_found, "none");
    }
    Task<Result<std::shared_ptr<const kube::Secret>>> secret(const kube::Pod&,
                                                             std::string) override {
        co_return fail(Code::not_found, "none");
    }
    Task<Result<pods::ServiceAccountToken>> service_account_token(const kube::Pod&, std::string,
                                                                  std::int64_t) override {
        co_return pods::ServiceAccountToken{};
    }
    Task<Result<std::string>> trust_anchors(const kube::Pod&,
                                            const kube::ClusterTrustBundleProjection&) override {
        co_return fail(Code::not_found, "none");
    }
    Task<Result<pods::PodCredentials>> pod_certificate(const kube::Pod&, std::string,
                                                       std::size_t) override {
        co_return fail(Code::not_found, "none");
    }
    Task<Result<std::shared_ptr<const kube::PersistentVolume>>> bound_volume(const kube::Pod&,
                                                                             std::string) override {
        co_return fail(Code::not_found, "none");
    }
    std::optional<std::vector<std::shared_ptr<const kube::Service>>> services() const override {
        return std::vector<std::shared_ptr<const kube::Service>>{};
    }
    Task<Result<std::string>> runtime_handler(std::string) override {
        co_return fail(Code::not_found, "none");
    }
    void release(const PodUid&) override {}
    // There is nothing that could change.
    void set_observer(std::function<void(const PodUid&)>) override {}
};

class Images final : public pods::Images {
public:
    explicit Images(World& world) : world_(world) {}
    Task<Result<pods::Image>> ensure(const kube::Pod&, std::string, std::string reference,
                                     std::string) override {
        bool is_new = !pulled_.contains(reference);
        Duration takes =
            is_new ? world_.dice.duration(std::chrono::milliseconds(10), std::chrono::minutes(2))
                   : std::chrono::milliseconds(1);
        SKIFF_CO_CHECK(co_await async::sleep_for(takes));
        if (is_new && world_.fails(0.2)) {
            co_return fail_because(Code::unavailable, "ErrImagePull", "no such image today");
        }
        pulled_.insert(reference);
        pods::Image image;
        image.reference = reference;
        image.image_id = reference + "@sha256:00";
        image.module = "/store/module";
        image.module_digest = "sha256:11";
        image.module_name = "guest.wasm";
        co_return image;
    }
    Task<Result<pods::Image>> ensure_files(const kube::Pod&, std::string, std::string,
                                           std::string) override {
        co_return fail(Code::not_found, "no image volumes here");
    }
    Task<Result<pods::ModuleFile>> find_module(const pods::Image&, std::string) override {
        co_return fail(Code::not_found, "images here are single modules");
    }
    std::optional<SteadyTime> back_off_until(const PodUid&, const std::string&) const override {
        return std::nullopt;
    }
    void release(const PodUid&) override {}

private:
    World& world_;
    std::set<std::string> pulled_;
};

// Commands of hooks: they take their time, and some fail, which is remembered for the checker.
class Commands final : public pods::Commands {
public:
    explicit Commands(World& world) : world_(world) {}
    Task<Result<pods::CommandEnd>> run(pods::CommandRun run) override {
        world_.journal.note("command {}", run.command.front());
        SKIFF_CO_CHECK(co_await async::sleep_for(
            world_.dice.duration(std::chrono::milliseconds(1), std::chrono::minutes(1))));
        pods::CommandEnd end;
        if (world_.fails(0.2)) {
            end.exit_code = 1;
            failed_.insert(run.container);
        }
        co_return end;
    }
    [[nodiscard]] bool failed_in(const ContainerId& run) const { return failed_.contains(run); }

private:
    World& world_;
    std::set<ContainerId> failed_;
};

class Volumes final : public pods::Volumes {
public:
    explicit Volumes(World& world) : world_(world) {}
    Task<Result<std::map<std::string, pods::MountedVolume>>> set_up(
        const kube::Pod& pod, const pods::PodFacts&) override {
        PodUid uid(pod.metadata.uid);
        present_.insert(uid);
        SKIFF_CO_CHECK(co_await async::sleep_for(takes()));
        if (world_.fails(0.1)) {
            co_return fail_because(Code::unavailable, "FailedMount", "no ConfigMap today");
        }
        co_return std::map<std::string, pods::MountedVolume>{};
    }
    Task<Result<std::filesystem::path>> resolve_mount(const kube::Pod&, const pods::MountedVolume&,
                                                      std::string) override {
        co_return fail(Code::not_found, "no volumes here");
    }
    Task<Result<pods::MountedVolume>> mount_image(const kube::Pod&, std::string,
                                                  pods::Image) override {
        co_return fail(Code::not_found, "no volumes here");
    }
    Task<Result<std::string>> read_file(const pods::MountedVolume&, std::string) override {
        co_return fail(Code::not_found, "no volumes here");
    }
    Task<Result<std::vector<pods::VolumeUsage>>> usage(const kube::Pod&) override {
        co_return std::vector<pods::VolumeUsage>{};
    }
    Task<Result<void>> tear_down(const PodUid& pod) override {
        PodUid uid = pod;
        SKIFF_CO_CHECK(co_await async::sleep_for(takes()));
        if (world_.fails(0.1)) {
            co_return fail(Code::conflict, "busy");
        }
        present_.erase(uid);
        co_return Result<void>();
    }
    [[nodiscard]] bool has_pod(const PodUid& pod) const { return present_.contains(pod); }

private:
    [[nodiscard]] Duration takes() {
        return world_.dice.duration(std::chrono::milliseconds(1), std::chrono::seconds(5));
    }
    World& world_;
    std::set<PodUid> present_;
};

class Network final : public pods::Network {
public:
    explicit Network(World& world) : world_(world) {}
    Task<Result<pods::PodNetwork>> set_up(const kube::Pod& pod) override {
        PodUid uid(pod.metadata.uid);
        pods::PodNetwork network;
        network.hostname = pod.metadata.name;
        present_.insert(uid);
        SKIFF_CO_CHECK(
            co_await async::sleep_for(std::chrono::milliseconds(world_.dice.number(1, 300))));
        if (world_.fails(0.05)) {
            co_return fail_because(Code::unavailable, "FailedCreatePodSandBox", "no address");
        }
        network.pod_ips = {"10.0.0.7"};
        co_return network;
    }
    Task<Result<pods::NetworkMode>> mode_for(const kube::Pod&, const kube::Container&,
                                             bool) override {
        co_return pods::NetworkMode::empty;
    }
    Task<Result<void>> tear_down(const PodUid& pod) override {
        present_.erase(pod);
        co_return Result<void>();
    }
    [[nodiscard]] bool has_pod(const PodUid& pod) const { return present_.contains(pod); }

private:
    World& world_;
    std::set<PodUid> present_;
};

}  // namespace skiff::sim
