#include "images/store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "images/limits.h"
#include "os/fd.h"
#include "os/file.h"

namespace skiff::images {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kRefName = "org.opencontainers.image.ref.name";
constexpr std::string_view kName = "dev.skiff.image.name";
constexpr std::string_view kResolved = "dev.skiff.image.resolved";
constexpr std::string_view kSize = "dev.skiff.image.size";
constexpr std::string_view kOrigin = "dev.skiff.image.origin";
constexpr std::string_view kLayoutVersion = R"({"imageLayoutVersion":"1.0.0"})";
constexpr std::size_t kQuarantinedMax = 16;
constexpr Bytes kManifestLimit{kManifestBytesMax};
constexpr Bytes kConfigLimit{kConfigBytesMax};

std::string find(const Annotations& annotations, std::string_view key) {
    auto found = annotations.find(std::string(key));
    return found == annotations.end() ? std::string() : found->second;
}

Result<StoredImage> to_image(Descriptor entry) {
    std::string reference = find(entry.annotations, kRefName);
    std::string name = find(entry.annotations, kName);
    SKIFF_TRY(Digest resolved, Digest::parse(find(entry.annotations, kResolved)));
    auto origin = find(entry.annotations, kOrigin) == "loaded" ? StoredImage::Origin::loaded
                                                               : StoredImage::Origin::pulled;
    if (reference.empty() || name.empty()) {
        return fail(Code::corrupt, "an entry of index.json without a name");
    }
    Bytes size{parse_uint(find(entry.annotations, kSize)).value_or(0)};
    entry.annotations.clear();
    return StoredImage{
        std::move(reference), std::move(name), std::move(resolved), std::move(entry), size, origin};
}

// For an entry that was written before entries had a size. Zero when the manifest is not readable.
Bytes size_by_manifest(const fs::path& root, const Descriptor& manifest) {
    const Digest& digest = manifest.digest;
    auto text = os::read_file(root / "blobs" / digest.algorithm() / digest.hex(), kManifestLimit);
    auto document =
        text ? parse_document(*text, manifest.media_type) : Result<Document>(fail(text.error()));
    const Manifest* parts = document ? std::get_if<Manifest>(&*document) : nullptr;
    return parts == nullptr ? Bytes{} : size_of(*parts);
}

Descriptor to_entry(const StoredImage& image) {
    Descriptor entry = image.manifest;
    entry.annotations = Annotations{
        {std::string(kRefName), image.reference},
        {std::string(kName), image.name},
        {std::string(kResolved), image.resolved.str()},
        {std::string(kSize), std::to_string(image.size.value)},
        {std::string(kOrigin), image.origin == StoredImage::Origin::loaded ? "loaded" : "pulled"},
    };
    return entry;
}

std::vector<StoredImage>::iterator position(std::vector<StoredImage>& images,
                                            const std::string& reference) {
    return std::find_if(images.begin(), images.end(),
                        [&](const StoredImage& one) { return one.reference == reference; });
}

}  // namespace

void quarantine(const fs::path& root, const fs::path& path) {
    fs::path folder = root / "quarantine";
    (void)os::make_folders(folder, 0700);
    auto names = os::list_folder(folder);
    if (names && names->size() >= kQuarantinedMax) {
        // Kept for a look, not as an archive.
        for (const std::string& name : *names) {
            (void)os::remove_tree(folder / name);
        }
    }
    fs::path target = folder / path.filename();
    (void)os::remove_tree(target);
    log::warn("image file failed its check", log::kv("path", path.string()),
              log::kv("kept_as", target.string()));
    if (::rename(path.c_str(), target.c_str()) != 0) {
        (void)os::remove_tree(path);
    }
}

Store::Store(async::BlockingPool& pool, fs::path root) : pool_(pool), root_(std::move(root)) {
    settled_.set();
}

