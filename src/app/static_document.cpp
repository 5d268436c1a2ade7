#include "app/static_document.h"

#include <algorithm>

#include "app/local_images.h"

namespace skiff::app {

async::Task<Result<void>> StaticDocument::take(std::string content) {
    if (content_ == content) {
        co_return Result<void>{};
    }
    content_ = std::move(content);
    applied_ = false;
    SKIFF_CO_TRY(auto parsed,
                 parse_static_pods(*content_, source_, ports_.node_name, ports_.clock.wall_now()));
    for (const PodUid& uid : std::exchange(pods_, {})) {
        bool kept = std::ranges::any_of(
            parsed, [&](const kube::Pod& pod) { return pod.metadata.uid == uid.str(); });
        if (!kept) {
            ports_.pods.remove(uid);
        }
    }
    Result<void> result;
    for (kube::Pod& pod : parsed) {
        if (!folder_.empty()) {
            auto loaded = co_await load_local_images(ports_.store, pod, folder_);
            if (!loaded) {
                content_.reset();  // to be tried again
                result = fail(std::move(loaded.error()));
                continue;
            }
        }
        pods_.push_back(PodUid(pod.metadata.uid));
        ports_.pods.apply(std::make_shared<const kube::Pod>(std::move(pod)));
    }
    applied_ = result.has_value();
    co_return result;
}

void StaticDocument::end() {
    for (const PodUid& uid : std::exchange(pods_, {})) {
        ports_.pods.remove(uid);
    }
}

}  // namespace skiff::app
