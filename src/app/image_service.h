// `skiff image` on the store itself. Reactor thread only.
#pragma once

#include <filesystem>
#include <functional>

#include "app/image_rooms.h"
#include "app/image_verbs.h"
#include "pods/pods.h"
#include "runtime/runtime.h"

namespace skiff::app {

class ImageService final : public ImageVerbs {
public:
    // What it works with; all outlive it.
    struct Parts {
        ImageRooms& images;
        runtime::KeeperRuntime& runtime;
        std::filesystem::path root_dir;
        // Who needs the image beside containers that run: "pod default/x"; empty: nobody.
        std::function<std::string(const images::StoredImage&)> needed_by;
    };
    explicit ImageService(Parts parts) : parts_(std::move(parts)) {}

    [[nodiscard]] async::Task<Result<ImageList>> list() override;
    [[nodiscard]] async::Task<Result<void>> precompile(PrecompileRequest request,
                                                       StepSink steps) override;
    [[nodiscard]] async::Task<Result<RemovedImage>> remove(std::string reference) override;
    // Who needs the image now; empty: nobody.
    [[nodiscard]] std::string user_of(const images::StoredImage& image) const;

private:
    [[nodiscard]] async::Task<Result<void>> precompile_one(pods::ModuleFile module,
                                                           std::string name, std::string runtime,
                                                           StepSink steps);

    Parts parts_;
};

// Whether a container or a volume names the image.
[[nodiscard]] bool names_image(const kube::PodSpec& spec, const images::StoredImage& image);

// "pod ns/name" of one that has not ended and names the image, whether or not its containers run
// now; empty: there is none.
[[nodiscard]] std::string pod_that_needs(const pods::Pods& pods, const images::StoredImage& image);

// Drops compiled code of modules that no image of the store has any more. For whatever removes
// images. Returns the size of what went.
[[nodiscard]] async::Task<Result<Bytes>> drop_orphaned_artifacts(images::Store& store,
                                                                 runtime::KeeperRuntime& runtime);

}  // namespace skiff::app