async::Task<Result<std::unique_ptr<Store>>> Store::open(async::BlockingPool& pool, fs::path root) {
    std::unique_ptr<Store> store(new Store(pool, root));
    auto work = [root] { return set_up(root); };
    SKIFF_CO_TRY(store->images_, co_await pool.run(std::move(work)));
    co_return std::move(store);
}

Result<std::vector<StoredImage>> Store::set_up(const fs::path& root) {
    SKIFF_CHECK(os::make_folders(root, 0700));
    for (const char* name : {"blobs/sha256", "blobs/sha512", "ingest", "unpacked"}) {
        SKIFF_CHECK(os::make_folders(root / name, 0755));
    }
    os::remove_stale_temporaries(root);
    os::remove_stale_temporaries(root / "blobs/sha256");
    os::remove_stale_temporaries(root / "blobs/sha512");
    SKIFF_TRY(auto unpacked, os::list_folder(root / "unpacked"));
    for (const std::string& name : unpacked) {
        if (name.starts_with('.')) {
            SKIFF_CHECK(os::remove_tree(root / "unpacked" / name));
        }
    }
    auto version = os::read_file(root / "oci-layout", 4_KiB);
    if (!version || *version != kLayoutVersion) {
        SKIFF_CHECK(os::write_file_atomic(root / "oci-layout", kLayoutVersion, 0644,
                                          os::Durability::power));
    }
    return load_index(root);
}

Result<std::vector<StoredImage>> Store::load_index(const fs::path& root) {
    fs::path path = root / "index.json";
    auto text = os::read_file(path, Bytes{kIndexFileBytesMax});
    std::vector<StoredImage> images;
    if (text) {
        auto entries = parse_layout_index(*text);
        if (entries) {
            for (Descriptor& entry : *entries) {
                // An entry that another tool wrote has no name of ours: not an image of the node.
                if (auto image = to_image(std::move(entry))) {
                    if (image->size == Bytes{}) {
                        image->size = size_by_manifest(root, image->manifest);
                    }
                    images.push_back(std::move(*image));
                }
            }
            return images;
        }
        // The blobs stay: a pull of the same image finds them.
        quarantine(root, path);
    } else if (text.error().code != Code::not_found) {
        quarantine(root, path);
    }
    SKIFF_CHECK(os::write_file_atomic(path, format_layout_index({}), 0644, os::Durability::power));
    return images;
}

fs::path Store::blob_path(const Digest& digest) const {
    return root_ / "blobs" / digest.algorithm() / digest.hex();
}

fs::path Store::ingest_path(const Digest& digest) const {
    return root_ / "ingest" / digest.hex();
}

fs::path Store::unpacked_path(const Digest& diff_id) const {
    return root_ / "unpacked" / diff_id.hex();
}

std::optional<StoredImage> Store::find(const Reference& reference) const {
    std::string text = reference.str();
    for (const StoredImage& image : images_) {
        if (image.reference == text) {
            return image;
        }
    }
    if (reference.digest) {
        for (const StoredImage& image : images_) {
            bool same =
                image.resolved == *reference.digest || image.manifest.digest == *reference.digest;
            if (same && image.name == reference.name()) {
                return image;
            }
        }
    }
    return std::nullopt;
}

async::Task<Result<void>> Store::save(std::vector<StoredImage> images) {
    std::vector<Descriptor> entries;
    for (const StoredImage& image : images) {
        entries.push_back(to_entry(image));
    }
    auto work = [path = root_ / "index.json", text = format_layout_index(entries)] {
        return os::write_file_atomic(path, text, 0644, os::Durability::power);
    };
    SKIFF_CO_CHECK(co_await pool_.run(std::move(work)));
    images_ = std::move(images);
    co_return Result<void>{};
}

