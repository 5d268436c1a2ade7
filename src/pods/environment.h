// The environment of a container (contract rows 26 to 28): what the image sets, then envFrom, then
// env in order, then the services of the namespace, then HOSTNAME.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "async/task.h"
#include "base/result.h"
#include "kube/types.h"
#include "pods/expand.h"
#include "pods/ports.h"

namespace skiff::pods {

struct Environment {
    std::vector<std::string> variables;  // "NAME=value", in order, names unique
    // What the pod itself declares (without the image's): for $(VAR) in command and args.
    Variables declared;
};

// The variables that describe services to a pod of namespace `ns`: those of the namespace when
// `links` says so, and always `kubernetes` of `default`.
enum class ServiceLinks { off, on };
[[nodiscard]] Variables service_variables(
    const std::vector<std::shared_ptr<const kube::Service>>& services, std::string_view ns,
    ServiceLinks links);

// Reads what the container refers to. Errors have reason CreateContainerConfigError; not_found and
// invalid are the user's to mend, anything else may pass by itself.
struct EnvironmentSources {
    Objects& objects;
    Volumes& volumes;                              // for files of variables
    std::map<std::string, MountedVolume> mounted;  // the pod's, by name
};
[[nodiscard]] Task<Result<Environment>> resolve_environment(EnvironmentSources sources,
                                                            std::shared_ptr<const kube::Pod> pod,
                                                            std::string container, PodFacts facts,
                                                            std::vector<std::string> image_env,
                                                            std::string hostname);

}  // namespace skiff::pods
