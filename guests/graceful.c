/* graceful: a guest that is told to stop and finishes its work: `graceful CODE [FAREWELL_SECONDS]`.
 *
 * It imports `skiff` `terminating`, so its node gives it the grace period instead of ending it at
 * once. Its long sleep ends early, once, when it is asked to stop; the farewell that begins
 * afterwards takes as long as it says.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "skiff.h"

static void pause_for(double seconds) {
    struct timespec left = {.tv_sec = (time_t)seconds};
    left.tv_nsec = (long)((seconds - (double)left.tv_sec) * 1e9);
    nanosleep(&left, NULL);
}

int main(int argc, char** argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts(skiff_terminating() ? "stopping already" : "up");
    int naps = 0;
    while (!skiff_terminating()) {
        naps++;
        pause_for(3600);
    }
    printf("asked to stop in nap %d\n", naps);
    pause_for(argc > 2 ? atof(argv[2]) : 0);
    puts("done");
    return argc > 1 ? atoi(argv[1]) : 0;
}