async::Task<Result<void>> Store::put(StoredImage image) {
    SKIFF_CO_TRY(auto turn, co_await writing_.acquire());
    std::vector<StoredImage> images = images_;
    auto old = position(images, image.reference);
    if (old != images.end()) {
        StoredImage before = *old;
        images.erase(old);
        std::string by_digest = before.image_id();
        bool moved = before.resolved != image.resolved;
        if (moved && position(images, by_digest) == images.end()) {
            before.reference = by_digest;
            images.push_back(std::move(before));
        }
    }
    if (images.size() >= kImagesMax) {
        co_return fail(Code::exhausted, "more than {} images", kImagesMax);
    }
    images.push_back(std::move(image));
    co_return co_await save(std::move(images));
}

async::Task<Result<void>> Store::remove(std::string reference) {
    SKIFF_CO_TRY(auto turn, co_await writing_.acquire());
    std::vector<StoredImage> images = images_;
    auto found = position(images, reference);
    if (found == images.end()) {
        co_return fail(Code::not_found, "no image {:?}", reference);
    }
    images.erase(found);
    co_return co_await save(std::move(images));
}

Result<Store::Checked> Store::check(const fs::path& path, const Digest& digest, std::uint64_t size,
                                    std::optional<Stamp> trusted) {
    auto fd = os::open_regular(path);
    if (!fd) {
        if (fd.error().code == Code::not_found) {
            return Checked{};
        }
        return Checked{BlobState::wrong, {}};
    }
    struct stat found{};
    if (::fstat(fd->get(), &found) != 0) {
        return fail_errno(errno, "stat " + path.string());
    }
    Stamp stamp{found.st_dev, found.st_ino, static_cast<std::uint64_t>(found.st_size),
                found.st_ctim.tv_sec * 1'000'000'000LL + found.st_ctim.tv_nsec};
    if (trusted == stamp) {
        return Checked{BlobState::right, stamp};
    }
    if (stamp.size != size) {
        return Checked{BlobState::wrong, {}};
    }
    SKIFF_TRY(FileDigest real, digest_of_file(fd->get(), digest.algorithm()));
    return Checked{real.digest == digest ? BlobState::right : BlobState::wrong, stamp};
}

async::Task<Result<bool>> Store::has_blob(Digest digest, std::uint64_t size) {
    std::optional<Stamp> trusted;
    if (auto known = stamps_.find(digest); known != stamps_.end()) {
        trusted = known->second;
    }
    auto work = [root = root_, path = blob_path(digest), digest, size, trusted]() {
        auto checked = check(path, digest, size, trusted);
        if (checked && checked->state == BlobState::wrong) {
            quarantine(root, path);
        }
        return checked;
    };
    SKIFF_CO_TRY(Checked checked, co_await pool_.run(std::move(work)));
    if (checked.state != BlobState::right) {
        stamps_.erase(digest);
        co_return false;
    }
    stamps_[digest] = checked.stamp;
    co_return true;
}

void Store::trust_blob(const Digest& digest) {
    struct stat found{};
    if (::stat(blob_path(digest).c_str(), &found) == 0) {
        stamps_[digest] =
            Stamp{found.st_dev, found.st_ino, static_cast<std::uint64_t>(found.st_size),
                  found.st_ctim.tv_sec * 1'000'000'000LL + found.st_ctim.tv_nsec};
    }
}

async::Task<Result<std::string>> Store::read_blob(Digest digest, Bytes limit) {
    auto work = [root = root_, path = blob_path(digest), digest, limit]() -> Result<std::string> {
        SKIFF_TRY(std::string bytes, os::read_file(path, limit));
        Hasher hasher(digest.algorithm());
        hasher.update(bytes);
        if (hasher.finish() != digest) {
            quarantine(root, path);
            return fail(Code::not_found, "{} was corrupt on disk", digest);
        }
        return bytes;
    };
    co_return co_await pool_.run(std::move(work));
}

async::Task<Result<void>> Store::write_blob(Digest digest, std::string bytes) {
    auto work = [path = blob_path(digest), bytes = std::move(bytes)] {
        return os::write_file_atomic(path, bytes, 0644, os::Durability::power);
    };
    co_return co_await pool_.run(std::move(work));
}

async::Task<Result<ImageDocument>> Store::read_config(Manifest manifest) {
    if (!has_image_config(manifest)) {
        co_return ImageDocument{};
    }
    SKIFF_CO_TRY(std::string text, co_await read_blob(manifest.config.digest, kConfigLimit));
    auto config = parse_image_document(text);
    if (!config) {
        co_return fail(std::move(config.error()).context("image config"));
    }
    co_return std::move(*config);
}

async::Task<Result<std::shared_ptr<const ImageDocuments>>> Store::documents(Descriptor manifest) {
    if (auto known = documents_.find(manifest.digest); known != documents_.end()) {
        co_return known->second;
    }
    SKIFF_CO_TRY(std::string text, co_await read_blob(manifest.digest, kManifestLimit));
    SKIFF_CO_TRY(Document document, parse_document(text, manifest.media_type));
    if (!std::holds_alternative<Manifest>(document)) {
        co_return fail(Code::corrupt, "{} is not a manifest", manifest.digest);
    }
    Manifest parts = std::get<Manifest>(std::move(document));
    SKIFF_CO_TRY(ImageDocument config, co_await read_config(parts));
    ImageDocuments both{std::move(parts), std::move(config)};
    auto out = std::make_shared<const ImageDocuments>(std::move(both));
    documents_[manifest.digest] = out;
    co_return std::move(out);
}

async::Task<Result<std::set<std::string>>> Store::reachable() {
    std::set<std::string> keep;
    std::vector<StoredImage> images = images_;
    for (const StoredImage& image : images) {
        keep.insert(image.manifest.digest.hex());
        keep.insert(image.resolved.hex());
        auto found = co_await documents(image.manifest);
        if (!found) {
            // Its parts cannot be known: they stay unnamed and go, the next pull repairs the image.
            if (found.error().code == Code::cancelled) {
                co_return fail(std::move(found.error()));
            }
            continue;
        }
        keep.insert((*found)->manifest.config.digest.hex());
        for (const Descriptor& layer : (*found)->manifest.layers) {
            keep.insert(layer.digest.hex());
        }
        for (const Digest& diff_id : (*found)->config.diff_ids) {
            keep.insert(diff_id.hex());
        }
    }
    co_return std::move(keep);
}

async::Task<Result<Store::Pin>> Store::pin() {
    SKIFF_CO_CHECK(co_await settled_.wait());
    co_return Pin(*this);
}

async::Task<Result<Bytes>> Store::collect() {
    SKIFF_CO_TRY(auto turn, co_await writing_.acquire());
    SKIFF_CO_TRY(auto keep, co_await reachable());
    if (pins_ > 0) {
        co_return Bytes{0};
    }
    // From here to the end of the work on the pool nothing may rely on a blob: puts wait for their
    // turn, pulls for their pin.
    struct Settle {
        async::Event* event;
        ~Settle() { event->set(); }
    } settle{&settled_};
    settled_.reset();
    auto work = [root = root_, keep = std::move(keep)]() -> Result<Bytes> {
        Bytes freed;
        for (const char* folder : {"blobs/sha256", "blobs/sha512", "unpacked"}) {
            SKIFF_TRY(auto names, os::list_folder(root / folder, 1'000'000));
            for (const std::string& name : names) {
                if (keep.contains(name) || name.starts_with('.')) {
                    continue;
                }
                std::error_code error;
                auto size = fs::file_size(root / folder / name, error);
                freed.value += error ? 0 : size;
                SKIFF_CHECK(os::remove_tree(root / folder / name));
            }
        }
        return freed;
    };
    auto freed = co_await pool_.run(std::move(work));
    std::erase_if(documents_, [&](const auto& known) {
        return std::none_of(images_.begin(), images_.end(), [&](const StoredImage& image) {
            return image.manifest.digest == known.first;
        });
    });
    co_return std::move(freed);
}

}  // namespace skiff::images
