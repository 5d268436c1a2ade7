#include "images/load.h"

#include <fcntl.h>
#include <unistd.h>

#include <vector>

#include "base/random.h"
#include "base/text.h"
#include "images/ingest.h"
#include "images/limits.h"
#include "images/unpack.h"
#include "os/fd.h"
#include "os/file.h"

namespace skiff::images {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kModuleMagic("\0asm", 4);
constexpr std::string_view kRefName = "org.opencontainers.image.ref.name";

fs::path blob_in(const fs::path& layout, const Digest& digest) {
    return layout / "blobs" / digest.algorithm() / digest.hex();
}

// Removes a folder when it is done with.
struct Temporary {
    fs::path path;
    ~Temporary() { (void)os::remove_tree(path); }
};

class Loader {
public:
    Loader(fs::path root, LoadRequest request)
        : root_(std::move(root)), request_(std::move(request)) {}

    Result<StoredImage> run() {
        fs::path path = request_.path;
        std::string choice;
        std::error_code error;
        if (auto colon = request_.path.rfind(':');
            !fs::exists(path, error) && colon != std::string::npos) {
            choice = request_.path.substr(colon + 1);
            path = request_.path.substr(0, colon);
        }
        if (!fs::exists(path, error)) {
            return fail(Code::not_found, "no file or folder {}", request_.path);
        }
        if (fs::is_directory(path, error)) {
            return load_layout(path, choice, path.filename().string());
        }
        SKIFF_TRY(os::Fd file, os::open_regular(fs::canonical(path, error)));
        char head[4] = {};
        if (::pread(file.get(), head, sizeof head, 0) == sizeof head &&
            std::string_view(head, sizeof head) == kModuleMagic) {
            return load_module(file.get(), path.filename().string());
        }
        return load_archive(fs::canonical(path, error), choice);
    }

private:
    // A reference that a user can type: what was asked for, or made of the file's name.
    Result<Reference> name_for(std::string_view file) const {
        if (!request_.name.empty()) {
            return parse_reference(request_.name);
        }
        std::string word;
        for (char c : to_lower(file.substr(0, file.rfind('.')))) {
            bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
            if (plain) {
                word += c;
            } else if (!word.empty() && word.back() != '-') {
                word += '-';
            }
        }
        while (word.ends_with('-')) {
            word.pop_back();
        }
        return parse_reference("localhost/" + (word.empty() ? "image" : word.substr(0, 100)));
    }

    Result<void> copy_blob(int from, const Digest& digest, std::uint64_t size) {
        fs::path target = blob_in(root_, digest);
        SKIFF_TRY(auto ingest, Ingest::open(root_ / "ingest" / digest.hex(), digest, size));
        SKIFF_CHECK(ingest->restart());
        std::vector<char> buffer(1U << 20);
        off_t offset = 0;
        while (true) {
            ssize_t n = ::pread(from, buffer.data(), buffer.size(), offset);
            if (n < 0 && errno == EINTR) {
                continue;
            }
            if (n < 0) {
                return fail_errno(errno, "read " + digest.str());
            }
            if (n == 0) {
                return ingest->finish(target);
            }
            SKIFF_CHECK(
                ingest->append(std::string_view(buffer.data(), static_cast<std::size_t>(n))));
            offset += n;
        }
    }

    Result<void> copy_blob(const fs::path& layout, const Descriptor& blob) {
        auto file = os::open_regular(blob_in(layout, blob.digest));
        if (!file) {
            return fail(std::move(file.error()).context("the layout lacks a part of the image"));
        }
        return copy_blob(file->get(), blob.digest, blob.size);
    }

    Result<void> write_blob(const Digest& digest, const std::string& bytes) {
        return os::write_file_atomic(blob_in(root_, digest), bytes, 0644, os::Durability::power);
    }

    Result<StoredImage> load_module(int file, const std::string& name) {
        SKIFF_TRY(Reference reference, name_for(name));
        SKIFF_TRY(FileDigest module, digest_of_file(file));
        SKIFF_CHECK(copy_blob(file, module.digest, module.size.value));
        ArtifactDocuments made = format_artifact(module.digest, module.size.value, name);
        Digest manifest = digest_of(made.manifest);
        SKIFF_CHECK(write_blob(digest_of(made.config), made.config));
        SKIFF_CHECK(write_blob(manifest, made.manifest));
        Descriptor descriptor{
            std::string(kOciManifest), manifest, made.manifest.size(), {}, std::nullopt, {}};
        return StoredImage{reference.str(),
                           reference.name(),
                           manifest,
                           std::move(descriptor),
                           Bytes{made.config.size() + module.size.value},
                           StoredImage::Origin::loaded};
    }

