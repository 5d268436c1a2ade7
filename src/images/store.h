// The node's images on disk: an OCI image layout that other tools can read, keyed by digest.
//
//   <root>/oci-layout, index.json, blobs/<algorithm>/<hex>   the layout
//   <root>/ingest/<hex>                                      blobs that are arriving
//   <root>/unpacked/<hex>                                    layers as folders, by diff id
//   <root>/quarantine/<name>                                 what failed its check
//
// Reactor thread only; everything that touches the disk runs on the blocking pool.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "async/blocking.h"
#include "async/event.h"
#include "images/formats.h"
#include "images/oci.h"
#include "images/reference.h"

namespace skiff::images {

// An entry of index.json: a name and the manifest that it means.
struct StoredImage {
    std::string reference;  // "docker.io/library/x:latest", or "name@digest" for what lost its tag
    std::string name;       // "docker.io/library/x"
    // What the name stood for in the registry: the digest of the index, where there was one.
    Digest resolved;
    Descriptor manifest;
    Bytes size;  // config and layers as they were transferred
    // Whether a registry and its access rules stand behind it, or somebody put it there by hand.
    enum class Origin { pulled, loaded } origin = Origin::pulled;

    // "name@digest": status.imageID.
    [[nodiscard]] std::string image_id() const { return name + "@" + resolved.str(); }
};

// A manifest and its config, parsed.
struct ImageDocuments {
    Manifest manifest;
    ImageDocument config;
};

class Store {
public:
    // Makes what is missing below `root`; what is corrupt is moved to quarantine. `pool` must
    // outlive the store.
    [[nodiscard]] static async::Task<Result<std::unique_ptr<Store>>> open(
        async::BlockingPool& pool, std::filesystem::path root);
    Store(const Store&) = delete;
    Store& operator=(const Store&) = delete;

    [[nodiscard]] std::filesystem::path blob_path(const Digest& digest) const;
    [[nodiscard]] std::filesystem::path ingest_path(const Digest& digest) const;
    [[nodiscard]] std::filesystem::path unpacked_path(const Digest& diff_id) const;
    [[nodiscard]] const std::filesystem::path& root() const { return root_; }
    [[nodiscard]] async::BlockingPool& pool() { return pool_; }

    // What `reference` means here: the same name and tag, or for a digest any entry of that name
    // and digest.
    [[nodiscard]] std::optional<StoredImage> find(const Reference& reference) const;
    [[nodiscard]] const std::vector<StoredImage>& list() const { return images_; }
    // Makes `image.reference` mean this image from now on, durably. What it meant before stays
    // under its digest.
    [[nodiscard]] async::Task<Result<void>> put(StoredImage image);
    // Forgets one entry; its blobs stay until collect(). Fails with not_found.
    [[nodiscard]] async::Task<Result<void>> remove(std::string reference);
    // Deletes blobs and folders that no entry leads to. Returns how many bytes of blobs went. Does
    // nothing while a Pin is held.
    [[nodiscard]] async::Task<Result<Bytes>> collect();

    // Keeps collect() away while blobs arrive that no entry leads to yet. Must not outlive the
    // store.
    class Pin {
    public:
        explicit Pin(Store& store) : store_(&store) { ++store.pins_; }
        Pin(Pin&& other) noexcept : store_(std::exchange(other.store_, nullptr)) {}
        Pin& operator=(Pin&&) = delete;
        ~Pin() {
            if (store_ != nullptr) {
                --store_->pins_;
            }
        }

    private:
        Store* store_;
    };
    // Waits while a collection runs.
    [[nodiscard]] async::Task<Result<Pin>> pin();

    // Whether the blob is here, whole and unchanged: hashed at the first question in this process
    // and again whenever the file changed. A corrupt one is moved to quarantine and absent.
    [[nodiscard]] async::Task<Result<bool>> has_blob(Digest digest, std::uint64_t size);
    // A small blob, always hashed. Fails with not_found (absent, or corrupt and quarantined).
    [[nodiscard]] async::Task<Result<std::string>> read_blob(Digest digest, Bytes limit);
    [[nodiscard]] async::Task<Result<void>> write_blob(Digest digest, std::string bytes);
    // The blob was just written and checked: spare has_blob() the hashing.
    void trust_blob(const Digest& digest);
    // The words of the image config, which must be here; empty for an image that has none.
    [[nodiscard]] async::Task<Result<ImageDocument>> read_config(Manifest manifest);
    // Manifest and config of an image, from memory where they were read before.
    [[nodiscard]] async::Task<Result<std::shared_ptr<const ImageDocuments>>> documents(
        Descriptor manifest);

private:
    // What a file was when its digest was right.
    struct Stamp {
        std::uint64_t device = 0;
        std::uint64_t inode = 0;
        std::uint64_t size = 0;
        std::int64_t changed_ns = 0;
        friend bool operator==(const Stamp&, const Stamp&) = default;
    };
    enum class BlobState { right, absent, wrong };
    struct Checked {
        BlobState state = BlobState::absent;
        Stamp stamp;
    };

    Store(async::BlockingPool& pool, std::filesystem::path root);
    static Result<std::vector<StoredImage>> set_up(const std::filesystem::path& root);
    static Result<std::vector<StoredImage>> load_index(const std::filesystem::path& root);
    static Result<Checked> check(const std::filesystem::path& path, const Digest& digest,
                                 std::uint64_t size, std::optional<Stamp> trusted);
    [[nodiscard]] async::Task<Result<void>> save(std::vector<StoredImage> images);
    [[nodiscard]] async::Task<Result<std::set<std::string>>> reachable();

    async::BlockingPool& pool_;
    std::filesystem::path root_;
    std::vector<StoredImage> images_;
    std::map<Digest, Stamp> stamps_;
    std::map<Digest, std::shared_ptr<const ImageDocuments>> documents_;
    // One writer of index.json at a time.
    async::Semaphore writing_{1};
    std::size_t pins_ = 0;
    // Set while no collection runs.
    async::Event settled_;
};

// Moves `path` to <root>/quarantine. Blocking. Whatever fails, `path` is gone afterwards.
void quarantine(const std::filesystem::path& root, const std::filesystem::path& path);

}  // namespace skiff::images
