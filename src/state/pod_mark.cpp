#include "state/pod_mark.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"
#include "os/file.h"

namespace skiff::state {

Result<void> mark_pod(const Paths& paths, const PodUid& uid) {
    constexpr unsigned kFolderMode = 0750;
    SKIFF_CHECK(os::make_folders(paths.pod(uid), kFolderMode));
    SKIFF_CHECK(os::open(paths.pod_mark(uid), O_WRONLY | O_CREAT | O_NOFOLLOW, 0600));
    return {};
}

Result<void> unmark_pod(const Paths& paths, const PodUid& uid) {
    SKIFF_CHECK(os::remove_file(paths.pod_mark(uid)));
    ::rmdir(paths.pod(uid).c_str());  // fails, as it should, when somebody else keeps things there
    return {};
}

void remove_empty_pods(const Paths& paths) {
    for (const auto& name : os::list_folder(paths.pods()).value_or(std::vector<std::string>{})) {
        ::rmdir((paths.pods() / name).c_str());
    }
}

std::vector<PodUid> marked_pods(const Paths& paths) {
    std::vector<PodUid> marked;
    auto names = os::list_folder(paths.pods());
    if (!names && names.error().code != Code::not_found) {
        log::error("folder of pods not read", log::kv("error", format_as(names.error())));
    }
    for (const auto& name : names.value_or(std::vector<std::string>{})) {
        PodUid uid(name);
        if (can_name_a_file(name) && ::access(paths.pod_mark(uid).c_str(), F_OK) == 0) {
            marked.push_back(std::move(uid));
        }
    }
    return marked;
}

}  // namespace skiff::state
