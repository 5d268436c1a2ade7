#include "images/puller.h"

#include <algorithm>
#include <set>

#include "images/unpack.h"

namespace skiff::images {

namespace fs = std::filesystem;

Puller::Puller(Store& store, Registry& registry, Downloads& downloads, const Clock& clock,
               std::size_t images_in_parallel)
    : store_(store),
      registry_(registry),
      downloads_(downloads),
      clock_(clock),
      of_registry_max_(std::max<std::size_t>(images_in_parallel, 2) - 1),
      pulling_(Turns::Limits{images_in_parallel, kPullTurnMax}) {}

async::Task<Result<PullOutcome>> Puller::pull(PullRequest request) {
    SteadyTime asked = clock_.steady_now();
    std::vector<Turns::Group> groups = {{request.reference.registry, of_registry_max_}};
    SKIFF_CO_TRY(auto turn, co_await pulling_.take(std::move(groups)));
    Duration waiting = clock_.steady_now() - asked;
    if (request.credentials.empty()) {
        SKIFF_CO_TRY(LocalImage image, co_await pull_with(request, std::nullopt));
        co_return PullOutcome{std::move(image), std::nullopt, waiting};
    }
    std::optional<Error> problem;
    for (const CredentialEntry& entry : request.credentials) {
        std::optional<Credential> credential = entry.credential;
        auto image = co_await pull_with(request, std::move(credential));
        if (image) {
            co_return PullOutcome{std::move(*image), entry, waiting};
        }
        problem = std::move(image.error());
        bool other_may_do = problem->code == Code::unauthenticated ||
                            problem->code == Code::denied || problem->code == Code::not_found;
        if (!other_may_do) {
            break;
        }
    }
    co_return fail(std::move(*problem));
}

async::Task<Result<Puller::Resolved>> Puller::resolve(Reference reference, Purpose purpose,
                                                      std::optional<Credential> credential) {
    SKIFF_CO_TRY(FetchedDocument top, co_await registry_.fetch_manifest(reference, credential));
    SKIFF_CO_TRY(Document document, parse_document(top.bytes, top.content_type));
    std::vector<FetchedDocument> fetched;
    fetched.push_back(top);
    if (const Index* index = std::get_if<Index>(&document)) {
        const Descriptor* chosen = select_platform(*index, purpose);
        if (chosen == nullptr) {
            co_return fail(no_platform(*index));
        }
        Reference child = reference;
        child.digest = chosen->digest;
        std::uint64_t announced = chosen->size;
        std::string type = chosen->media_type;
        SKIFF_CO_TRY(FetchedDocument inner, co_await registry_.fetch_manifest(child, credential));
        if (inner.bytes.size() != announced) {
            co_return fail(Code::corrupt, "the index announces {} bytes for {}, {} came", announced,
                           inner.digest, inner.bytes.size());
        }
        SKIFF_CO_TRY(document, parse_document(inner.bytes, type));
        fetched.push_back(std::move(inner));
    }
    if (!std::holds_alternative<Manifest>(document)) {
        co_return fail(Code::unsupported, "an index inside an index");
    }
    const FetchedDocument& last = fetched.back();
    Manifest manifest = std::get<Manifest>(std::move(document));
    Descriptor descriptor{manifest.media_type, last.digest,           last.bytes.size(), {},
                          std::nullopt,        manifest.artifact_type};
    co_return Resolved{top.digest, std::move(descriptor), std::move(manifest), std::move(fetched)};
}

async::Task<Result<LocalImage>> Puller::pull_with(PullRequest request,
                                                  std::optional<Credential> credential) {
    SKIFF_CO_TRY(auto pin, co_await store_.pin());
    SKIFF_CO_TRY(Resolved resolved,
                 co_await resolve(request.reference, request.purpose, credential));
    const Manifest& manifest = resolved.document;
    BlobSource source{request.reference, credential};
    // The config first: it tells a Linux image before any layer is fetched.
    std::vector<Descriptor> config_only = {manifest.config};
    SKIFF_CO_CHECK(co_await downloads_.fetch(std::move(config_only), source, nullptr));
    SKIFF_CO_TRY(ImageDocument config, co_await store_.read_config(manifest));
    SKIFF_CO_TRY(Recipe recipe, classify(Candidate{manifest, config, request.reference.repository,
                                                   request.command, request.purpose}));
    SKIFF_CO_CHECK(co_await prove_access(request.reference, manifest.layers, credential));
    SKIFF_CO_CHECK(co_await downloads_.fetch(manifest.layers, source, request.progress));
    for (FetchedDocument& document : resolved.fetched) {
        SKIFF_CO_TRY(bool here, co_await store_.has_blob(document.digest, document.bytes.size()));
        if (!here) {
            SKIFF_CO_CHECK(co_await store_.write_blob(document.digest, std::move(document.bytes)));
        }
    }
    StoredImage stored{
        request.reference.str(), request.reference.name(), resolved.top,
        resolved.manifest,       size_of(manifest),        StoredImage::Origin::pulled};
    LocalImage image{stored, recipe, {}};
    if (request.until == PullRequest::Until::runnable) {
        SKIFF_CO_TRY(image.paths, co_await lay_out(recipe));
    }
    auto known = store_.find(request.reference);
    bool same = known && known->reference == stored.reference &&
                known->resolved == stored.resolved &&
                known->manifest.digest == stored.manifest.digest && known->size == stored.size;
    if (!same) {
        SKIFF_CO_CHECK(co_await store_.put(std::move(stored)));
    }
    co_return std::move(image);
}

// A layer may be here because another repository has it. That a manifest names its digest does not
// show that whoever wrote the manifest may read it: the registry must say so.
async::Task<Result<void>> Puller::prove_access(Reference reference, std::vector<Descriptor> layers,
                                               std::optional<Credential> credential) {
    std::set<Digest> proven;
    std::vector<StoredImage> images = store_.list();
    for (const StoredImage& image : images) {
        if (image.name != reference.name()) {
            continue;
        }
        auto documents = co_await store_.documents(image.manifest);
        if (!documents) {
            continue;
        }
        for (const Descriptor& layer : (*documents)->manifest.layers) {
            proven.insert(layer.digest);
        }
    }
    for (const Descriptor& layer : layers) {
        if (proven.contains(layer.digest)) {
            continue;
        }
        SKIFF_CO_TRY(bool here, co_await store_.has_blob(layer.digest, layer.size));
        if (here || downloads_.is_running(layer.digest)) {
            SKIFF_CO_CHECK(co_await registry_.check_blob(reference, layer.digest, credential));
        }
    }
    co_return Result<void>{};
}

async::Task<Result<LocalImage>> Puller::inspect(StoredImage stored, std::string command,
                                                Purpose purpose) {
    SKIFF_CO_TRY(auto documents, co_await store_.documents(stored.manifest));
    auto slash = stored.name.find('/');
    std::string repository = slash == std::string::npos ? "" : stored.name.substr(slash + 1);
    SKIFF_CO_TRY(Recipe recipe,
                 classify(Candidate{documents->manifest, documents->config, std::move(repository),
                                    std::move(command), purpose}));
    SKIFF_CO_TRY(auto paths, co_await lay_out(recipe));
    co_return LocalImage{std::move(stored), std::move(recipe), std::move(paths)};
}

async::Task<Result<std::vector<fs::path>>> Puller::lay_out(Recipe recipe) {
    std::vector<fs::path> paths;
    for (std::size_t i = 0; i < recipe.layers.size(); ++i) {
        const Descriptor& layer = recipe.layers[i];
        SKIFF_CO_TRY(bool here, co_await store_.has_blob(layer.digest, layer.size));
        if (!here) {
            co_return fail(Code::not_found, "layer {} is not on this node", layer.digest);
        }
        if (recipe.kind != Kind::layered) {
            paths.push_back(store_.blob_path(layer.digest));
            continue;
        }
        const Digest& diff_id = recipe.config.diff_ids[i];
        fs::path target = store_.unpacked_path(diff_id);
        auto work = [blob = store_.blob_path(layer.digest), diff_id, target] {
            return unpack_layer(blob, diff_id, target);
        };
        auto unpacked = co_await store_.pool().run(std::move(work));
        if (!unpacked) {
            co_return fail(std::move(unpacked.error()).context("unpack " + layer.digest.str()));
        }
        paths.push_back(std::move(target));
    }
    co_return std::move(paths);
}

}  // namespace skiff::images
