/* What HTTP guests of both WASI levels share: taking request paths apart. */
#pragma once

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

// What follows `/VERB`, the `/` or `?` between them taken off; null when the path is of another
// verb.
static inline const char* after_verb(const char* path, const char* verb) {
    size_t length = strlen(verb);
    if (path[0] != '/' || strncmp(path + 1, verb, length) != 0) {
        return NULL;
    }
    const char* rest = path + 1 + length;
    if (*rest == '/' || *rest == '?') {
        return rest + 1;
    }
    return *rest == '\0' ? rest : NULL;
}

static inline int hex_digit(char digit) {
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    digit |= 0x20;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

// Undoes %XX, in place.
static inline void decode_percent(char* text) {
    char* to = text;
    for (const char* from = text; *from != '\0'; from++) {
        if (from[0] == '%' && hex_digit(from[1]) >= 0 && hex_digit(from[2]) >= 0) {
            *to++ = (char)(hex_digit(from[1]) * 16 + hex_digit(from[2]));
            from += 2;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
}

// Two numbers, `A/B`; B is zero when it is not there.
static inline void two_numbers(const char* text, unsigned long* first, unsigned long* second) {
    char* end;
    *first = strtoul(text, &end, 10);
    *second = *end == '/' ? strtoul(end + 1, NULL, 10) : 0;
}

// An absolute URL in parts; they point into it.
struct url {
    bool tls;
    const char* authority;
    size_t authority_bytes;
    const char* path;  // With its query; empty for none.
};

static inline bool split_url(const char* text, struct url* url) {
    if (strncmp(text, "http://", 7) == 0) {
        url->tls = false;
        url->authority = text + 7;
    } else if (strncmp(text, "https://", 8) == 0) {
        url->tls = true;
        url->authority = text + 8;
    } else {
        return false;
    }
    url->authority_bytes = strcspn(url->authority, "/?");
    url->path = url->authority + url->authority_bytes;
    return url->authority_bytes > 0;
}

// Touches memory until there are `mib` more, or no more is given; returns how many MiB that was.
static inline unsigned long grow(unsigned long mib) {
    for (unsigned long have = 0; have < mib; have++) {
        // Volatile, or else the compiler sees that nobody reads it.
        volatile char* more = malloc(1 << 20);
        if (more == NULL) {
            return have;
        }
        for (size_t at = 0; at < 1 << 20; at += 4096) {
            more[at] = 1;
        }
    }
    return mib;
}
