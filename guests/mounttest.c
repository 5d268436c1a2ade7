/* mounttest: says of a mounted volume what Kubernetes' own volume tests read in a pod's log:
 * `mounttest --fs_type=PATH
 * --new_file_0644=PATH --file_perm=PATH …`, each at most once, done in the order of `tasks` below.
 * It ends with 1 when something could not be done. A first argument `mounttest` is passed over, so
 * that it can stand in for their image.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "skiff.h"

enum { kContentBytesMax = 4 << 20, kTmpfs = 0x01021994 };

static const char kNewContent[] = "mount-tester new file\n";
static long retry_seconds = 180;
static bool ends_when_expected = true;

/* In quotes, as Go's %q does for paths of printable ASCII. */
static const char* quoted(const char* path) {
    static char text[8192 + 8];
    char* to = text;
    *to++ = '"';
    for (; *path && to < text + 8192; path++) {
        if (*path == '"' || *path == '\\') {
            *to++ = '\\';
        }
        *to++ = *path;
    }
    *to++ = '"';
    *to = '\0';
    return text;
}

static bool attributes_of(const char* path, const char* call, struct skiff_attributes* into) {
    int error =
        skiff_path_attributes_get(SKIFF_SYMLINK_FOLLOW, path, strlen(path), into, sizeof *into);
    if (error) {
        printf("error from %s(%s): %s\n", call, quoted(path), strerror(error));
    }
    return error == 0;
}

static bool say_filesystem(const char* path) {
    struct skiff_attributes found;
    if (!attributes_of(path, "statfs", &found)) {
        return false;
    }
    printf("mount type of %s: ", quoted(path));
    if (found.filesystem_magic == kTmpfs) {
        puts("tmpfs");
    } else {
        printf("%u\n", found.filesystem_magic);
    }
    return true;
}

/* As Go writes modes: special bits are letters in front. */
static void put_mode(uint32_t mode, bool whole) {
    static const struct {
        uint32_t mask, value;
        char letter;
    } specials[] = {{0170000, 0040000, 'd'}, {0170000, 0120000, 'L'}, {0170000, 0060000, 'D'},
                    {0170000, 0020000, 'D'}, {0170000, 0010000, 'p'}, {0170000, 0140000, 'S'},
                    {04000, 04000, 'u'},     {02000, 02000, 'g'},     {0170000, 0020000, 'c'},
                    {01000, 01000, 't'}};
    bool some = false;
    for (size_t i = 0; whole && i < sizeof specials / sizeof *specials; i++) {
        if ((mode & specials[i].mask) == specials[i].value) {
            putchar(specials[i].letter);
            some = true;
        }
    }
    if (!some) {
        putchar('-');
    }
    for (int bit = 8; bit >= 0; bit--) {
        putchar(mode >> bit & 1 ? "xwr"[bit % 3] : '-');
    }
    putchar('\n');
}

static bool say_mode(const char* path) {
    struct skiff_attributes found;
    if (!attributes_of(path, "Stat", &found)) {
        return false;
    }
    printf("mode of file %s: ", quoted(path));
    put_mode(found.mode, true);
    return true;
}

static bool say_permissions(const char* path) {
    struct skiff_attributes found;
    if (!attributes_of(path, "Stat", &found)) {
        return false;
    }
    printf("perms of file %s: ", quoted(path));
    put_mode(found.mode, false);
    return true;
}

static bool say_owner(const char* path) {
    struct skiff_attributes found;
    if (!attributes_of(path, "stat", &found)) {
        return false;
    }
    printf("owner UID of %s: %u\n", quoted(path), found.uid);
    printf("owner GID of %s: %u\n", quoted(path), found.gid);
    return true;
}

/* The content, in a buffer of its own; NULL: errno. */
static char* content_of(const char* path, size_t* size) {
    static char content[kContentBytesMax];
    FILE* file = fopen(path, "r");
    if (!file) {
        return NULL;
    }
    *size = fread(content, 1, sizeof content, file);
    bool fine = !ferror(file);
    int error = errno;
    fclose(file);
    errno = error;
    return fine ? content : NULL;
}

static void put_content(const char* path, const char* content, size_t size) {
    printf("content of file %s: ", quoted(path));
    fwrite(content, 1, size, stdout);
    putchar('\n');
}

