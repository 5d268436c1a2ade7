// The steps that a pod's worker carries out; what to do next is decided elsewhere.
#include <algorithm>

#include "async/both.h"
#include "base/log.h"
#include "kube/pod_fields.h"
#include "pods/resize.h"
#include "pods/resources.h"
#include "pods/worker.h"

namespace skiff::pods {
namespace {

constexpr Duration kStopRetry = std::chrono::seconds(1);

// What a container's start may pull: its own image, and those of its image volumes.
std::vector<std::string> images_of(const kube::Pod& pod, const kube::Container* container) {
    std::vector<std::string> images;
    if (container == nullptr) {
        return images;
    }
    images.push_back(container->image);
    for (const kube::Volume& volume : pod.spec.volumes) {
        auto mounts = [&](const kube::VolumeMount& mount) { return mount.name == volume.name; };
        if (volume.image && std::ranges::any_of(container->volumeMounts, mounts)) {
            images.push_back(volume.image->reference);
        }
    }
    return images;
}

}  // namespace

Task<Result<void>> Worker::prepare_sandbox() {
    constexpr std::string_view kReason = "FailedCreatePodSandBox";
    // update() may replace pod_ during any of the waits.
    std::shared_ptr<const kube::Pod> pod = pod_;
    const std::vector<std::string>& handlers = context_.node.handlers;
    handler_ = handlers.front();
    if (pod->spec.runtimeClassName && !pod->spec.runtimeClassName->empty()) {
        auto handler = co_await ports_.objects.runtime_handler(*pod->spec.runtimeClassName);
        if (!handler) {
            co_return fail(std::move(handler.error()).with_reason(kReason));
        }
        if (!handler->empty()) {
            handler_ = std::move(*handler);
        }
    }
    if (std::ranges::find(handlers, handler_) == handlers.end()) {
        co_return fail_because(Code::invalid, kReason,
                               "no runtime for handler \"{}\"; this node has {}", handler_,
                               fmt::join(handlers, ", "));
    }
    PodSandbox sandbox = sandbox_of(*pod);
    sandbox.allocation = format_allocation(pod->spec);
    auto prepare = ports_.runtime.prepare_pod(sandbox);
    auto set_up = ports_.network.set_up(*pod);
    // The network first: its files are written while the runtime makes the cgroups.
    auto [network, prepared] = co_await async::both(std::move(set_up), std::move(prepare));
    if (!prepared) {
        co_return fail(std::move(prepared.error()));
    }
    if (!network) {
        co_return fail(std::move(network.error()));
    }
    network_ = std::move(*network);
    memory_.share = std::move(sandbox);
    co_return Result<void>();
}

Task<void> Worker::prepare() {
    auto result = co_await prepare_sandbox();
    if (!result && result.error().code != Code::cancelled) {
        // A kubelet tells these two apart.
        const bool waits = result.error().reason == "NetworkNotReady";
        ports_.events.emit(*pod_, {}, EventType::warning,
                           waits ? "NetworkNotReady" : "FailedCreatePodSandBox",
                           (waits ? "network is not ready: " : "Failed to create pod sandbox: ") +
                               result.error().message);
    }
    settle(memory_.sandbox, result);
}

Task<void> Worker::mount() {
    std::shared_ptr<const kube::Pod> pod = pod_;
    PodFacts about = facts();
    auto mounted = co_await ports_.volumes.set_up(*pod, about);
    if (mounted) {
        volumes_ = std::move(*mounted);
        settle(memory_.volumes, Result<void>());
        co_return;
    }
    if (mounted.error().code != Code::cancelled) {
        ports_.events.emit(*pod, {}, EventType::warning, "FailedMount", mounted.error().message);
    }
    settle(memory_.volumes, fail(std::move(mounted.error())));
}

// Contents of ConfigMaps, Secrets and tokens follow their objects (contract row 29). What cannot be
// read now stays as it was.
Task<void> Worker::refresh() {
    std::shared_ptr<const kube::Pod> pod = pod_;
    PodFacts about = facts();
    auto mounted = co_await ports_.volumes.set_up(*pod, about);
    refresh_ = refresh_ == Refresh::running_stale ? Refresh::wanted : Refresh::not_wanted;
    wake_.set();
    if (mounted) {
        volumes_ = std::move(*mounted);
    } else if (mounted.error().code != Code::cancelled) {
        ports_.events.emit(*pod, {}, EventType::warning, "FailedMount", mounted.error().message);
    }
}

Task<void> Worker::start(StartRequest request, CrashBackOff back_off) {
    std::string container = request.container;
    std::uint32_t attempt = request.attempt;
    const kube::Container* spec = kube::find_container(*request.pod, container);
    std::vector<std::string> images = images_of(*request.pod, spec);
    auto started = co_await start_container(ports_, std::move(request));
    ContainerMemory& memory = memory_.containers[container];
    auto records = ports_.runtime.containers(uid_);
    bool exists = std::ranges::any_of(records, [&](const ContainerRecord& record) {
        return record.name == container && record.attempt == attempt;
    });
    if (exists) {
        // It ran, or tried to: from here on its own end counts, not that of the run before.
        memory.back_off = std::move(back_off);
        memory.after_stop = ContainerMemory::AfterStop::policy;
    }
    if (started) {
        memory.begun = attempt;
        memory.start = Step{};
        wake_.set();
        co_return;
    }
    settle(memory.start, fail(std::move(started.error())));
    for (const std::string& image : images) {
        auto until = ports_.images.back_off_until(uid_, image);
        if (until && memory.start.reason == "ImagePullBackOff") {
            memory.start.retry_at =
                context_.clock.wall_now() + (*until - context_.clock.steady_now());
        }
    }
}

Task<void> Worker::stop_container(std::string container, ContainerId id, Duration grace) {
    auto stopped = co_await ports_.runtime.stop(id, grace);
    if (!stopped && stopped.error().code != Code::cancelled) {
        log::error("container not stopped", log::kv("uid", uid_), log::kv("container", container),
                   log::kv("error", stopped.error().message));
        ports_.events.emit(*pod_, container, EventType::warning, "FailedKillPod",
                           "error killing pod: " + stopped.error().message);
        memory_.containers[container].stop_retry_at = context_.clock.wall_now() + kStopRetry;
    }
    wake_.set();
}

Task<void> Worker::cancel_starts() {
    // Not for good: a pod that ends by itself may begin another round (rounds.h).
    co_await starts_.cancel();
    told_.erase("cancel");
    if (refresh_ == Refresh::running || refresh_ == Refresh::running_stale) {
        refresh_ = Refresh::wanted;
    }
    // What was unwound could not settle itself.
    for (Step* step : {&memory_.sandbox, &memory_.volumes}) {
        if (step->runs()) {
            step->phase = Step::Phase::idle;
        }
    }
    for (auto& [name, memory] : memory_.containers) {
        if (memory.start.runs()) {
            memory.start.phase = Step::Phase::idle;
        }
    }
    wake_.set();
}

Task<void> Worker::remove_container(ContainerId id) {
    auto removed = co_await ports_.runtime.remove(id);
    if (!removed && removed.error().code != Code::cancelled) {
        log::warn("ended container not removed", log::kv("uid", uid_), log::kv("container", id),
                  log::kv("error", removed.error().message));
    }
}

Task<Result<void>> Worker::tear_down_all() {
    // A refresh may still write into the volumes.
    co_await starts_.stop();
    auto volumes = co_await ports_.volumes.tear_down(uid_);
    auto network = co_await ports_.network.tear_down(uid_);
    if (!volumes) {
        co_return fail(std::move(volumes.error()));
    }
    co_return network;
}

Task<void> Worker::tear_down() {
    auto result = co_await tear_down_all();
    if (!result && result.error().code != Code::cancelled) {
        log::error("pod not torn down", log::kv("uid", uid_),
                   log::kv("error", result.error().message));
        ports_.events.emit(*pod_, {}, EventType::warning, "FailedKillPod",
                           "error killing pod: " + result.error().message);
    }
    settle(memory_.tear_down, result);
}

Task<void> Worker::remove_pod() {
    auto removed = co_await ports_.runtime.remove_pod(uid_);
    if (removed) {
        ports_.images.release(uid_);
        ports_.objects.release(uid_);
        ports_.status.forget(uid_);
        ports_.probes.forget(uid_);
    } else if (removed.error().code != Code::cancelled) {
        log::error("pod not removed", log::kv("uid", uid_),
                   log::kv("error", removed.error().message));
    }
    settle(memory_.removal, removed);
}

}  // namespace skiff::pods
