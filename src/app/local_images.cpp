#include "app/local_images.h"

#include "base/text.h"
#include "images/digest.h"
#include "images/load.h"

namespace skiff::app {

bool is_path(std::string_view image) {
    return image.starts_with('/') || image.starts_with("./") || image.starts_with("../");
}

std::string local_image_name(const std::filesystem::path& path) {
    std::string name;
    for (char c : to_lower(path.stem().string())) {
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (plain || (!name.empty() && name.back() != '-')) {
            name += plain ? c : '-';
        }
    }
    while (!name.empty() && name.back() == '-') {
        name.pop_back();
    }
    std::string hash = images::digest_of(path.string()).hex().substr(0, 12);
    return fmt::format("localhost/{}:{}", name.empty() ? "module" : name, hash);
}

static async::Task<Result<void>> load_one(images::Store& store, kube::Container& container,
                                          std::filesystem::path folder) {
    if (!is_path(container.image)) {
        co_return Result<void>{};
    }
    std::filesystem::path path = (folder / container.image).lexically_normal();
    images::LoadRequest request;
    request.path = path.string();
    request.name = local_image_name(path);
    auto loaded = co_await images::load_image(store, std::move(request));
    if (!loaded) {
        co_return fail(std::move(loaded.error())
                           .context(fmt::format("container {}: image {}", container.name,
                                                bounded_utf8(container.image, 200))));
    }
    container.image = loaded->reference;
    container.imagePullPolicy = "IfNotPresent";
    co_return Result<void>{};
}

async::Task<Result<void>> load_local_images(images::Store& store, kube::Pod& pod,
                                            std::filesystem::path folder) {
    for (kube::Container& container : pod.spec.initContainers) {
        SKIFF_CO_CHECK(co_await load_one(store, container, folder));
    }
    for (kube::Container& container : pod.spec.containers) {
        SKIFF_CO_CHECK(co_await load_one(store, container, folder));
    }
    co_return Result<void>{};
}

}  // namespace skiff::app
