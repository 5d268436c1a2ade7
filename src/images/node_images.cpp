#include "images/node_images.h"

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "images/limits.h"

namespace skiff::images {

namespace {

using pods::EventType;

constexpr std::string_view kDefaultPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::string command_of(const kube::Pod& pod, const std::string& container) {
    auto first = [&](const auto& list) {
        for (const auto& one : list) {
            if (one.name == container && !one.command.empty()) {
                return one.command.front();
            }
        }
        return std::string();
    };
    std::string command = first(pod.spec.containers);
    if (command.empty()) {
        command = first(pod.spec.initContainers);
    }
    return command.empty() ? first(pod.spec.ephemeralContainers) : command;
}

// Milliseconds as Go prints a truncated duration.
std::string milliseconds(Duration duration) {
    auto whole = std::chrono::duration_cast<std::chrono::milliseconds>(duration);
    return format_duration(whole);
}

std::vector<CredentialEntry> entries_of(const kube::Secret& secret, const std::string& source) {
    struct Kind {
        const char* key;
        ConfigFormat format;
    };
    constexpr Kind kKinds[] = {{".dockerconfigjson", ConfigFormat::config_json},
                               {".dockercfg", ConfigFormat::dockercfg}};
    for (const Kind& kind : kKinds) {
        auto text = secret.data.find(kind.key);
        if (text == secret.data.end()) {
            continue;
        }
        auto entries = parse_docker_config(text->second.bytes, kind.format, source);
        if (entries) {
            return std::move(*entries);
        }
        log::warn("pull secret is unusable", log::kv("secret", source),
                  log::kv("why", entries.error().message));
    }
    return {};
}

}  // namespace

std::vector<kube::ContainerImage> image_list(const std::vector<StoredImage>& stored) {
    std::map<Digest, kube::ContainerImage> by_manifest;
    for (const StoredImage& image : stored) {
        kube::ContainerImage& entry = by_manifest[image.manifest.digest];
        for (const std::string& name : {image.image_id(), image.reference}) {
            if (std::ranges::find(entry.names, name) == entry.names.end()) {
                entry.names.push_back(name);
            }
        }
        entry.sizeBytes = static_cast<std::int64_t>(image.size.value);
    }
    std::vector<kube::ContainerImage> list;
    for (auto& [digest, image] : by_manifest) {
        list.push_back(std::move(image));
    }
    return list;
}

pods::Image to_port(const LocalImage& image) {
    pods::Image out;
    out.reference = image.stored.reference;
    out.image_id = image.stored.image_id();
    out.size = image.stored.size;
    const ImageDocument& config = image.recipe.config;
    out.config = pods::ImageConfig{config.entrypoint, config.cmd, config.env, config.working_dir,
                                   config.user};
    if (image.recipe.kind == Kind::artifact) {
        out.kind = pods::ImageKind::artifact;
        out.module = image.paths.front();
        out.module_digest = image.recipe.layers.front().digest.str();
        out.module_name = image.recipe.module_name;
    } else if (image.recipe.kind == Kind::files) {
        out.kind = pods::ImageKind::files;
        for (std::size_t i = 0; i < image.paths.size(); ++i) {
            out.files.push_back({image.recipe.names[i], image.paths[i]});
        }
    } else {
        out.kind = pods::ImageKind::layered;
        out.layers = image.paths;
    }
    return out;
}

NodeImages::NodeImages(Parts parts, BackOffPolicy back_off) : parts_(parts), policy_(back_off) {}

void NodeImages::emit(const Task& task, EventType type, std::string_view reason,
                      std::string_view message) {
    parts_.events.emit(task.pod, task.container, type, reason, message);
}

tl::unexpected<Error> NodeImages::refuse(const Task& task, std::string_view reason, Code code,
                                         std::string message) {
    // The kubelet's second event about the same: kubectl users look for it.
    emit(task, EventType::warning, "Failed", fmt::format("Error: {}", reason));
    return fail_because(code, reason, "{}", std::move(message));
}

async::Task<Result<pods::Image>> NodeImages::ensure(const kube::Pod& pod, std::string container,
                                                    std::string reference,
                                                    std::string pull_policy) {
    Task task{pod, container, reference, {}, command_of(pod, container), {}, Purpose::run};
    return ensure_for(std::move(task), std::move(pull_policy));
}

async::Task<Result<pods::Image>> NodeImages::ensure_files(const kube::Pod& pod,
                                                          std::string container,
                                                          std::string reference,
                                                          std::string pull_policy) {
    Task task{pod, container, reference, {}, {}, {}, Purpose::volume};
    return ensure_for(std::move(task), std::move(pull_policy));
}

async::Task<Result<pods::Image>> NodeImages::ensure_for(Task task, std::string pull_policy) {
    const std::string& reference = task.written;
    auto parsed = parse_reference(reference);
    if (!parsed) {
        std::string message = fmt::format(
            "Failed to apply default image tag {:?}: couldn't parse image name {:?}: {}", reference,
            reference, parsed.error().message);
        emit(task, EventType::warning, "InspectFailed", message);
        co_return refuse(task, "InvalidImageName", Code::invalid, std::move(message));
    }
    task.reference = std::move(*parsed);
    if (pull_policy.empty()) {
        bool moving = task.reference.tag == "latest" && !task.reference.digest;
        pull_policy = moving ? "Always" : "IfNotPresent";
    }
    if (pull_policy == "Always") {
        co_return co_await pull(task);
    }
    auto local = co_await look(task);
    if (!local && local.error().code == Code::cancelled) {
        co_return fail(std::move(local.error()));
    }
    if (!local) {
        std::string message =
            fmt::format("Failed to inspect image {:?}: {}", reference, local.error().message);
        emit(task, EventType::warning, "InspectFailed", message);
        co_return refuse(task, "ImageInspectError", local.error().code, std::move(message));
    }
    if (local->presence == Presence::usable) {
        emit(task, EventType::normal, "Pulled",
             fmt::format("Container image {:?} already present on machine and can be accessed by "
                         "the pod",
                         reference));
        co_return to_port(*local->image);
    }
    if (pull_policy == "Never") {
        std::string message =
            local->presence == Presence::absent
                ? fmt::format("Container image {:?} is not present with pull policy of Never",
                              reference)
                : fmt::format(
                      "Container image {:?} is present, but the pod has no credentials "
                      "for it, with pull policy of Never",
                      reference);
        emit(task, EventType::warning, "ErrImageNeverPull", message);
        co_return refuse(task, "ErrImageNeverPull", Code::not_found, std::move(message));
    }
    co_return co_await pull(task);
}

async::Task<std::vector<CredentialEntry>> NodeImages::credentials_for(const kube::Pod& pod,
                                                                      const Reference& reference) {
    std::vector<CredentialEntry> entries;
    std::string missing;
    for (const auto& named : pod.spec.imagePullSecrets) {
        auto secret = co_await parts_.objects.secret(pod, named.name);
        if (!secret) {
            missing += (missing.empty() ? "" : ", ") + named.name;
            continue;
        }
        std::string source = fmt::format("{}/{}/{}", (*secret)->metadata.namespace_,
                                         (*secret)->metadata.name, (*secret)->metadata.uid);
        for (CredentialEntry& entry : entries_of(**secret, source)) {
            entries.push_back(std::move(entry));
        }
    }
    if (!missing.empty()) {
        parts_.events.emit(
            pod, "", EventType::warning, "FailedToRetrieveImagePullSecret",
            fmt::format("Unable to retrieve some image pull secrets ({}); attempting to pull the "
                        "image may not succeed.",
                        missing));
    }
    auto found = find_credentials(entries, reference.name());
    for (CredentialEntry& entry :
         find_credentials(parts_.registry.settings().node_credentials, reference.name())) {
        found.push_back(std::move(entry));
    }
    co_return std::move(found);
}

async::Task<Result<NodeImages::Local>> NodeImages::look(const Task& task) {
    auto stored = parts_.store.find(task.reference);
    if (!stored) {
        co_return Local{};
    }
    auto image = co_await parts_.puller.inspect(*stored, task.command, task.purpose);
    if (!image && image.error().code == Code::not_found) {
        co_return Local{};
    }
    if (!image) {
        co_return fail(std::move(image.error()));
    }
    Local out{Presence::usable, std::move(*image)};
    std::vector<CredentialEntry> none;
    if (parts_.access.allows(*stored, none)) {
        co_return std::move(out);
    }
    Task with = task;
    with.credentials = co_await credentials_for(task.pod, task.reference);
    bool allowed = parts_.access.allows(*stored, with.credentials) || co_await prove(with, *stored);
    out.presence = allowed ? Presence::usable : Presence::forbidden;
    co_return std::move(out);
}

async::Task<bool> NodeImages::prove(const Task& task, const StoredImage& image) {
    std::vector<std::optional<CredentialEntry>> tries(task.credentials.begin(),
                                                      task.credentials.end());
    if (tries.empty()) {
        tries.push_back(std::nullopt);
    }
    for (const std::optional<CredentialEntry>& entry : tries) {
        std::optional<Credential> credential;
        if (entry) {
            credential = entry->credential;
        }
        auto granted =
            co_await parts_.registry.check_access(task.reference, image.resolved, credential);
        if (granted) {
            auto kept = co_await parts_.access.grant(image, entry);
            if (!kept) {
                log::warn("access record is not kept", log::kv("image", image.image_id()),
                          log::kv("why", kept.error().message));
            }
            co_return true;
        }
    }
    co_return false;
}

async::Task<Result<pods::Image>> NodeImages::pull(const Task& task) {
    Key key{task.pod.metadata.uid, task.written};
    if (auto found = back_offs_.find(key);
        found != back_offs_.end() &&
        parts_.clock.steady_now() < found->second.since + found->second.delay) {
        std::string message = fmt::format("Back-off pulling image {:?}", task.written);
        emit(task, EventType::normal, "BackOff", message);
        message += ": ErrImagePull: " + found->second.problem;
        co_return refuse(task, "ImagePullBackOff", Code::unavailable, std::move(message));
    }
    SteadyTime start = parts_.clock.steady_now();
    PullRequest request{task.reference, {}, task.command, progress_, task.purpose};
    request.credentials = co_await credentials_for(task.pod, task.reference);
    emit(task, EventType::normal, "Pulling", fmt::format("Pulling image {:?}", task.written));
    auto outcome = co_await parts_.puller.pull(std::move(request));
    if (outcome) {
        auto kept = co_await parts_.access.grant(outcome->image.stored, outcome->used);
        if (!kept) {
            outcome = fail(std::move(kept.error()));
        }
    }
    if (!outcome && outcome.error().code == Code::cancelled) {
        co_return fail(std::move(outcome.error()));
    }
    if (!outcome) {
        std::string problem = std::move(outcome.error().message);
        emit(task, EventType::warning, "Failed",
             fmt::format("Failed to pull image {:?}: {}", task.written, problem));
        Error error = outcome.error();
        error.message = problem;
        note_failure(key, error);
        note_pull({Pull::End::failed, parts_.clock.steady_now() - start, {}});
        co_return refuse(task, "ErrImagePull", error.code, std::move(problem));
    }
    back_offs_.erase(key);
    Duration whole = parts_.clock.steady_now() - start;
    Duration alone = std::max(Duration::zero(), whole - outcome->waiting);
    note_pull({Pull::End::done, whole, outcome->image.stored.size});
    emit(task, EventType::normal, "Pulled",
         fmt::format("Successfully pulled image {:?} in {} ({} including waiting). Image size: {} "
                     "bytes.",
                     task.written, milliseconds(alone), milliseconds(whole),
                     outcome->image.stored.size.value));
    co_return to_port(outcome->image);
}

void NodeImages::note_pull(const Pull& pull) const {
    if (pull_observer_) {
        pull_observer_(pull);
    }
}

void NodeImages::note_failure(const Key& key, const Error& error) {
    SteadyTime now = parts_.clock.steady_now();
    auto [entry, fresh] = back_offs_.try_emplace(key);
    BackOff& back_off = entry->second;
    // As the kubelet's: doubled at each failure, forgotten after twice the longest time without.
    bool forgotten = fresh || now - back_off.since > 2 * policy_.longest;
    back_off.delay = forgotten ? policy_.first : std::min(back_off.delay * 2, policy_.longest);
    back_off.since = now;
    back_off.problem = error.message;
}

std::optional<SteadyTime> NodeImages::back_off_until(const PodUid& pod,
                                                     const std::string& reference) const {
    auto found = back_offs_.find(Key{pod.str(), reference});
    if (found == back_offs_.end()) {
        return std::nullopt;
    }
    SteadyTime until =
        found->second.since + std::chrono::duration_cast<SteadyTime::duration>(found->second.delay);
    return until > parts_.clock.steady_now() ? std::optional(until) : std::nullopt;
}

void NodeImages::release(const PodUid& pod) {
    std::erase_if(back_offs_, [&](const auto& entry) { return entry.first.first == pod.str(); });
}

ModuleQuery module_query(const pods::Image& image, std::string path) {
    ModuleQuery query{image.layers, std::move(path), image.config.working_dir, {}, nullptr};
    std::string search(kDefaultPath);
    for (const std::string& variable : image.config.env) {
        if (variable.starts_with("PATH=")) {
            search = variable.substr(5);
        }
    }
    for (std::string_view folder : split(search, ':')) {
        query.search_path.emplace_back(folder.empty() ? "." : folder);
    }
    return query;
}

async::Task<Result<pods::ModuleFile>> NodeImages::find_module(const pods::Image& image,
                                                              std::string path) {
    // Layers are never changed once they are unpacked: the answer for a set of layers stays.
    std::string key = path + "\n" + image.config.working_dir;
    for (const auto& layer : image.layers) {
        key += "\n" + layer.string();
    }
    std::error_code error;
    if (auto known = modules_.find(key);
        known != modules_.end() && std::filesystem::exists(known->second.path, error)) {
        co_return known->second;
    }
    ModuleQuery query = module_query(image, path);
    query.known = known_digests_;
    auto work = [query = std::move(query)] { return find_module_in(query); };
    SKIFF_CO_TRY(FoundModule found, co_await parts_.store.pool().run(std::move(work)));
    pods::ModuleFile file{found.path, found.digest.str(), found.size};
    if (modules_.size() >= kModulesKnownMax) {
        modules_.clear();
    }
    modules_[key] = file;
    if (!known_digests_->contains(found.stamp)) {
        // Work on the pool may still read the old one.
        KnownDigests digests =
            known_digests_->size() < kDigestsKnownMax ? *known_digests_ : KnownDigests();
        digests.emplace(found.stamp, found.digest);
        known_digests_ = std::make_shared<const KnownDigests>(std::move(digests));
    }
    co_return std::move(file);
}

}  // namespace skiff::images
