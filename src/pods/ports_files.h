// The part of ports.h that containers' files come from: images and volumes. Include ports.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "async/task.h"
#include "base/result.h"
#include "base/time.h"
#include "base/types.h"
#include "kube/types.h"

namespace skiff::pods {

using async::Task;

// ---------------------------------------------------------------------------------------------------------------
// Images: implemented by images.

// The part of an OCI image config that a container inherits (contract row 25).
struct ImageConfig {
    std::vector<std::string> entrypoint;
    std::vector<std::string> cmd;
    std::vector<std::string> env;  // "NAME=value"
    std::string working_dir;
    std::string user;  // "uid", "uid:gid", or a name; empty is root
};

enum class ImageKind {
    artifact,  // the image is one Wasm module or component
    layered,   // a root filesystem with .wasm files in it
    files,     // of an artifact that is a volume
};

struct ImageFile {
    std::string name;  // a relative path, of whoever pushed it: to be checked
    std::filesystem::path path;
};

struct Image {
    std::string
        reference;  // as the pod names it, with defaults filled in ("docker.io/library/x:latest")
    std::string image_id;  // "repository@sha256:…": status.imageID
    ImageKind kind = ImageKind::artifact;
    Bytes size;
    ImageConfig config;
    // artifact: the module's file in the store, its digest "sha256:…", and its name (argv[0]).
    std::filesystem::path module;
    std::string module_digest;
    std::string module_name;
    // layered: unpacked read-only layer folders, lowest first.
    std::vector<std::filesystem::path> layers;
    std::vector<ImageFile> files;
};

// A Wasm file ready to be compiled.
struct ModuleFile {
    std::filesystem::path path;
    std::string digest;  // "sha256:…" of its bytes
    Bytes size;
};

// What one artifact is made from.
struct CompileRequest {
    ModuleFile module;
    std::vector<ModuleFile> plugs;     // components that are linked into it, in order
    std::string handler = "wasmtime";  // or pulley, wasmi
};

class Images {
public:
    virtual ~Images() = default;
    // Brings the image of `container` to the node by the rules of its imagePullPolicy, with the
    // pod's pull secrets, emitting the events Pulling, Pulled, Failed, BackOff (contract row 24).
    // On failure Error::reason is the waiting reason: ErrImagePull, ImagePullBackOff,
    // ErrImageNeverPull, InvalidImageName, ImageInspectError. The back-off is kept inside, per pod
    // uid and image: while it lasts the call fails at once with ImagePullBackOff.
    [[nodiscard]] virtual Task<Result<Image>> ensure(const kube::Pod& pod, std::string container,
                                                     std::string reference,
                                                     std::string pull_policy) = 0;
    // The same for an image volume (contract row 67): any image, and artifacts of any files. The
    // kind is layered or files.
    [[nodiscard]] virtual Task<Result<Image>> ensure_files(const kube::Pod& pod,
                                                           std::string container,
                                                           std::string reference,
                                                           std::string pull_policy) = 0;
    // The Wasm file `path` ("/x.wasm", or a name to be looked up in the image's PATH) of a layered
    // image.
    [[nodiscard]] virtual Task<Result<ModuleFile>> find_module(const Image& image,
                                                               std::string path) = 0;
    // When the back-off of this pod and image ends; nullopt when there is none.
    [[nodiscard]] virtual std::optional<SteadyTime> back_off_until(
        const PodUid& pod, const std::string& reference) const = 0;
    // The pod is gone: forget its back-offs and let its images be collected.
    virtual void release(const PodUid& pod) = 0;
};

// ---------------------------------------------------------------------------------------------------------------
// Volumes: implemented by volumes.

// Who made the files of a volume decides how ids are mapped into the pod's user namespace (design:
// idmapped mounts).
enum class VolumeOrigin {
    skiff,
    foreign,
    image,  // files as they were in the image
};

// With whose ids the pod's containers open files: with those of its own range; or with the
// machine's, because a foreign volume of the pod is on a filesystem that cannot map ids. The same
// for all volumes of a pod.
enum class VolumeIds { of_pod, of_machine };

struct MountedVolume {
    std::filesystem::path path;  // on the host: a folder, or a single file or socket for hostPath
    VolumeOrigin origin = VolumeOrigin::skiff;
    enum class Access { read_write, read_only } access = Access::read_write;
    VolumeIds ids = VolumeIds::of_pod;
    // A group that all containers of the pod get for its sake (of a PersistentVolume's annotation).
    std::optional<std::uint32_t> group;
};

// What volumes and environments may ask about the node and the running pod.
struct PodFacts {
    std::string node_name;
    std::vector<std::string> host_ips;
    std::vector<std::string> pod_ips;
    // Node allocatable, for resourceFieldRef of a limit that is not set.
    kube::ResourceList allocatable;
    Bytes memory_capacity;  // of the machine
};

// The longest file that is read from a volume for a container's variables.
inline constexpr Bytes kGuestFileBytesMax = 1_MiB;

// What files take on the disk.
struct DiskUse {
    Bytes bytes;
    std::uint64_t inodes = 0;
    // part: somebody hides files from being counted (os::tree_usage()); it is more than is told.
    enum class Counted { all, part } counted = Counted::all;
    friend bool operator==(const DiskUse&, const DiskUse&) = default;
};

struct VolumeUsage {
    std::string name;
    // memory: a tmpfs, which takes nothing of the disk. It has a size, so it cannot grow beyond.
    enum class Medium { disk, memory } medium = Medium::disk;
    DiskUse use;
    std::optional<Bytes> limit;  // emptyDir.sizeLimit
};

class Volumes {
public:
    virtual ~Volumes() = default;
    // Sets up every volume of the pod that a container mounts (but for images, see mount_image()),
    // or refreshes the contents of those
    // that are (ConfigMap, Secret, downward API, token). Idempotent; called again at every resync
    // and after a restart. Errors: reason FailedMount, the message names volume and cause; an
    // unknown kind is Code::unsupported and names the field. The folder map is keyed by volume
    // name.
    [[nodiscard]] virtual Task<Result<std::map<std::string, MountedVolume>>> set_up(
        const kube::Pod& pod, const PodFacts& facts) = 0;
    // Shows the files of an image volume, read-only. What is shown already stays, whatever `image`
    // is now. Fails with invalid for files that cannot have their names.
    [[nodiscard]] virtual Task<Result<MountedVolume>> mount_image(const kube::Pod& pod,
                                                                  std::string volume,
                                                                  Image image) = 0;
    // The host path of one volumeMount inside `volume` (subPath resolved safely, created where the
    // kubelet creates it). Fails with reason CreateContainerConfigError.
    [[nodiscard]] virtual Task<Result<std::filesystem::path>> resolve_mount(
        const kube::Pod& pod, const MountedVolume& volume, std::string sub_path) = 0;
    // A file of an emptyDir, as the pod's guests left it: links are followed inside the volume
    // only. Fails with not_found, invalid (no regular file), or exhausted (above
    // kGuestFileBytesMax).
    [[nodiscard]] virtual Task<Result<std::string>> read_file(const MountedVolume& volume,
                                                              std::string path) = 0;
    // What the pod's own volumes hold now, in the order of spec.volumes: emptyDir, ConfigMap,
    // Secret, downward API and projected ones, those that are set up. Those that belong to
    // somebody else (hostPath, claims, images) are not in it. Counted anew by each call, by a walk
    // in a pool: for loops of ten seconds and more. Fails with what the kernel says.
    [[nodiscard]] virtual Task<Result<std::vector<VolumeUsage>>> usage(const kube::Pod& pod) = 0;
    // Unmounts and removes everything of the pod. Idempotent; must succeed before the pod object is
    // deleted. Fails with conflict, and removes nothing, while something that is not ours is
    // mounted there.
    [[nodiscard]] virtual Task<Result<void>> tear_down(const PodUid& pod) = 0;
};

}  // namespace skiff::pods
