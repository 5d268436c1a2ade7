// What a container's spec and its image together mean: whose ids, which module, which arguments,
// which limits, how it is stopped. Pure, but for looking a user's name up in the image's layers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "kube/types.h"
#include "pods/expand.h"
#include "pods/ports.h"

namespace skiff::pods {

// Who the guest is (contract row 51).
struct Identity {
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::vector<std::uint32_t> groups;
};

// runAsUser and runAsGroup, else the image's user, else root; runAsNonRoot is held. Errors have
// reason CreateContainerConfigError and the kubelet's texts.
[[nodiscard]] Result<Identity> identity_of(const kube::Pod& pod, const kube::Container& container,
                                           const Image& image);

// Which module runs with which arguments (design §7). For a layered image `module` is the path to
// look up; for an artifact it is empty: there is only one.
struct Command {
    std::string module;
    std::string function;  // what follows '#'
    std::vector<std::string> argv;
};

// Fails with reason CreateContainerError when neither pod nor image say what to run.
[[nodiscard]] Result<Command> command_of(const kube::Container& container, const Image& image,
                                         const Variables& variables);

// Where in the container the file for its termination message is: terminationMessagePath, as the
// kubelet takes it from the root and without its '..', else /dev/termination-log. Fails with reason
// CreateContainerConfigError where no file can be.
[[nodiscard]] Result<std::string> termination_path(const kube::Container& container);

// What clients who attach to the container find, by its `stdin`, `stdinOnce` and `tty`.
[[nodiscard]] Console console_of(const kube::Container& container);

}  // namespace skiff::pods
