/* dock: a reactor. It has no _start; its host calls `dock.wasm#arrive` after _initialize, which
 * runs constructors. */
#include <stdio.h>
#include <stdlib.h>

static const char* flag = "no flag";

__attribute__((constructor)) static void hoist(void) {
    flag = "flag up";
}

__attribute__((export_name("arrive"))) void arrive(void) {
    const char* port = getenv("PORT");
    printf("arrived, %s, PORT=%s\n", flag, port ? port : "?");
    fflush(stdout); /* Nobody calls exit in a reactor. */
}
