#include "volumes/payload.h"

#include "base/text.h"

namespace skiff::volumes {

namespace {
constexpr std::size_t kPathBytesMax = 4095;
constexpr std::size_t kNameBytesMax = 255;
constexpr std::size_t kShownBytesMax = 256;  // of a path or key, in messages
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
