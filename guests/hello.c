/* hello: the smallest useful guest, one page of memory, for measuring starts.
 *
 * Its first act is to read the clock; then it prints `hello REALTIME_NS`. With any argument it then
 * sleeps for ever. No libc start-up beyond _start: what is measured is the node, not a libc.
 */
#include <stddef.h>
#include <wasi/api.h>

static char line[64];

static size_t append_number(char* to, unsigned long long number) {
    char digits[20];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    for (size_t i = 0; i < count; i++) {
        to[i] = digits[count - 1 - i];
    }
    return count;
}

static void sleep_for_ever(void) {
    for (;;) {
        __wasi_subscription_t wait = {.u = {.tag = __WASI_EVENTTYPE_CLOCK}};
        wait.u.u.clock.id = __WASI_CLOCKID_MONOTONIC;
        wait.u.u.clock.timeout = 3600ull * 1000000000;
        __wasi_event_t event;
        __wasi_size_t count;
        (void)__wasi_poll_oneoff(&wait, &event, 1, &count);
    }
}

void _start(void) {
    __wasi_timestamp_t now = 0;
    (void)__wasi_clock_time_get(__WASI_CLOCKID_REALTIME, 1, &now);

    const char greeting[] = "hello ";
    size_t length = 0;
    for (; greeting[length] != 0; length++) {
        line[length] = greeting[length];
    }
    length += append_number(line + length, now);
    line[length++] = '\n';
    __wasi_ciovec_t text = {.buf = (const uint8_t*)line, .buf_len = length};
    __wasi_size_t written;
    (void)__wasi_fd_write(1, &text, 1, &written);

    __wasi_size_t arguments, bytes;
    if (__wasi_args_sizes_get(&arguments, &bytes) == 0 && arguments > 1) {
        sleep_for_ever();
    }
}
