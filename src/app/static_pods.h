// Pods from files: the static pods of --pod-manifest-path (contract row 54).
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/task.h"
#include "base/result.h"
#include "base/time.h"
#include "images/store.h"
#include "kube/types.h"
#include "pods/pods.h"

namespace skiff::app {

// Most files that are read from the folder; hidden ones are left out.
inline constexpr std::size_t kStaticFilesMax = 2000;

// The pods of one manifest, named and marked as the kubelet does: `<name>-<node>`, an uid that is a
// hash of content, node and file, the annotations kubernetes.io/config.*. Fails with invalid,
// naming field, value and what is allowed, also for references to API objects, which a static pod
// may not have. Pure.
[[nodiscard]] Result<std::vector<kube::Pod>> parse_static_pods(std::string_view text,
                                                               const std::filesystem::path& file,
                                                               const std::string& node_name,
                                                               WallTime now);

// Keeps `pods` in step with a folder (or one file). Reactor thread.
class StaticPods {
public:
    // `pods`, `store` and `clock` outlive it.
    StaticPods(pods::Pods& pods, images::Store& store, const Clock& clock,
               std::filesystem::path path, std::string node_name)
        : pods_(pods),
          store_(store),
          clock_(clock),
          path_(std::move(path)),
          node_name_(std::move(node_name)) {}

    // False when every file was read and understood by the last scan. Otherwise `uid` may be that
    // of a pod whose file cannot be read now, if it looks like one that parse_static_pods() makes:
    // what the node has of it has to stay.
    [[nodiscard]] bool may_own(const PodUid& uid) const;
    // Reads everything now: new and changed files are applied, pods of files that are gone are
    // removed. A file that cannot be read or parsed is one error in the log and leaves what runs of
    // it alone. Images may be paths.
    [[nodiscard]] async::Task<void> scan();
    // Scans every `period` until cancelled.
    [[nodiscard]] async::Task<void> run(Duration period);

private:
    struct File {
        std::optional<std::string> content;  // as looked at last; nullopt: to be looked at again
        std::vector<PodUid> pods;
        bool applied = false;  // all pods of `content`
    };
    [[nodiscard]] async::Task<void> read_file(std::filesystem::path file);
    void forget_file(const std::string& name);

    pods::Pods& pods_;
    images::Store& store_;
    const Clock& clock_;
    std::filesystem::path path_;
    std::string node_name_;
    std::map<std::string, File> files_;
    bool listed_ = false;  // by the last scan
};

}  // namespace skiff::app
