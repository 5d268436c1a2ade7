// The Images port of pods: pull policies, pull secrets, back-off, events, by the kubelet's rules
// (reasons and texts are its own). Reactor thread only.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>

#include "images/access.h"
#include "images/modules.h"
#include "images/puller.h"
#include "pods/ports.h"

namespace skiff::images {

struct BackOffPolicy {
    Duration first = std::chrono::seconds(10);
    Duration longest = std::chrono::seconds(300);
};

class NodeImages final : public pods::Images {
public:
    // What it works with; all must outlive it.
    struct Parts {
        Store& store;
        Registry& registry;
        Puller& puller;
        AccessRecords& access;
        pods::Objects& objects;
        pods::EventSink& events;
        const Clock& clock;
    };
    explicit NodeImages(Parts parts, BackOffPolicy back_off = {});

    [[nodiscard]] async::Task<Result<pods::Image>> ensure(const kube::Pod& pod,
                                                          std::string container,
                                                          std::string reference,
                                                          std::string pull_policy) override;
    [[nodiscard]] async::Task<Result<pods::Image>> ensure_files(const kube::Pod& pod,
                                                                std::string container,
                                                                std::string reference,
                                                                std::string pull_policy) override;
    [[nodiscard]] async::Task<Result<pods::ModuleFile>> find_module(const pods::Image& image,
                                                                    std::string path) override;
    [[nodiscard]] std::optional<SteadyTime> back_off_until(
        const PodUid& pod, const std::string& reference) const override;
    void release(const PodUid& pod) override;

    // A pull that came to its end, good or bad.
    struct Pull {
        enum class End { done, failed } end = End::done;
        Duration took{};
        Bytes size;  // of the image; zero when it failed
    };
    // Told of each; empty for nobody.
    void set_pull_observer(std::function<void(const Pull&)> observer) {
        pull_observer_ = std::move(observer);
    }
    // Told about blobs as they arrive, for the command line; empty for none.
    void set_progress(ProgressSink progress) { progress_ = std::move(progress); }

private:
    struct BackOff {
        Duration delay{};
        SteadyTime since;
        std::string problem;
    };
    // One ensure(): what it is about. Lives in that coroutine's frame.
    struct Task {
        const kube::Pod& pod;
        std::string container;
        std::string written;  // the reference as the pod has it
        Reference reference;
        std::string command;
        std::vector<CredentialEntry> credentials;
        Purpose purpose = Purpose::run;
    };
    enum class Presence { usable, forbidden, absent };
    struct Local {
        Presence presence = Presence::absent;
        std::optional<LocalImage> image;
    };
    using Key = std::pair<std::string, std::string>;

    [[nodiscard]] async::Task<std::vector<CredentialEntry>> credentials_for(
        const kube::Pod& pod, const Reference& reference);
    [[nodiscard]] async::Task<Result<pods::Image>> ensure_for(Task task, std::string pull_policy);
    [[nodiscard]] async::Task<Result<Local>> look(const Task& task);
    [[nodiscard]] async::Task<Result<pods::Image>> pull(const Task& task);
    [[nodiscard]] async::Task<bool> prove(const Task& task, const StoredImage& image);
    void emit(const Task& task, pods::EventType type, std::string_view reason,
              std::string_view message);
    [[nodiscard]] tl::unexpected<Error> refuse(const Task& task, std::string_view reason, Code code,
                                               std::string message);
    void note_failure(const Key& key, const Error& error);
    void note_pull(const Pull& pull) const;

    Parts parts_;
    BackOffPolicy policy_;
    ProgressSink progress_;
    std::function<void(const Pull&)> pull_observer_;
    std::map<Key, BackOff> back_offs_;  // by pod uid and reference as written
    // Files in layers by what asked for them, and by what they are: the same file has many names.
    std::map<std::string, pods::ModuleFile> modules_;
    std::shared_ptr<const KnownDigests> known_digests_ = std::make_shared<const KnownDigests>();
};

// The node's images for its status: one entry for each manifest, with all its names. In no order.
[[nodiscard]] std::vector<kube::ContainerImage> image_list(const std::vector<StoredImage>& stored);

// The port's view of an image on the node.
[[nodiscard]] pods::Image to_port(const LocalImage& image);

// Where a process in a container of this image would look for `path`. Without known digests.
[[nodiscard]] ModuleQuery module_query(const pods::Image& image, std::string path);

}  // namespace skiff::images
