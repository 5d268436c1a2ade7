// Mirror pods: what the API server shows of pods that come from files (contract row 54). The server
// does not rule them: one that is deleted or changed there is made anew, and the pod runs on.
// Reactor thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "async/scope.h"
#include "async/task.h"
#include "base/time.h"
#include "pods/ports.h"

namespace skiff::status {

using async::Task;

inline constexpr std::string_view kMirrorAnnotation = "kubernetes.io/config.mirror";

// Whether an object of the server is a mirror, so that no pod is to be run for it.
[[nodiscard]] bool is_mirror(const kube::Pod& pod);

// The object that shows `pod`: without a status, owned by the Node, so that only this node may make
// it. Pure.
[[nodiscard]] kube::Pod mirror_of(const kube::Pod& pod, const std::string& node_name,
                                  const std::string& node_uid);

// The two requests that mirrors need. Implemented over the API client by app.
class MirrorApi {
public:
    virtual ~MirrorApi() = default;
    [[nodiscard]] virtual Task<Result<void>> create_pod(kube::Pod pod) = 0;
    // DELETE with grace period 0 and the uid as precondition.
    [[nodiscard]] virtual Task<Result<void>> delete_pod(PodName pod, PodUid uid) = 0;
};

// The status sink of a node in a cluster: statuses of pods of files go to their mirrors, all others
// to `below`.
class MirrorPods final : public pods::StatusSink {
public:
    // The uid of this node's own Node; nullopt while it is not known, then nothing is made.
    using NodeUid = std::function<std::optional<std::string>()>;

    // Everything given outlives this object.
    MirrorPods(async::Executor executor, MirrorApi& api, pods::StatusSink& below,
               std::string node_name, NodeUid node_uid);
    MirrorPods(const MirrorPods&) = delete;
    MirrorPods& operator=(const MirrorPods&) = delete;

    // A mirror is there or changed; one is gone. As the watch says it.
    void seen(std::shared_ptr<const kube::Pod> mirror);
    void gone(const kube::Pod& mirror);
    // Every source was listed once: from now on mirrors are made, and removed that show nothing.
    void sources_ready();
    // Cancels what is on its way.
    [[nodiscard]] Task<void> stop();

    void publish(std::shared_ptr<const kube::Pod> pod, kube::PodStatus status) override;
    void finish(std::shared_ptr<const kube::Pod> pod) override;
    void forget(const PodUid& pod) override;

private:
    struct Entry {
        std::shared_ptr<const kube::Pod> pod;     // of the file
        std::shared_ptr<const kube::Pod> mirror;  // at the server
        std::optional<kube::PodStatus> status;
        enum class Busy { no, yes } busy = Busy::no;
    };
    // Brings one name into step, unless that is under way.
    void kick(const PodName& name);
    [[nodiscard]] Task<void> work(PodName name);
    // What is to be done next; nothing when all is in step.
    enum class Need { nothing, create, remove };
    [[nodiscard]] Need need(const PodName& name) const;
    [[nodiscard]] Task<Result<void>> request(PodName name, Need need);

    MirrorApi& api_;
    pods::StatusSink& below_;
    std::string node_name_;
    NodeUid node_uid_;
    enum class Sources { unknown, ready } sources_ = Sources::unknown;
    std::map<PodName, Entry> entries_;
    async::Scope scope_;
};

}  // namespace skiff::status
