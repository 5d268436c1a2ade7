// Image volumes (contract row 67): the files of an image or artifact, read-only.
#include <fcntl.h>

#include "os/fd.h"
#include "os/file.h"
#include "os/mount.h"
#include "volumes/volumes.h"

namespace skiff::volumes {

namespace fs = std::filesystem;

namespace {

Result<void> show_file(const pods::ImageFile& file, const fs::path& folder) {
    auto fit = check_payload_path(file.name);
    if (!fit) {
        return fail(std::move(fit.error()).context("a file of the artifact"));
    }
    fs::path at = folder / file.name;
    SKIFF_CHECK(os::make_folders(at.parent_path(), 0755));
    auto shown = os::is_mount_point(at);
    if (shown && *shown) {
        return {};
    }
    SKIFF_TRY(os::Fd made, os::open(at, O_WRONLY | O_CREAT | O_NOFOLLOW, 0644));
    return os::mount_bind(file.path, at, os::BindAccess::read_only);
}

Result<void> show(const pods::Image& image, const fs::path& folder) {
    SKIFF_CHECK(os::make_folders(folder, 0755));
    SKIFF_TRY(bool shown, os::is_mount_point(folder));
    if (shown) {
        return {};
    }
    if (image.layers.size() == 1) {
        return os::mount_bind(image.layers.front(), folder, os::BindAccess::read_only);
    }
    if (!image.layers.empty()) {
        return os::mount_layers(image.layers, folder);
    }
    for (const pods::ImageFile& file : image.files) {
        SKIFF_CHECK(show_file(file, folder));
    }
    return {};
}

}  // namespace

async::Task<Result<pods::MountedVolume>> PodVolumes::mount_image(const kube::Pod& pod,
                                                                 std::string volume,
                                                                 pods::Image image) {
    PodUid uid(pod.metadata.uid);
    if (!state::can_name_a_file(volume) || !state::can_name_a_file(uid.str())) {
        co_return fail(Code::invalid, "volume {} or the pod's uid is no valid name", volume);
    }
    pods::MountedVolume mounted;
    mounted.path = paths_.pod_volume(uid, std::string(kImagePlugin), volume);
    mounted.origin = pods::VolumeOrigin::image;
    mounted.access = pods::MountedVolume::Access::read_only;
    auto work = [folder = mounted.path, image = std::move(image)] { return show(image, folder); };
    auto done = co_await file_work_.run(uid.str(), std::move(work));
    if (!done) {
        auto what = fmt::format("failed to mount image volume \"{}\"", volume);
        co_return fail(std::move(done.error()).context(what).with_reason("CreateContainerError"));
    }
    co_return mounted;
}

}  // namespace skiff::volumes
