/* What WASI does not tell: modes, owners, blocks and filesystems, and who this is. Skiff does, to a
 * component by `skiff:pod`, to a core module by the module `skiff`; outside Wasm, for tests of this
 * code, it is POSIX. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "toolbox.h"

#ifdef __wasm__

struct attributes {
    mode_t mode;
    unsigned uid, gid;
    unsigned long long blocks;
    unsigned long magic;
};

/* From the root, for paths that WASI's libc takes relative to its own working directory. */
static const char* from_root(const char* path) {
    char folder[kPathMax];
    return path[0] == '/' || !path[0]
               ? path
               : join_path(getcwd(folder, sizeof folder) ? folder : "/", path);
}

#ifdef TOOLBOX_COMPONENT

#include "toolbox_component.h"

static int failed(skiff_pod_metadata_error_t error) {
    static const int numbers[] = {
        [SKIFF_POD_METADATA_ERROR_ACCESS] = EACCES,
        [SKIFF_POD_METADATA_ERROR_ILLEGAL_BYTE_SEQUENCE] = EILSEQ,
        [SKIFF_POD_METADATA_ERROR_INSUFFICIENT_MEMORY] = ENOMEM,
        [SKIFF_POD_METADATA_ERROR_INVALID] = EINVAL,
        [SKIFF_POD_METADATA_ERROR_IO] = EIO,
        [SKIFF_POD_METADATA_ERROR_LOOP] = ELOOP,
        [SKIFF_POD_METADATA_ERROR_NAME_TOO_LONG] = ENAMETOOLONG,
        [SKIFF_POD_METADATA_ERROR_NO_ENTRY] = ENOENT,
        [SKIFF_POD_METADATA_ERROR_NOT_DIRECTORY] = ENOTDIR,
        [SKIFF_POD_METADATA_ERROR_NOT_PERMITTED] = EPERM,
        [SKIFF_POD_METADATA_ERROR_READ_ONLY] = EROFS,
        [SKIFF_POD_METADATA_ERROR_UNSUPPORTED] = ENOTSUP,
    };
    errno = numbers[error];
    return -1;
}

static toolbox_component_string_t text_of(const char* path) {
    const char* whole = from_root(path);
    return (toolbox_component_string_t){.ptr = (uint8_t*)whole, .len = strlen(whole)};
}

static int attributes_of(const char* path, bool follow, struct attributes* into) {
    toolbox_component_string_t text = text_of(path);
    skiff_pod_metadata_attributes_t found;
    skiff_pod_metadata_error_t error;
    skiff_pod_metadata_path_flags_t flags =
        follow ? SKIFF_POD_METADATA_PATH_FLAGS_SYMLINK_FOLLOW : 0;
    if (!skiff_pod_metadata_get_attributes_at(flags, &text, &found, &error)) {
        return failed(error);
    }
    *into =
        (struct attributes){found.mode, found.uid, found.gid, found.blocks, found.filesystem_magic};
    skiff_pod_metadata_attributes_free(&found);
    return 0;
}

bool may_access(const char* path, int rights) {
    toolbox_component_string_t text = text_of(path);
    skiff_pod_metadata_error_t error;
    skiff_pod_metadata_rights_t asked = 0;
    asked |= rights & R_OK ? SKIFF_POD_METADATA_RIGHTS_READ : 0;
    asked |= rights & W_OK ? SKIFF_POD_METADATA_RIGHTS_WRITE : 0;
    asked |= rights & X_OK ? SKIFF_POD_METADATA_RIGHTS_EXECUTE : 0;
    return skiff_pod_metadata_check_access_at(&text, asked, &error) || (failed(error), false);
}

bool mode_set(const char* path, mode_t mode) {
    toolbox_component_string_t text = text_of(path);
    skiff_pod_metadata_error_t error;
    return skiff_pod_metadata_set_mode_at(&text, mode, &error) || (failed(error), false);
}

void identity_get(struct identity* into) {
    skiff_pod_identity_identity_t found;
    skiff_pod_identity_get_identity(&found);
    *into = (struct identity){.uid = found.uid, .gid = found.gid};
    for (size_t i = 0; i < found.groups.len && i < kGroupsMax; i++) {
        into->groups[into->group_count++] = found.groups.ptr[i];
    }
    toolbox_component_list_u32_free(&found.groups);
}

#else

#include "../skiff.h"

static bool done(int error) {
    errno = error ? error : errno;
    return error == 0;
}

static int attributes_of(const char* path, bool follow, struct attributes* into) {
    struct skiff_attributes found;
    const char* whole = from_root(path);
    if (!done(skiff_path_attributes_get(follow ? SKIFF_SYMLINK_FOLLOW : 0, whole, strlen(whole),
                                        &found, sizeof found))) {
        return -1;
    }
    *into =
        (struct attributes){found.mode, found.uid, found.gid, found.blocks, found.filesystem_magic};
    return 0;
}

bool may_access(const char* path, int rights) {
    const char* whole = from_root(path);
    unsigned asked = 0;
    asked |= rights & R_OK ? SKIFF_READ : 0;
    asked |= rights & W_OK ? SKIFF_WRITE : 0;
    asked |= rights & X_OK ? SKIFF_EXECUTE : 0;
    return done(skiff_path_access_check(whole, strlen(whole), asked));
}

bool mode_set(const char* path, mode_t mode) {
    const char* whole = from_root(path);
    return done(skiff_path_mode_set(whole, strlen(whole), mode));
}

void identity_get(struct identity* into) {
    struct skiff_identity found = {0};
    skiff_identity_get(&found, sizeof found);
    *into = (struct identity){.uid = found.uid, .gid = found.gid};
    for (size_t i = 0;
         i < found.group_count && i < sizeof found.groups / sizeof *found.groups && i < kGroupsMax;
         i++) {
        into->groups[into->group_count++] = found.groups[i];
    }
}

#endif

int status_of(const char* path, bool follow, struct stat* status) {
    struct attributes more;
    if ((follow ? stat(path, status) : lstat(path, status)) != 0) {
        return -1;
    }
    if (attributes_of(path, follow, &more) == 0) {
        status->st_mode = more.mode;
        status->st_uid = more.uid;
        status->st_gid = more.gid;
        status->st_blocks = (blkcnt_t)more.blocks;
    }
    return 0;
}

bool filesystem_of(const char* path, unsigned long* magic) {
    struct attributes found;
    bool fine = attributes_of(path, true, &found) == 0;
    *magic = fine ? found.magic : 0;
    return fine;
}

#else

#include <sys/vfs.h>

int status_of(const char* path, bool follow, struct stat* status) {
    return follow ? stat(path, status) : lstat(path, status);
}

bool may_access(const char* path, int rights) {
    return access(path, rights) == 0;
}

bool mode_set(const char* path, mode_t mode) {
    return chmod(path, mode) == 0;
}

bool filesystem_of(const char* path, unsigned long* magic) {
    struct statfs found;
    bool fine = statfs(path, &found) == 0;
    *magic = fine ? (unsigned long)found.f_type : 0;
    return fine;
}

void identity_get(struct identity* into) {
    gid_t groups[kGroupsMax];
    int count = getgroups(kGroupsMax, groups);
    *into = (struct identity){.uid = geteuid(), .gid = getegid()};
    for (int i = 0; i < count; i++) {
        into->groups[into->group_count++] = groups[i];
    }
}

#endif
