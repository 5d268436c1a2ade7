/* The app: adds up what its arguments cost. It knows no price; those come from whichever component it is
 * linked with.
 */
#include "app.h"

#include <stdio.h>

int main(int argc, char** argv) {
    unsigned long total = 0;
    for (int i = 1; i < argc; i++) {
        app_string_t item;
        app_string_set(&item, argv[i]);
        uint32_t cents;
        if (!example_link_prices_price(&item, &cents)) {
            fprintf(stderr, "%s: not sold here\n", argv[i]);
            return 1;
        }
        printf("%s %u.%02u\n", argv[i], cents / 100, cents % 100);
        total += cents;
    }
    printf("total %lu.%02lu\n", total / 100, total % 100);
    return 0;
}
