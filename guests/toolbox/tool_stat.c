/* stat: all that is known of a file, or of its filesystem. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools.h"

static const char* kind_name(const struct stat* status) {
    switch (kind_letter(status)) {
        case 'd':
            return "directory";
        case 'l':
            return "symbolic link";
        case 'c':
            return "character special file";
        case 'b':
            return "block special file";
        case 'p':
            return "fifo";
        case 's':
            return "socket";
        default:
            return status->st_size == 0 ? "regular empty file" : "regular file";
    }
}

static void put_moment(struct timespec at) {
    put_time("%Y-%m-%d %H:%M:%S", at.tv_sec, true);
    putf(".%09ld +0000", (long)at.tv_nsec);
}

static void put_name(const char* name) {
    put(name ? name : "UNKNOWN");
}

static void put_number(unsigned long long number) {
    putf("%llu", number);
}

/* One of times: lower letters as text, upper ones as seconds. */
static void put_time_of(char letter, const struct stat* status) {
    char lower = (char)(letter | 32);
    struct timespec at = lower == 'x'   ? status->st_atim
                         : lower == 'y' ? status->st_mtim
                                        : status->st_ctim;
    if (letter == lower) {
        put_moment(at);
    } else {
        putf("%lld", (long long)at.tv_sec);
    }
}

static void put_field(char letter, const char* path, const struct stat* status) {
    char mode[11];
    switch (letter) {
        case 'n':
            put(path);
            break;
        case 's':
            put_number((unsigned long long)status->st_size);
            break;
        case 'F':
            put(kind_name(status));
            break;
        case 'a':
            putf("%o", (unsigned)status->st_mode & 07777);
            break;
        case 'A':
            mode_text(status->st_mode, mode);
            put(mode);
            break;
        case 'f':
            putf("%x", (unsigned)status->st_mode);
            break;
        case 'u':
            put_number(status->st_uid);
            break;
        case 'g':
            put_number(status->st_gid);
            break;
        case 'U':
            put_name(user_name(status->st_uid));
            break;
        case 'G':
            put_name(group_name(status->st_gid));
            break;
        case 'h':
            put_number((unsigned long long)status->st_nlink);
            break;
        case 'i':
            put_number((unsigned long long)status->st_ino);
            break;
        case 'd':
            put_number((unsigned long long)status->st_dev);
            break;
        case 'b':
            put_number((unsigned long long)status->st_blocks);
            break;
        case 'B':
            put("512");
            break;
        case 'x':
        case 'y':
        case 'z':
        case 'X':
        case 'Y':
        case 'Z':
            put_time_of(letter, status);
            break;
        case '%':
            put_byte('%');
            break;
        default:
            put_byte('?');
            break;
    }
}

/* As coreutils call it. */
static void put_filesystem(unsigned long magic) {
    static const struct {
        unsigned long magic;
        const char* name;
    } known[] = {{0xef53, "ext2/ext3"},     {0x01021994, "tmpfs"}, {0x794c7630, "overlayfs"},
                 {0x9fa0, "proc"},          {0x62656572, "sysfs"}, {0x58465342, "xfs"},
                 {0x9123683e, "btrfs"},     {0x2fc12fc1, "zfs"},   {0xf2f52010, "f2fs"},
                 {0x73717368, "squashfs"},  {0x858458f6, "ramfs"}, {0x958458f6, "hugetlbfs"},
                 {0x6969, "nfs"},           {0xff534d42, "cifs"},  {0xfe534d42, "smb2"},
                 {0x00c36400, "ceph"},      {0x01021997, "v9fs"},  {0x65735546, "fuseblk"},
                 {0x63677270, "cgroup2fs"}, {0x1cd1, "devpts"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (known[i].magic == magic) {
            put(known[i].name);
            return;
        }
    }
    putf("UNKNOWN (0x%lx)", magic);
}

static void put_filesystem_field(char letter, const char* path, unsigned long magic) {
    if (letter == 'T') {
        put_filesystem(magic);
    } else if (letter == 't') {
        putf("%lx", magic);
    } else if (letter == 'n') {
        put(path);
    } else {
        put_byte(letter == '%' ? '%' : '?');
    }
}

/* NULL status: of the filesystem. */
static void put_format(const char* format, const char* path, const struct stat* status,
                       unsigned long magic) {
    for (; *format; format++) {
        if (*format != '%' || !format[1]) {
            put_byte(*format);
        } else if (status) {
            put_field(*++format, path, status);
        } else {
            put_filesystem_field(*++format, path, magic);
        }
    }
    put_byte('\n');
}

static void put_all(const char* path, const struct stat* status) {
    char mode[11];
    mode_text(status->st_mode, mode);
    putf("  File: %s", path);
    char target[kPathMax];
    ssize_t size = S_ISLNK(status->st_mode) ? readlink(path, target, sizeof target - 1) : -1;
    if (size >= 0) {
        target[size] = '\0';
        putf(" -> %s", target);
    }
    putf("\n  Size: %-15llu Blocks: %-10llu %s\n", (unsigned long long)status->st_size,
         (unsigned long long)status->st_blocks, kind_name(status));
    putf("Device: %-15llu Inode: %-11llu Links: %llu\n", (unsigned long long)status->st_dev,
         (unsigned long long)status->st_ino, (unsigned long long)status->st_nlink);
    const char *user = user_name(status->st_uid), *group = group_name(status->st_gid);
    putf("Access: (%04o/%s)  Uid: (%5u/%8s)   Gid: (%5u/%8s)\n", (unsigned)status->st_mode & 07777,
         mode, (unsigned)status->st_uid, user ? user : "UNKNOWN", (unsigned)status->st_gid,
         group ? group : "UNKNOWN");
    put("Access: ");
    put_moment(status->st_atim);
    put("\nModify: ");
    put_moment(status->st_mtim);
    put("\nChange: ");
    put_moment(status->st_ctim);
    put_byte('\n');
}

static bool stat_one(const char* path, const char* format, bool follow) {
    struct stat status;
    if (status_of(path, follow, &status) != 0) {
        complain_errno(path);
        return false;
    }
    if (format) {
        put_format(format, path, &status, 0);
    } else {
        put_all(path, &status);
    }
    return true;
}

static bool stat_filesystem(const char* path, const char* format) {
    unsigned long magic;
    if (!filesystem_of(path, &magic)) {
        complain_errno(path);
        return false;
    }
    put_format(format ? format : "  File: \"%n\"\n  Type: %T (%t)", path, NULL, magic);
    return true;
}

int stat_main(int argc, char** argv) {
    static const struct long_option longs[] = {
        {"format", 'c'}, {"dereference", 'L'}, {"file-system", 'f'}, {0}};
    struct options o = options_of(argc, argv, "c:Lf");
    o.longs = longs;
    const char* format = NULL;
    bool follow = false, filesystem = false;
    int result = 0;
    for (int letter; (letter = options_next(&o));) {
        if (letter == '?') {
            return 1;
        }
        format = letter == 'c' ? o.argument : format;
        follow = follow || letter == 'L';
        filesystem = filesystem || letter == 'f';
    }
    if (o.operand_count == 0) {
        complain("a file is needed");
        return 1;
    }
    for (int i = 0; i < o.operand_count; i++) {
        const char* path = o.operands[i];
        result |= filesystem ? !stat_filesystem(path, format) : !stat_one(path, format, follow);
    }
    return result;
}
