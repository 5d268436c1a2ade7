/* base64, sha256sum, hexdump: files as bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools.h"

/* ---- sha256sum (FIPS 180-4) ---- */

struct sha256 {
    uint32_t state[8];
    uint64_t bytes;
    unsigned char block[64];
};

static const uint32_t kRounds[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate(uint32_t x, int n) {
    return (x >> n) | (x << (32 - n));
}

static void sha256_block(struct sha256* sha) {
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++) {
        const unsigned char* b = sha->block + i * 4;
        w[i] = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    }
    for (int i = 16; i < 64; i++) {
        uint32_t a = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ (w[i - 15] >> 3);
        uint32_t b = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ (w[i - 2] >> 10);
        w[i] = w[i - 16] + a + w[i - 7] + b;
    }
    memcpy(s, sha->state, sizeof s);
    for (int i = 0; i < 64; i++) {
        uint32_t a = rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25);
        uint32_t t = s[7] + a + ((s[4] & s[5]) ^ (~s[4] & s[6])) + kRounds[i] + w[i];
        uint32_t b = rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22);
        uint32_t u = b + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += t;
        s[0] = t + u;
    }
    for (int i = 0; i < 8; i++) {
        sha->state[i] += s[i];
    }
}

static void sha256_add(struct sha256* sha, const void* bytes, size_t size) {
    const unsigned char* from = bytes;
    for (size_t i = 0; i < size; i++) {
        sha->block[sha->bytes++ % 64] = from[i];
        if (sha->bytes % 64 == 0) {
            sha256_block(sha);
        }
    }
}

