/* Memory: a pool that is freed as a whole, and texts that grow in it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "toolbox.h"

enum { kAlignment = 16 };
#ifdef TOOLBOX_CHECKED
enum { kChunkBytes = 0 }; /* every piece alone, so that a sanitizer sees its ends */
#else
enum { kChunkBytes = 8192 };
#endif

struct chunk {
    struct chunk* below;
    size_t size, used;
    _Alignas(kAlignment) char bytes[];
};

struct pool scratch;

static _Noreturn void out_of_memory(void) {
    static const char text[] = "sh: out of memory\n";
    (void)!write(2, text, sizeof text - 1);
    _exit(2);
}

void* keep(size_t size) {
    void* got = malloc(size ? size : 1);
    if (!got) {
        out_of_memory();
    }
    return got;
}

char* keep_copy(const char* text) {
    size_t size = strlen(text) + 1;
    return memcpy(keep(size), text, size);
}

static void* pool_raw(struct pool* pool, size_t size) {
    if (size > SIZE_MAX / 4) {
        out_of_memory();
    }
#ifndef TOOLBOX_CHECKED
    size = (size + kAlignment - 1) / kAlignment * kAlignment;
#endif
    struct chunk* top = pool->top;
    if (!top || kChunkBytes == 0 || top->size - top->used < size) {
        size_t room = size > kChunkBytes ? size : kChunkBytes;
        top = keep(sizeof *top + room);
        *top = (struct chunk){.below = pool->top, .size = room};
        pool->top = top;
    }
    void* got = top->bytes + top->used;
    top->used += size;
    return got;
}

void* pool_get(struct pool* pool, size_t size) {
    return memset(pool_raw(pool, size), 0, size);
}

char* pool_copy(struct pool* pool, const char* text, size_t size) {
    char* copy = pool_get(pool, size + 1);
    if (size > 0) {
        memcpy(copy, text, size);
    }
    return copy;
}

static void pool_free_above(struct pool* pool, struct chunk* last) {
    while (pool->top && pool->top != last) {
        struct chunk* below = pool->top->below;
        free(pool->top);
        pool->top = below;
    }
}

void pool_free(struct pool* pool) {
    pool_free_above(pool, NULL);
}

struct mark scratch_mark(void) {
    return (struct mark){scratch.top, scratch.top ? scratch.top->used : 0};
}

void scratch_release(struct mark mark) {
    pool_free_above(&scratch, mark.chunk);
    if (mark.chunk) {
        mark.chunk->used = mark.used;
    }
}

void* scratch_get(size_t size) {
    return pool_get(&scratch, size);
}

char* scratch_copy(const char* text) {
    return pool_copy(&scratch, text, strlen(text));
}

char* scratch_format(const char* format, ...) {
    va_list list;
    va_start(list, format);
    int size = vsnprintf(NULL, 0, format, list);
    va_end(list);
    char* text = scratch_get((size_t)(size > 0 ? size : 0) + 1);
    va_start(list, format);
    vsnprintf(text, (size_t)(size > 0 ? size : 0) + 1, format, list);
    va_end(list);
    return text;
}

static void str_reserve(struct str* str, size_t size) {
    if (size > SIZE_MAX / 4 - str->n) {
        out_of_memory();
    }
    if (str->n + size + 1 > str->room) {
        size_t room = (str->n + size + 1) * 2;
        room = room < 32 ? 32 : room;
        char* grown = pool_raw(&scratch, room);
        if (str->n > 0) {
            memcpy(grown, str->s, str->n);
        }
        str->s = grown;
        str->room = room;
    }
}

void str_add(struct str* str, const char* bytes, size_t size) {
    str_reserve(str, size);
    if (size > 0) {
        memcpy(str->s + str->n, bytes, size);
        str->n += size;
    }
}

void str_fill(struct str* str, char byte, size_t size) {
    str_reserve(str, size);
    memset(str->s + str->n, byte, size);
    str->n += size;
}

void str_byte(struct str* str, char byte) {
    if (str->n + 1 < str->room) {
        str->s[str->n++] = byte;
    } else {
        str_add(str, &byte, 1);
    }
}

void str_text(struct str* str, const char* text) {
    str_add(str, text, strlen(text));
}

char* str_end(struct str* str) {
    str_add(str, "", 0);
    str->s[str->n] = '\0';
    return str->s;
}