static bool say_content(const char* path) {
    size_t size;
    const char* content = content_of(path, &size);
    if (!content) {
        printf("error reading file content for %s: open %s: %s\n", quoted(path), path,
               strerror(errno));
        return false;
    }
    put_content(path, content, size);
    return true;
}

static bool say_content_in_loop(const char* path) {
    struct timespec now, pause = {.tv_sec = 2};
    clock_gettime(CLOCK_MONOTONIC, &now);
    bool fine = true;
    for (time_t end = now.tv_sec + retry_seconds; now.tv_sec < end;
         nanosleep(&pause, NULL), clock_gettime(CLOCK_MONOTONIC, &now)) {
        size_t size;
        const char* content = content_of(path, &size);
        fine = content != NULL;
        if (!fine) {
            printf("Error reading file %s: open %s: %s, retrying\n", path, path, strerror(errno));
            continue;
        }
        put_content(path, content, size);
        if (!ends_when_expected) {
            continue;
        }
        if (size == sizeof kNewContent - 1 && memcmp(content, kNewContent, size) == 0) {
            break;
        }
        printf("Unexpected content. Expected: %s. Retrying\n", kNewContent);
    }
    return fine;
}

/* A new file gets the mode whatever the umask is, an old one keeps its own. */
static bool write_new(const char* path, uint32_t mode) {
    struct stat status;
    bool existed = stat(path, &status) == 0;
    FILE* file = fopen(path, "w");
    int error = file ? 0 : errno;
    if (file && fputs(kNewContent, file) < 0) {
        error = errno;
    }
    if (file && fclose(file) != 0 && !error) {
        error = errno;
    }
    if (!error && !existed) {
        error = skiff_path_mode_set(path, strlen(path), mode);
    }
    if (error) {
        printf("error writing new file %s: open %s: %s\n", quoted(path), path, strerror(error));
        return false;
    }
    return say_content(path);
}

static bool write_0644(const char* path) {
    return write_new(path, 0644);
}
static bool write_0666(const char* path) {
    return write_new(path, 0666);
}
static bool write_0660(const char* path) {
    return write_new(path, 0660);
}
static bool write_0777(const char* path) {
    return write_new(path, 0777);
}

static struct task {
    const char* name;
    bool (*act)(const char* path);
    const char* path;
} tasks[] = {
    {"fs_type", say_filesystem, NULL},    {"new_file_0644", write_0644, NULL},
    {"new_file_0666", write_0666, NULL},  {"new_file_0660", write_0660, NULL},
    {"new_file_0777", write_0777, NULL},  {"file_mode", say_mode, NULL},
    {"file_perm", say_permissions, NULL}, {"file_owner", say_owner, NULL},
    {"file_content", say_content, NULL},  {"file_content_in_loop", say_content_in_loop, NULL}};

static bool set_flag(const char* name, const char* value) {
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++) {
        if (strcmp(tasks[i].name, name) == 0) {
            tasks[i].path = *value ? value : NULL;
            return true;
        }
    }
    if (strcmp(name, "retry_time") == 0) {
        char* end;
        retry_seconds = strtol(value, &end, 10);
        return *value && !*end;
    }
    ends_when_expected = strcmp(value, "true") == 0;
    return strcmp(name, "break_on_expected_content") == 0 &&
           (ends_when_expected || strcmp(value, "false") == 0);
}

int main(int argc, char** argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    int at = argc > 1 && strcmp(argv[1], "mounttest") == 0 ? 2 : 1;
    for (; at < argc; at++) {
        char* name = argv[at] + (strncmp(argv[at], "--", 2) == 0 ? 2 : 0);
        char* equals = strchr(name, '=');
        const char* value = equals ? equals + 1 : at + 1 < argc ? argv[++at] : "";
        if (equals) {
            *equals = '\0';
        }
        if (name == argv[at] || !set_flag(name, value)) {
            fprintf(stderr, "mounttest: --%s=%s: no such flag, or not for it\n", name, value);
            return 2;
        }
    }
    bool fine = true;
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++) {
        fine = (!tasks[i].path || tasks[i].act(tasks[i].path)) && fine;
    }
    return fine ? 0 : 1;
}
