// One static manifest and what the node has of it: a file, or the answer of a URL.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "app/static_manifest.h"
#include "async/task.h"
#include "images/store.h"
#include "pods/pods.h"

namespace skiff::app {

// What documents need of the node. All outlive them.
struct StaticPorts {
    pods::Pods& pods;
    images::Store& store;
    const Clock& clock;
    std::string node_name;
};

// Reactor thread.
class StaticDocument {
public:
    // `ports` outlives it. Images may be paths, relative ones from `folder`, unless that is empty.
    StaticDocument(const StaticPorts& ports, ManifestSource source, std::filesystem::path folder)
        : ports_(ports), source_(std::move(source)), folder_(std::move(folder)) {}

    // The manifest is `content` now: new pods are applied, those that it no longer has are removed.
    // Content that was taken before is no work. Fails when it cannot be understood or an image not
    // be loaded: what runs of it stays, and the same content is no work again, except for an image.
    [[nodiscard]] async::Task<Result<void>> take(std::string content);
    // The manifest is gone, and its pods are.
    void end();
    // Whether every pod of the manifest as it was last is applied.
    [[nodiscard]] bool applied() const { return applied_; }

private:
    const StaticPorts& ports_;
    ManifestSource source_;
    std::filesystem::path folder_;
    std::optional<std::string> content_;  // nullopt: to be looked at again
    std::vector<PodUid> pods_;
    bool applied_ = false;
};

}  // namespace skiff::app
