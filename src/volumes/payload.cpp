#include "volumes/payload.h"

#include <filesystem>

#include "base/text.h"

namespace skiff::volumes {

namespace {
constexpr std::size_t kPathBytesMax = 4095;
constexpr std::size_t kNameBytesMax = 255;
constexpr std::size_t kShownBytesMax = 256;  // of a path or key, in messages
constexpr std::string_view kOfEveryContainer[] = {
    "/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf", "/run/skiff", "/dev/termination-log"};

std::string as_folder(std::string_view path) {
    std::string text = std::filesystem::path(path).lexically_normal().string();
    text = text.starts_with('/') ? text : "/" + text;
    return text.ends_with('/') ? text : text + "/";
}

// Where something is mounted in a container, as folders.
template <typename Container>
std::vector<std::string> places_in(const Container& container) {
    std::vector<std::string> places;
    for (const kube::VolumeMount& mount : container.volumeMounts) {
        places.push_back(as_folder(mount.mountPath));
    }
    for (std::string_view path : kOfEveryContainer) {
        places.push_back(as_folder(path));
    }
    if (!container.terminationMessagePath.empty()) {
        places.push_back(as_folder(container.terminationMessagePath));
    }
    return places;
}
}  // namespace

Result<void> check_payload_path(std::string_view path) {
    const std::string shown = bounded_utf8(path, kShownBytesMax);
    if (path.empty() || path.size() > kPathBytesMax) {
        return fail(Code::invalid, "path \"{}\" is empty or too long", shown);
    }
    if (path.front() == '/') {
        return fail(Code::invalid, "path \"{}\" must be relative", shown);
    }
    if (path.starts_with("..")) {
        return fail(Code::invalid, "path \"{}\" must not start with '..'", shown);
    }
    for (std::string_view part : split(path, '/')) {
        if (part.empty() || part == "." || part == "..") {
            return fail(Code::invalid, "path \"{}\" must not contain empty, '.' or '..' parts",
                        shown);
        }
        if (part.size() > kNameBytesMax || part.find('\0') != std::string_view::npos) {
            return fail(Code::invalid, "path \"{}\" has a part that is no file name", shown);
        }
    }
    return {};
}

std::set<std::string> nested_mount_points(const kube::Pod& pod, std::string_view volume) {
    std::set<std::string> names;
    auto add = [&](const auto& containers) {
        for (const auto& container : containers) {
            std::vector<std::string> inner = places_in(container);
            for (const kube::VolumeMount& outer : container.volumeMounts) {
                bool whole = outer.subPath.empty() && outer.subPathExpr.empty();
                std::string above = as_folder(outer.mountPath);
                for (const std::string& below : inner) {
                    if (outer.name == volume && whole && below.size() > above.size() &&
                        below.starts_with(above)) {
                        std::size_t end = below.find('/', above.size());
                        names.insert(below.substr(above.size(), end - above.size()));
                    }
                }
            }
        }
    };
    add(pod.spec.initContainers);
    add(pod.spec.containers);
    add(pod.spec.ephemeralContainers);
    return names;
}

std::uint32_t file_mode(const std::optional<std::int32_t>& own,
                        const std::optional<std::int32_t>& volume) {
    std::int32_t mode = own.value_or(volume.value_or(0644));
    return static_cast<std::uint32_t>(mode) & 0777U;
}

Result<void> add_selection(Payload& payload, const Keys& keys, const Selection& selection) {
    if (selection.items.empty()) {
        for (const auto& [key, content] : keys) {
            SKIFF_CHECK(check_payload_path(key));
            payload[key] = PayloadFile{content, selection.default_mode, std::nullopt};
        }
        return {};
    }
    for (const kube::KeyToPath& item : selection.items) {
        auto found = keys.find(item.key);
        if (found == keys.end()) {
            if (selection.presence == Presence::optional) {
                continue;
            }
            return fail(Code::not_found, "{} references non-existent key: {}",
                        selection.object_kind, bounded_utf8(item.key, kShownBytesMax));
        }
        SKIFF_CHECK(check_payload_path(item.path));
        std::uint32_t mode =
            item.mode ? file_mode(item.mode, std::nullopt) : selection.default_mode;
        payload[item.path] = PayloadFile{found->second, mode, std::nullopt};
    }
    return {};
}

}  // namespace skiff::volumes
