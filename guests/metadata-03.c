/* metadata-03: asks `skiff:pod` in the form for WASI 0.3. Prints the mode (octal), uid, gid and
 * filesystem of each argument, or the number of the error, then its own uid, gid and supplementary
 * groups.
 */
#include "command3.h"

#include <stdio.h>
#include <string.h>

#include "output_03.h"

static void say(const char* text) {
    command3_string_t line = {(uint8_t*)text, strlen(text)};
    write_line(&out, line);
}

static void say_attributes(command3_string_t path) {
    skiff_pod_metadata_attributes_t found;
    skiff_pod_metadata_error_t error;
    char text[128];
    if (skiff_pod_metadata_get_attributes_at(SKIFF_POD_METADATA_PATH_FLAGS_SYMLINK_FOLLOW, &path,
                                             &found, &error)) {
        snprintf(text, sizeof text, "%o %u %u %.*s", found.mode & 07777, found.uid, found.gid,
                 (int)found.filesystem_type.len, (const char*)found.filesystem_type.ptr);
    } else {
        snprintf(text, sizeof text, "error %d", error);
    }
    say(text);
}

static void say_identity(void) {
    skiff_pod_identity_identity_t found;
    skiff_pod_identity_get_identity(&found);
    char text[1024];
    int size = snprintf(text, sizeof text, "%u %u", found.uid, found.gid);
    for (size_t i = 0; i < found.groups.len && i < 64; i++) {
        size += snprintf(text + size, sizeof text - (size_t)size, " %u", found.groups.ptr[i]);
    }
    say(text);
}

bool exports_wasi_cli_run_run(void) {
    command3_list_string_t all;
    wasi_cli_environment_get_arguments(&all);
    for (size_t i = 1; i < all.len; i++) {
        say_attributes(all.ptr[i]);
    }
    say_identity();
    close_output(&out);
    return true;
}
