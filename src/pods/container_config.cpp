#include "pods/container_config.h"

#include <algorithm>
#include <fstream>

#include "base/text.h"
#include "kube/defaults.h"
#include "pods/observed.h"

namespace skiff::pods {
namespace {

constexpr std::string_view kConfigError = "CreateContainerConfigError";
constexpr std::uint64_t kIdMax = 65'535;  // what a pod's user namespace has
constexpr std::size_t kPasswdLinesMax = 10'000;
constexpr std::size_t kPathBytesMax = 4095;

struct ImageUser {
    enum class Kind { root_by_default, number, name } kind = Kind::root_by_default;
    std::uint32_t uid = 0;
    std::optional<std::uint32_t> gid;
    std::string name;
};

std::optional<std::uint32_t> parse_id(std::string_view text) {
    auto number = parse_uint(text);
    if (!number || *number > kIdMax) {
        return std::nullopt;
    }
    return static_cast<std::uint32_t>(*number);
}

// A name in etc/passwd of the uppermost layer that has one. Layers are plain trees that the
// unpacker made; a link in the way ends the search.
std::optional<ImageUser> look_up(const std::string& name, const Image& image) {
    for (auto layer = image.layers.rbegin(); layer != image.layers.rend(); ++layer) {
        std::error_code error;
        std::filesystem::path folder = *layer / "etc";
        if (std::filesystem::symlink_status(folder, error).type() !=
                std::filesystem::file_type::directory ||
            std::filesystem::symlink_status(folder / "passwd", error).type() !=
                std::filesystem::file_type::regular) {
            continue;
        }
        std::ifstream file(folder / "passwd");
        std::string line;
        for (std::size_t n = 0; n < kPasswdLinesMax && std::getline(file, line); ++n) {
            std::vector<std::string_view> parts = split(line, ':');
            if (parts.size() < 4 || parts[0] != name) {
                continue;
            }
            auto uid = parse_id(parts[2]);
            if (!uid) {
                return std::nullopt;
            }
            ImageUser user;
            user.kind = ImageUser::Kind::name;
            user.uid = *uid;
            user.gid = parse_id(parts[3]);
            user.name = name;
            return user;
        }
        return std::nullopt;
    }
    return std::nullopt;
}

// The image's USER. A name that cannot be resolved keeps kind name and no id.
Result<ImageUser> image_user(const Image& image) {
    ImageUser user;
    const std::string& text = image.config.user;
    if (text.empty()) {
        return user;
    }
    std::size_t colon = text.find(':');
    std::string name = text.substr(0, colon);
    if (colon != std::string::npos) {
        user.gid = parse_id(text.substr(colon + 1));
    }
    if (auto id = parse_id(name)) {
        user.kind = ImageUser::Kind::number;
        user.uid = *id;
        return user;
    }
    user.kind = ImageUser::Kind::name;
    user.name = name;
    if (auto found = look_up(name, image)) {
        user.uid = found->uid;
        user.gid = user.gid ? user.gid : found->gid;
        return user;
    }
    if (name != "root") {
        return fail_because(Code::invalid, kConfigError, "image's user {} is unknown in the image",
                            name);
    }
    return user;
}

template <typename T>
std::optional<T> first_of(const std::optional<T>& a, const std::optional<T>& b) {
    return a ? a : b;
}

std::string who(const kube::Pod& pod, const kube::Container& container) {
    return fmt::format("(pod: \"{}\", container: {})", describe_pod(pod), container.name);
}

Result<std::uint32_t> checked_id(std::string_view field, std::int64_t value) {
    if (value < 0 || static_cast<std::uint64_t>(value) > kIdMax) {
        return fail_because(Code::invalid, kConfigError,
                            "{} {} is not in 0-{}: a pod has a user namespace of its own", field,
                            value, kIdMax);
    }
    return static_cast<std::uint32_t>(value);
}

Result<void> hold_non_root(const kube::Pod& pod, const kube::Container& container,
                           const std::optional<std::int64_t>& run_as, const Result<ImageUser>& user,
                           const Image& image) {
    if (run_as) {
        if (*run_as == 0) {
            return fail_because(Code::invalid, kConfigError,
                                "container's runAsUser breaks non-root policy {}",
                                who(pod, container));
        }
        return {};
    }
    if (!user || user->kind == ImageUser::Kind::name) {
        return fail_because(Code::invalid, kConfigError,
                            "container has runAsNonRoot and image has non-numeric user ({}), "
                            "cannot verify user is non-root {}",
                            image.config.user.substr(0, image.config.user.find(':')),
                            who(pod, container));
    }
    if (user->uid == 0) {
        return fail_because(Code::invalid, kConfigError,
                            "container has runAsNonRoot and image will run as root {}",
                            who(pod, container));
    }
    return {};
}

void add_group(Identity& identity, std::uint32_t group) {
    if (std::ranges::find(identity.groups, group) == identity.groups.end()) {
        identity.groups.push_back(group);
    }
}

// "x.wasm#func" in two.
void split_function(Command& command, std::string& word) {
    std::size_t hash = word.rfind(".wasm#");
    if (hash != std::string::npos) {
        command.function = word.substr(hash + 6);
        word.resize(hash + 5);
    }
}

}  // namespace

Result<Identity> identity_of(const kube::Pod& pod, const kube::Container& container,
                             const Image& image) {
    const kube::PodSecurityContext of_pod =
        pod.spec.securityContext.value_or(kube::PodSecurityContext{});
    const kube::SecurityContext own = container.securityContext.value_or(kube::SecurityContext{});
    auto run_as = first_of(own.runAsUser, of_pod.runAsUser);
    auto run_as_group = first_of(own.runAsGroup, of_pod.runAsGroup);
    Result<ImageUser> user = image_user(image);
    if (first_of(own.runAsNonRoot, of_pod.runAsNonRoot).value_or(false)) {
        SKIFF_CHECK(hold_non_root(pod, container, run_as, user, image));
    }
    Identity identity;
    if (run_as) {
        SKIFF_TRY(identity.uid, checked_id("runAsUser", *run_as));
    } else if (!user) {
        return fail(std::move(user.error()));
    } else {
        identity.uid = user->uid;
        identity.gid = user->gid.value_or(0);
    }
    if (run_as_group) {
        SKIFF_TRY(identity.gid, checked_id("runAsGroup", *run_as_group));
    }
    for (std::int64_t group : of_pod.supplementalGroups) {
        SKIFF_TRY(std::uint32_t id, checked_id("supplementalGroups", group));
        add_group(identity, id);
    }
    if (of_pod.fsGroup) {
        SKIFF_TRY(std::uint32_t id, checked_id("fsGroup", *of_pod.fsGroup));
        add_group(identity, id);
    }
    return identity;
}

Result<std::string> termination_path(const kube::Container& container) {
    if (container.terminationMessagePath.empty()) {
        return "/dev/termination-log";
    }
    std::string path = container.terminationMessagePath;
    path.erase(0, path.find_first_not_of('/'));
    path = std::filesystem::path("/" + path).lexically_normal().string();
    if (path.ends_with('/')) {
        path.pop_back();
    }
    if (path.empty() || path.size() > kPathBytesMax) {
        return fail_because(Code::invalid, kConfigError,
                            "terminationMessagePath '{}' of container {} is no place for a file: "
                            "it needs a path below /, of at most {} bytes",
                            bounded_utf8(container.terminationMessagePath, 200), container.name,
                            kPathBytesMax);
    }
    return path;
}

Result<Command> command_of(const kube::Container& container, const Image& image,
                           const Variables& variables) {
    std::vector<std::string> words;
    std::vector<std::string> args;
    for (const std::string& word : container.command) {
        words.push_back(expand(word, variables));
    }
    for (const std::string& arg : container.args) {
        args.push_back(expand(arg, variables));
    }
    bool layered = image.kind == ImageKind::layered;
    if (words.empty()) {
        words = layered ? image.config.entrypoint : std::vector<std::string>{image.module_name};
        if (args.empty()) {
            args = image.config.cmd;
        }
    }
    words.insert(words.end(), args.begin(), args.end());
    if (words.empty() || words.front().empty()) {
        return fail_because(Code::invalid, "CreateContainerError",
                            "no command specified: neither the container nor the image says which "
                            ".wasm file to run");
    }
    Command command;
    split_function(command, words.front());
    if (layered) {
        command.module = words.front();
        bool relative = !command.module.starts_with('/');
        if (relative && command.module.find('/') != std::string::npos) {
            std::string folder =
                container.workingDir.empty() ? image.config.working_dir : container.workingDir;
            command.module = (folder.empty() ? std::string("/") : folder + "/") + command.module;
        }
    }
    command.argv = std::move(words);
    return command;
}

Console console_of(const kube::Container& container) {
    Console console;
    if (container.stdin) {
        console.kind = Console::Kind::pipes;
        console.input = container.stdinOnce ? Console::Input::once : Console::Input::open;
    }
    if (container.tty) {
        console.kind = Console::Kind::terminal;
    }
    return console;
}

}  // namespace skiff::pods
