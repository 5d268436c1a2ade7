/* What a Skiff node offers to core modules beyond WASI, as C declares it (docs/guest-api.md).
 * Programs outside this repository may copy this file.
 *
 * Functions that return an int return 0 or WASI's errno, whose numbers are those of wasi-libc's
 * errno.h. Paths need no NUL and are looked up from the root folder; slashes at the beginning do
 * not matter, and neither `..` nor a symbolic link leads out of the root. An answer is written as
 * far as `room` bytes reach.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SKIFF_IMPORT(name) __attribute__((import_module("skiff"), import_name(name)))

/* Whether the guest was asked to stop. A module that imports this has the grace period. */
SKIFF_IMPORT("terminating") int skiff_terminating(void);

struct skiff_attributes {
    uint32_t mode; /* as st_mode: kind and permissions */
    uint32_t uid;
    uint32_t gid;
    uint32_t filesystem_magic; /* as f_type of statfs */
    uint64_t blocks;           /* of 512 bytes */
    char filesystem_type[16]; /* "ext4", "tmpfs", "overlayfs", …, else the number as "0x0000f00d" */
};

enum { SKIFF_SYMLINK_FOLLOW = 1 }; /* else a link at the path's end is described itself */

SKIFF_IMPORT("path_attributes_get")
int skiff_path_attributes_get(uint32_t flags, const char* path, size_t path_size,
                              struct skiff_attributes* into, size_t room);

enum { SKIFF_EXECUTE = 1, SKIFF_WRITE = 2, SKIFF_READ = 4 };

/* Whether the guest has all of the rights; 0: whether the file is there. */
SKIFF_IMPORT("path_access_check")
int skiff_path_access_check(const char* path, size_t path_size, uint32_t rights);

/* Of a file or folder that the guest owns and may read or write: at most 01777. */
SKIFF_IMPORT("path_mode_set")
int skiff_path_mode_set(const char* path, size_t path_size, uint32_t mode);

struct skiff_identity {
    uint32_t uid;
    uint32_t gid;
    uint32_t group_count; /* of supplementary ones; there may be more than the array has room for */
    uint32_t groups[64];
};

SKIFF_IMPORT("identity_get") int skiff_identity_get(struct skiff_identity* into, size_t room);
