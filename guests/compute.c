/*
 * Work for a processor, timed by itself: compute KERNEL [ROUNDS] prints "KERNEL NANOSECONDS CHECK".
 * Also built natively, for comparison. Kernels: nbody, matmul, sha256, sort, sieve, mandel, hash.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint32_t next_random(uint32_t* state) {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* Floating point: five bodies that attract one another. */
static uint64_t nbody(unsigned rounds) {
    enum { kBodies = 5 };
    static double at[kBodies][3], speed[kBodies][3], mass[kBodies];
    uint32_t seed = 7;
    for (int i = 0; i < kBodies; ++i) {
        mass[i] = 1.0 + next_random(&seed) % 100 / 100.0;
        for (int k = 0; k < 3; ++k) {
            at[i][k] = next_random(&seed) % 1000 / 100.0;
            speed[i][k] = 0;
        }
    }
    for (unsigned round = 0; round < rounds * 200000; ++round) {
        for (int i = 0; i < kBodies; ++i) {
            for (int j = 0; j < kBodies; ++j) {
                double d[3], square = 0.01;
                for (int k = 0; k < 3; ++k) {
                    d[k] = at[j][k] - at[i][k];
                    square += d[k] * d[k];
                }
                double pull = mass[j] * 1e-4 / (square * square);
                for (int k = 0; k < 3; ++k) {
                    speed[i][k] += d[k] * pull;
                }
            }
        }
        for (int i = 0; i < kBodies; ++i) {
            for (int k = 0; k < 3; ++k) {
                at[i][k] += speed[i][k] * 1e-3;
            }
        }
    }
    return (uint64_t)(at[0][0] * 1e6);
}

/* Memory in order: matrices of doubles. */
static uint64_t matmul(unsigned rounds) {
    enum { kSize = 192 };
    static double a[kSize][kSize], b[kSize][kSize], c[kSize][kSize];
    for (int i = 0; i < kSize; ++i) {
        for (int j = 0; j < kSize; ++j) {
            a[i][j] = i + j;
            b[i][j] = i - j;
        }
    }
    for (unsigned round = 0; round < rounds * 8; ++round) {
        for (int i = 0; i < kSize; ++i) {
            for (int k = 0; k < kSize; ++k) {
                double x = a[i][k];
                for (int j = 0; j < kSize; ++j) {
                    c[i][j] += x * b[k][j];
                }
            }
        }
    }
    return (uint64_t)(int64_t)c[3][5];
}

/* Integers in registers: the rounds of SHA-256 over made-up constants. */
static uint64_t sha256(unsigned rounds) {
    uint32_t h[8] = {1, 2, 3, 4, 5, 6, 7, 8}, w[64], seed = 11;
#define ROTATE(x, n) (((x) >> (n)) | ((x) << (32 - (n))))
    for (unsigned block = 0; block < rounds * 60000; ++block) {
        for (int i = 0; i < 16; ++i) {
            w[i] = next_random(&seed);
        }
        for (int i = 16; i < 64; ++i) {
            uint32_t s0 = ROTATE(w[i - 15], 7) ^ ROTATE(w[i - 15], 18) ^ (w[i - 15] >> 3);
            uint32_t s1 = ROTATE(w[i - 2], 17) ^ ROTATE(w[i - 2], 19) ^ (w[i - 2] >> 10);
            w[i] = w[i - 16] + s0 + w[i - 7] + s1;
        }
        uint32_t v[8];
        memcpy(v, h, sizeof v);
        for (int i = 0; i < 64; ++i) {
            uint32_t s1 = ROTATE(v[4], 6) ^ ROTATE(v[4], 11) ^ ROTATE(v[4], 25);
            uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
            uint32_t t1 = v[7] + s1 + choice + w[i] + 0x428a2f98u * (uint32_t)(i + 1);
            uint32_t s0 = ROTATE(v[0], 2) ^ ROTATE(v[0], 13) ^ ROTATE(v[0], 22);
            uint32_t major = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
            memmove(v + 1, v, 7 * sizeof v[0]);
            v[4] += t1;
            v[0] = t1 + s0 + major;
        }
        for (int i = 0; i < 8; ++i) {
            h[i] += v[i];
        }
    }
    return h[0];
}

