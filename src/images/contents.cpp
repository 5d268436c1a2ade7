#include "images/contents.h"

#include "images/modules.h"

namespace skiff::images {

async::Task<Result<std::set<Digest>>> find_modules(Store& store,
                                                   std::map<Digest, std::uint64_t> wanted) {
    std::set<Digest> found;
    std::set<Digest> layers;
    const std::vector<StoredImage> images = store.list();
    for (const StoredImage& image : images) {
        auto documents = co_await store.documents(image.manifest);
        if (!documents) {
            if (documents.error().code == Code::cancelled) {
                co_return fail(std::move(documents.error()));
            }
            continue;  // of no use before it is pulled again
        }
        for (const Descriptor& layer : (*documents)->manifest.layers) {
            if (wanted.contains(layer.digest)) {
                found.insert(layer.digest);
            }
        }
        layers.insert((*documents)->config.diff_ids.begin(), (*documents)->config.diff_ids.end());
    }
    for (const Digest& digest : found) {
        wanted.erase(digest);
    }
    for (const Digest& layer : layers) {
        auto folder = store.unpacked_path(layer);
        std::error_code error;
        if (wanted.empty() || !std::filesystem::is_directory(folder, error)) {
            continue;
        }
        auto work = [folder, wanted] { return find_digests_in(folder, wanted); };
        SKIFF_CO_TRY(std::set<Digest> here, co_await store.pool().run(std::move(work)));
        for (const Digest& digest : here) {
            wanted.erase(digest);
            found.insert(digest);
        }
    }
    co_return std::move(found);
}

}  // namespace skiff::images