static bool sha256_file(const char* path, char* hex) {
    struct sha256 sha = {.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
                                   0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
    struct file* file = open_operand(path);
    char part[8192];
    ssize_t got = file ? 0 : -1;
    while (file && (got = file_read(file, part, sizeof part)) > 0) {
        sha256_add(&sha, part, (size_t)got);
    }
    if (file && got < 0) {
        complain_errno(path);
    }
    file_drop(file);
    uint64_t bits = sha.bytes * 8;
    unsigned char size[8];
    for (int i = 0; i < 8; i++) {
        size[i] = (unsigned char)(bits >> (56 - 8 * i));
    }
    sha256_add(&sha, "\x80", 1);
    while (sha.bytes % 64 != 56) {
        sha256_add(&sha, "", 1);
    }
    sha256_add(&sha, size, sizeof size);
    for (int i = 0; i < 8; i++) {
        snprintf(hex + (size_t)i * 8, 9, "%08x", (unsigned)sha.state[i]);
    }
    return got == 0;
}

static int sha256_check(const char* path) {
    int status = 0;
    struct file* file = open_operand(path);
    struct str line = {0};
    struct reader reader = {.file = file, .name = path, .status = &status};
    while (file && read_line(&reader, &line)) {
        char hex[65];
        char* text = str_end(&line);
        if (line.n < 67 || text[64] != ' ') {
            complain("%s: a line is no sum", path);
            status = 1;
            continue;
        }
        bool fine = sha256_file(text + 66, hex) && strncmp(hex, text, 64) == 0;
        putf("%s: %s\n", text + 66, fine ? "OK" : "FAILED");
        status = fine ? status : 1;
    }
    file_drop(file);
    return file ? status : 1;
}

int sha256sum_main(int argc, char** argv) {
    struct options o = options_of(argc, argv, "cb");
    bool check = false;
    int status = 0;
    for (int letter; (letter = options_next(&o));) {
        if (letter == '?') {
            return 1;
        }
        check |= letter == 'c';
    }
    if (o.operand_count == 0) {
        o.operands[o.operand_count++] = "-";
    }
    for (int i = 0; i < o.operand_count && !broken(); i++) {
        char hex[65];
        if (check) {
            status |= sha256_check(o.operands[i]);
        } else if (sha256_file(o.operands[i], hex)) {
            putf("%s  %s\n", hex, o.operands[i]);
        } else {
            status = 1;
        }
    }
    return status;
}

/* ---- base64 ---- */

static const char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void encode(struct file* file, long long wrap) {
    unsigned char group[3];
    long long column = 0;
    for (;;) {
        size_t size = 0;
        while (size < 3 && file_read(file, (char*)group + size, 1) == 1) {
            size++;
        }
        if (size == 0 || broken()) {
            break;
        }
        uint32_t bits = (uint32_t)group[0] << 16 | (size > 1 ? (uint32_t)group[1] << 8 : 0) |
                        (size > 2 ? group[2] : 0);
        for (size_t i = 0; i < 4; i++) {
            put_byte(i <= size ? kDigits[bits >> (18 - 6 * i) & 63] : '=');
            if (wrap > 0 && ++column == wrap) {
                put_byte('\n');
                column = 0;
            }
        }
    }
    if (column > 0) {
        put_byte('\n');
    }
}

static int decode(struct file* file) {
    uint32_t bits = 0;
    int count = 0;
    bool ended = false;
    char c;
    while (!broken() && file_read(file, &c, 1) == 1) {
        const char* digit = c ? strchr(kDigits, c) : NULL;
        if (c == '\n' || c == '\r') {
            continue;
        }
        if (c == '=') {
            ended = true;
            continue;
        }
        if (!digit || ended) {
            complain("invalid input");
            return 1;
        }
        bits = bits << 6 | (uint32_t)(digit - kDigits);
        if (++count == 4) {
            put_byte((char)(bits >> 16));
            put_byte((char)(bits >> 8));
            put_byte((char)bits);
            count = 0;
        }
    }
    if (count > 1) {
        put_byte((char)(bits >> (count == 2 ? 4 : 10)));
    }
    if (count > 2) {
        put_byte((char)(bits >> 2));
    }
    if (count == 1) {
        complain("invalid input");
    }
    return count == 1;
}

int base64_main(int argc, char** argv) {
    static const struct long_option longs[] = {{"decode", 'd'}, {"wrap", 'w'}, {0}};
    struct options o = options_of(argc, argv, "dDw:");
    bool decodes = false;
    long long wrap = 76;
    o.longs = longs;
    for (int letter; (letter = options_next(&o));) {
        if (letter == '?' || (letter == 'w' && !parse_number(o.argument, &wrap))) {
            return 1;
        }
        decodes |= letter == 'd' || letter == 'D';
    }
    struct file* file = open_operand(o.operand_count ? o.operands[0] : "-");
    if (!file) {
        return 1;
    }
    int status = 0;
    if (decodes) {
        status = decode(file);
    } else {
        encode(file, wrap);
    }
    file_drop(file);
    return status;
}

/* ---- hexdump -C ---- */

int hexdump_main(int argc, char** argv) {
    struct options o = options_of(argc, argv, "Cvn:");
    long long most = INT64_MAX;
    unsigned long long offset = 0;
    for (int letter; (letter = options_next(&o));) {
        if (letter == '?' || (letter == 'n' && !parse_size(o.argument, &most))) {
            return 1;
        }
    }
    struct file* file = open_operand(o.operand_count ? o.operands[0] : "-");
    while (file && !broken()) {
        unsigned char row[16];
        size_t size = 0;
        while (size < 16 && (long long)(offset + size) < most &&
               file_read(file, (char*)row + size, 1) == 1) {
            size++;
        }
        if (size == 0) {
            break;
        }
        putf("%08llx ", offset);
        for (size_t i = 0; i < 16; i++) {
            put(i == 8 ? " " : "");
            putf(i < size ? " %02x" : "   ", row[i]);
        }
        put("  |");
        for (size_t i = 0; i < size; i++) {
            put_byte(row[i] >= 32 && row[i] < 127 ? (char)row[i] : '.');
        }
        put("|\n");
        offset += size;
    }
    if (file && offset > 0) {
        putf("%08llx\n", offset);
    }
    file_drop(file);
    return file ? 0 : 1;
}
