/* boat: a small skiff crosses the sea, drawn in ASCII, with what the node granted this guest.
 *
 * boat [FRAMES [SECONDS_PER_FRAME]]: FRAMES 0 is for ever. The frames come one after the other, so
 * that a log shows them too. The text of /config/banner is shown when there is one, and the crew's
 * names come from /shared/crew, which an init container may have written.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { kWidth = 62 };

static const char* const kBoat[] = {
    "    |\\      ", "    | \\     ", "    |  \\    ",
    "    |___\\   ", " \\--|-----/ ", "  \\______/  ",
};

static void show_file(const char* title, const char* path) {
    FILE* file = fopen(path, "r");
    if (file == NULL) {
        return;
    }
    char line[128];
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = 0;
        printf("  %-10s %s\n", title, line);
        title = "";
    }
    fclose(file);
}

static void show_variable(const char* title, const char* name) {
    const char* value = getenv(name);
    if (value != NULL) {
        printf("  %-10s %s\n", title, value);
    }
}

static void show_grants(void) {
    show_file("", "/config/banner");
    show_variable("pod", "POD_NAME");
    show_variable("host name", "HOSTNAME");
    show_variable("memory", "MEMORY_LIMIT");
    show_file("crew", "/shared/crew");
    printf("  %-10s %zu KiB in use\n\n", "module", __builtin_wasm_memory_size(0) * 64);
    fflush(stdout);
}

static void draw(int frame) {
    int at = 1 + frame * 3 % (kWidth - 14);
    for (size_t row = 0; row < sizeof kBoat / sizeof kBoat[0]; row++) {
        printf("%*s%s\n", at, "", kBoat[row]);
    }
    char sea[kWidth + 1];
    for (int row = 0; row < 2; row++) {
        for (int i = 0; i < kWidth; i++) {
            sea[i] = "~~~-^~-~"[(i + frame * (row + 1) + row * 3) % 8];
        }
        sea[kWidth] = 0;
        puts(sea);
    }
    puts("");
    fflush(stdout);
}

int main(int argc, char** argv) {
    int frames = argc > 1 ? atoi(argv[1]) : 8;
    double seconds = argc > 2 ? atof(argv[2]) : 0.4;
    struct timespec pause = {.tv_sec = (time_t)seconds,
                             .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    show_grants();
    for (int frame = 0; frames == 0 || frame < frames; frame++) {
        draw(frame);
        nanosleep(&pause, NULL);
    }
    puts("  land in sight: this guest ends with 0");
    return 0;
}
