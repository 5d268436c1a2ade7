#include "app/static_pods.h"

#include <algorithm>

#include "app/local_images.h"
#include "base/log.h"
#include "base/text.h"
#include "kube/codec.h"
#include "kube/defaults.h"
#include "kube/pod_fields.h"
#include "kube/validate.h"
#include "os/file.h"

namespace skiff::app {

// FNV-1a, 128 bits: the kubelet's way to make a uid from a file.
static std::string fnv128a(std::string_view text) {
    using Wide = unsigned __int128;
    constexpr Wide kPrime = (Wide{1} << 88) + 0x13b;
    Wide hash = (Wide{0x6c62272e07bb0142} << 64) + 0x62b821756295c58d;
    for (char c : text) {
        hash ^= static_cast<unsigned char>(c);
        hash *= kPrime;
    }
    return fmt::format("{:016x}{:016x}", static_cast<std::uint64_t>(hash >> 64),
                       static_cast<std::uint64_t>(hash));
}

// A static pod starts when there may be no API server: it cannot refer to what only that has.
static Result<void> refuse_references(const kube::Pod& pod) {
    for (std::size_t i = 0; i < pod.spec.volumes.size(); ++i) {
        const kube::Volume& volume = pod.spec.volumes[i];
        std::string_view kind = volume.configMap   ? "configMap"
                                : volume.secret    ? "secret"
                                : volume.projected ? "projected"
                                                   : "";
        if (!kind.empty()) {
            return fail(Code::invalid,
                        "spec.volumes[{}].{}: a static pod may not refer to API objects", i, kind);
        }
    }
    auto check = [](const std::vector<kube::Container>& containers) -> Result<void> {
        for (const kube::Container& container : containers) {
            bool refers = !container.envFrom.empty();
            for (const kube::EnvVar& variable : container.env) {
                refers = refers || (variable.valueFrom && (variable.valueFrom->configMapKeyRef ||
                                                           variable.valueFrom->secretKeyRef));
            }
            if (refers) {
                return fail(Code::invalid,
                            "container {}: env: a static pod may not refer to API objects",
                            container.name);
            }
        }
        return {};
    };
    SKIFF_CHECK(check(pod.spec.initContainers));
    return check(pod.spec.containers);
}

// No taint ends what a file asks for.
static void tolerate_no_execute(kube::PodSpec& spec) {
    kube::Toleration every;
    every.operator_ = "Exists";
    every.effect = "NoExecute";
    if (std::find(spec.tolerations.begin(), spec.tolerations.end(), every) ==
        spec.tolerations.end()) {
        spec.tolerations.push_back(std::move(every));
    }
}

Result<std::vector<kube::Pod>> parse_static_pods(std::string_view text,
                                                 const std::filesystem::path& file,
                                                 const std::string& node_name, WallTime now) {
    SKIFF_TRY(auto documents, kube::parse_manifest(text));
    std::vector<kube::Pod> pods;
    for (const kube::Document& document : documents) {
        if (document.kind != "Pod") {
            return fail(Code::invalid, "line {}: kind \"{}\" is not allowed here; allowed: Pod",
                        document.line, bounded_utf8(document.kind, 80));
        }
        SKIFF_TRY(kube::Pod pod, kube::from_document<kube::Pod>(document));
        std::string uid = fnv128a(document.json + "\n" + node_name + "\n" + file.string());
        if (pod.metadata.namespace_.empty()) {
            pod.metadata.namespace_ = "default";
        }
        pod.metadata.name += "-" + node_name;
        pod.metadata.uid = uid;
        pod.metadata.generation = 1;
        pod.metadata.annotations[std::string(kube::kConfigSource)] = "file";
        pod.metadata.annotations[std::string(kube::kConfigHash)] = uid;
        pod.metadata.annotations["kubernetes.io/config.seen"] = format_rfc3339_nano(now);
        pod.spec.nodeName = node_name;
        tolerate_no_execute(pod.spec);
        kube::apply_defaults(pod);
        SKIFF_CHECK(kube::validate(pod));
        SKIFF_CHECK(refuse_references(pod));
        pods.push_back(std::move(pod));
    }
    return pods;
}

void StaticPods::forget_file(const std::string& name) {
    for (const PodUid& uid : files_[name].pods) {
        pods_.remove(uid);
    }
    files_.erase(name);
}

async::Task<void> StaticPods::read_file(std::filesystem::path file) {
    std::string name = file.string();
    File& known = files_[name];
    auto content = os::read_file(file, Bytes{kube::kManifestBytesMax});
    if (!content) {
        log::error("static pod file", log::kv("file", name),
                   log::kv("error", format_as(content.error())));
        co_return;
    }
    if (known.content == *content) {
        co_return;
    }
    known.content = *content;
    known.applied = false;
    auto parsed = parse_static_pods(*known.content, file, node_name_, clock_.wall_now());
    if (!parsed) {
        log::error("static pod file", log::kv("file", name),
                   log::kv("error", format_as(parsed.error())));
        co_return;
    }
    for (const PodUid& uid : std::exchange(known.pods, {})) {
        bool kept = false;
        for (const kube::Pod& pod : *parsed) {
            kept = kept || pod.metadata.uid == uid.str();
        }
        if (!kept) {
            pods_.remove(uid);
        }
    }
    bool all = true;
    for (kube::Pod& pod : *parsed) {
        auto loaded = co_await load_local_images(store_, pod, file.parent_path());
        if (!loaded) {
            log::error("static pod file", log::kv("file", name),
                       log::kv("error", format_as(loaded.error())));
            known.content.reset();  // to be tried again at the next scan
            all = false;
            continue;
        }
        known.pods.push_back(PodUid(pod.metadata.uid));
        pods_.apply(std::make_shared<const kube::Pod>(std::move(pod)));
    }
    known.applied = all;
}

bool StaticPods::may_own(const PodUid& uid) const {
    constexpr std::size_t kUidDigits = 32;
    bool looks_so = uid.str().size() == kUidDigits &&
                    uid.str().find_first_not_of("0123456789abcdef") == std::string::npos;
    auto applied = [](const auto& entry) { return entry.second.applied; };
    return looks_so && !(listed_ && std::ranges::all_of(files_, applied));
}

async::Task<void> StaticPods::scan() {
    std::vector<std::filesystem::path> present;
    std::error_code error;
    auto kind = std::filesystem::status(path_, error).type();
    if (kind == std::filesystem::file_type::none) {
        // Not being allowed to look is not an empty folder: what runs of it stays.
        log::error("static pod folder", log::kv("path", path_.string()),
                   log::kv("error", error.message()));
        listed_ = false;
        co_return;
    }
    if (kind == std::filesystem::file_type::directory) {
        auto names = os::list_folder(path_, kStaticFilesMax);
        if (!names) {
            log::error("static pod folder", log::kv("path", path_.string()),
                       log::kv("error", format_as(names.error())));
            listed_ = false;
            co_return;
        }
        for (const std::string& name : *names) {
            if (!name.starts_with('.')) {
                present.push_back(path_ / name);
            }
        }
    } else if (kind != std::filesystem::file_type::not_found) {
        present.push_back(path_);
    }
    for (const auto& file : present) {
        co_await read_file(file);
    }
    std::vector<std::string> gone;
    for (const auto& [name, file] : files_) {
        if (std::find(present.begin(), present.end(), name) == present.end()) {
            gone.push_back(name);
        }
    }
    for (const std::string& name : gone) {
        forget_file(name);
    }
    listed_ = true;
}

async::Task<void> StaticPods::run(Duration period) {
    while (true) {
        auto slept = co_await async::sleep_for(period);
        if (!slept) {
            co_return;
        }
        co_await scan();
    }
}

}  // namespace skiff::app
