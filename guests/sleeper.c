/* sleeper: one page of memory, says nothing, sleeps for ever; for measuring density. */
#include <wasi/api.h>

void _start(void) {
    for (;;) {
        __wasi_subscription_t wait = {.u = {.tag = __WASI_EVENTTYPE_CLOCK}};
        wait.u.u.clock.id = __WASI_CLOCKID_MONOTONIC;
        wait.u.u.clock.timeout = 3600ull * 1000000000;
        __wasi_event_t event;
        __wasi_size_t count;
        (void)__wasi_poll_oneoff(&wait, &event, 1, &count);
    }
}
