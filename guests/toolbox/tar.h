/* tar: what its two halves share. */
#pragma once

#include "tools.h"

enum { kBlock = 512, kLongNameMax = 65536, kPaxBytesMax = 1 << 20 };

struct header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100];
    char magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], rest[12];
};
_Static_assert(sizeof(struct header) == kBlock, "a tar header is one block");

struct member { /* being read */
    char *name, *link;
    unsigned long long size;
    long long mtime;
    unsigned mode, uid, gid;
    char type;
};
struct tar {
    char mode; /* c, x, t */
    const char* archive;
    const char* folder;
    struct file* file;
    bool verbose, untouched_times, keep, to_stdout, follow, stripped, cut, same_modes;
    int strip;
    int status;
    char** operands;
    int count;
    struct member long_parts; /* names and sizes that an earlier block announced */
    bool has_size, has_time;
};

void tar_create(struct tar* t); /* tar_write.c */