    Result<StoredImage> load_archive(const fs::path& file, const std::string& choice) {
        SystemRandom random;
        Temporary temporary{root_ / "unpacked" / (".load-" + random.hex(8))};
        SKIFF_CHECK(os::make_folders(temporary.path, 0700));
        UnpackRequest request{file,         temporary.path,    Content::archive,
                              std::nullopt, kUnpackedBytesMax, kUnpackedEntriesMax};
        auto unpacked = unpack(request);
        if (!unpacked) {
            return fail(
                std::move(unpacked.error()).context("neither a Wasm module nor an OCI archive"));
        }
        return load_layout(temporary.path, choice, file.filename().string());
    }

    static Result<Descriptor> choose(std::vector<Descriptor> entries, const std::string& choice) {
        std::string names;
        for (Descriptor& entry : entries) {
            std::string name = entry.annotations[std::string(kRefName)];
            if (!choice.empty() && name == choice) {
                return std::move(entry);
            }
            names += (names.empty() ? "" : ", ") + name;
        }
        if (!choice.empty()) {
            return fail(Code::not_found, "the layout has no image {:?} (it has: {})", choice,
                        bounded_utf8(names, 512));
        }
        if (entries.size() == 1) {
            return std::move(entries.front());
        }
        Index index{std::string(kOciIndex), std::move(entries), {}};
        const Descriptor* chosen = select_platform(index);
        if (chosen == nullptr) {
            return fail(Code::invalid, "the layout has {} images, choose one with PATH:NAME ({})",
                        index.manifests.size(), bounded_utf8(names, 512));
        }
        return *chosen;
    }

    static Result<std::string> read_document(const fs::path& layout, const Descriptor& entry) {
        SKIFF_TRY(std::string text,
                  os::read_file(blob_in(layout, entry.digest), Bytes{kManifestBytesMax}));
        Hasher hasher(entry.digest.algorithm());
        hasher.update(text);
        if (hasher.finish() != entry.digest) {
            return fail(Code::corrupt, "{} in the layout has another digest", entry.digest);
        }
        return text;
    }

    Result<StoredImage> load_layout(const fs::path& layout, const std::string& choice,
                                    const std::string& file) {
        auto text = os::read_file(layout / "index.json", Bytes{kIndexFileBytesMax});
        if (!text) {
            return fail(Code::unsupported, "{} is no OCI layout: it has no index.json",
                        request_.path);
        }
        SKIFF_TRY(auto entries, parse_layout_index(*text));
        SKIFF_TRY(Descriptor entry, choose(std::move(entries), choice));
        Digest top = entry.digest;
        SKIFF_TRY(std::string json, read_document(layout, entry));
        SKIFF_TRY(Document document, parse_document(json, entry.media_type));
        if (const Index* index = std::get_if<Index>(&document)) {
            const Descriptor* chosen = select_platform(*index);
            if (chosen == nullptr) {
                return fail(no_platform(*index));
            }
            SKIFF_CHECK(write_blob(top, json));
            entry = *chosen;
            SKIFF_TRY(json, read_document(layout, entry));
            SKIFF_TRY(document, parse_document(json, entry.media_type));
        }
        if (!std::holds_alternative<Manifest>(document)) {
            return fail(Code::unsupported, "an index inside an index");
        }
        const Manifest& manifest = std::get<Manifest>(document);
        SKIFF_CHECK(copy_blob(layout, manifest.config));
        for (const Descriptor& layer : manifest.layers) {
            SKIFF_CHECK(copy_blob(layout, layer));
        }
        SKIFF_CHECK(write_blob(entry.digest, json));
        SKIFF_TRY(Reference reference, name_for(choice.empty() ? file : choice));
        Descriptor descriptor{manifest.media_type, entry.digest,          json.size(), {},
                              std::nullopt,        manifest.artifact_type};
        return StoredImage{reference.str(),       reference.name(),  std::move(top),
                           std::move(descriptor), size_of(manifest), StoredImage::Origin::loaded};
    }

    fs::path root_;
    LoadRequest request_;
};

}  // namespace

async::Task<Result<StoredImage>> load_image(Store& store, LoadRequest request) {
    SKIFF_CO_TRY(auto pin, co_await store.pin());
    auto work = [root = store.root(), request = std::move(request)] {
        return Loader(root, request).run();
    };
    SKIFF_CO_TRY(StoredImage image, co_await store.pool().run(std::move(work)));
    SKIFF_CO_CHECK(co_await store.put(image));
    co_return std::move(image);
}

}  // namespace skiff::images