static int compare(const void* a, const void* b) {
    uint32_t x = *(const uint32_t*)a, y = *(const uint32_t*)b;
    return (x > y) - (x < y);
}

/* Indirect calls: libc's qsort. */
static uint64_t sort(unsigned rounds) {
    enum { kCount = 200000 };
    static uint32_t values[kCount];
    uint32_t seed = 3;
    uint64_t check = 0;
    for (unsigned round = 0; round < rounds; ++round) {
        for (int i = 0; i < kCount; ++i) {
            values[i] = next_random(&seed);
        }
        qsort(values, kCount, sizeof values[0], compare);
        check += values[kCount / 2];
    }
    return check;
}

/* A tight loop over bytes. */
static uint64_t sieve(unsigned rounds) {
    enum { kSize = 1 << 20 };
    static uint8_t composite[kSize];
    uint64_t primes = 0;
    for (unsigned round = 0; round < rounds * 8; ++round) {
        memset(composite, 0, sizeof composite);
        primes = 0;
        for (unsigned i = 2; i < kSize; ++i) {
            if (!composite[i]) {
                ++primes;
                for (unsigned j = 2 * i; j < kSize; j += i) {
                    composite[j] = 1;
                }
            }
        }
    }
    return primes;
}

/* Branches that depend on floating point. */
static uint64_t mandel(unsigned rounds) {
    uint64_t steps = 0;
    for (unsigned round = 0; round < rounds; ++round) {
        for (int y = 0; y < 240; ++y) {
            for (int x = 0; x < 320; ++x) {
                double cr = x / 160.0 - 1.5, ci = y / 120.0 - 1.0, zr = 0, zi = 0;
                for (int n = 0; n < 200 && zr * zr + zi * zi < 4; ++n, ++steps) {
                    double next = zr * zr - zi * zi + cr;
                    zi = 2 * zr * zi + ci;
                    zr = next;
                }
            }
        }
    }
    return steps;
}

/* Memory out of order: a table with open addressing. */
static uint64_t hash(unsigned rounds) {
    enum { kSlots = 1 << 18 };
    static uint32_t keys[kSlots], counts[kSlots];
    uint32_t seed = 5;
    uint64_t check = 0;
    for (unsigned round = 0; round < rounds; ++round) {
        memset(keys, 0, sizeof keys);
        memset(counts, 0, sizeof counts);
        for (unsigned i = 0; i < 400000; ++i) {
            uint32_t key = next_random(&seed) % 150000 + 1, slot = key * 2654435761u % kSlots;
            while (keys[slot] != 0 && keys[slot] != key) {
                slot = (slot + 1) % kSlots;
            }
            keys[slot] = key;
            check += ++counts[slot];
        }
    }
    return check;
}

int main(int argc, char** argv) {
    static const struct {
        const char* name;
        uint64_t (*run)(unsigned rounds);
    } kKernels[] = {{"nbody", nbody}, {"matmul", matmul}, {"sha256", sha256}, {"sort", sort},
                    {"sieve", sieve}, {"mandel", mandel}, {"hash", hash}};
    unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 1;
    for (size_t i = 0; argc > 1 && i < sizeof kKernels / sizeof kKernels[0]; ++i) {
        if (strcmp(kKernels[i].name, argv[1]) == 0) {
            uint64_t begin = now_ns();
            uint64_t check = kKernels[i].run(rounds);
            printf("%s %llu %llu\n", argv[1], (unsigned long long)(now_ns() - begin),
                   (unsigned long long)check);
            return 0;
        }
    }
    fprintf(stderr, "usage: compute nbody|matmul|sha256|sort|sieve|mandel|hash [ROUNDS]\n");
    return 2;
}
