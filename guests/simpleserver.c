/* simpleserver: what Krustlet's demo of that name does: says hello every five seconds, for ever. */
#include <stdio.h>
#include <unistd.h>

int main(void) {
    for (;;) {
        puts("Hello, world!");
        fflush(stdout);
        sleep(5);
    }
}
