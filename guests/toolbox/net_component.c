/* net.h over WASI 0.2, by the bindings that guests/build makes of toolbox.wit. */
#ifdef TOOLBOX_COMPONENT
#include "net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "toolbox_component.h"

#define ADDRESS(name) wasi_sockets_network_##name
#include "../socket_address.h"

typedef wasi_sockets_network_error_code_t error_code;
typedef wasi_io_poll_own_pollable_t pollable;

struct conn {
    wasi_sockets_tcp_own_tcp_socket_t socket;
    wasi_io_streams_own_input_stream_t in;
    wasi_io_streams_own_output_stream_t out;
    wasi_io_streams_own_input_stream_t input; /* standard input, once it was waited for */
    bool has_input;
};

static const char* text_of(error_code code) {
    static const char* const texts[] = {
        "unknown failure",     "access denied",
        "not supported",       "invalid argument",
        "out of memory",       "timed out",
        "already in progress", "not in progress",
        "would block",         "invalid state",
        "too many sockets",    "address cannot be bound",
        "address in use",      "unreachable",
        "connection refused",  "connection reset",
        "connection aborted",  "datagram too large",
        "name not known",      "name server not reached",
        "name server failed",
    };
    return code < sizeof texts / sizeof *texts ? texts[code] : "unlisted failure";
}

static wasi_sockets_network_borrow_network_t network(void) {
    static wasi_sockets_network_own_network_t one;
    if (one.__handle == 0) {
        one = wasi_sockets_instance_network_instance_network();
    }
    return wasi_sockets_network_borrow_network(one);
}

/* Waits for any of them, at most so long; the bits of those that are ready. Drops all. */
static unsigned wait_any(pollable* list, size_t count, double seconds) {
    wasi_io_poll_borrow_pollable_t all[5];
    for (size_t i = 0; i < count; i++) {
        all[i] = wasi_io_poll_borrow_pollable(list[i]);
    }
    size_t waited = count;
    pollable timer = {0};
    if (seconds >= 0) {
        timer = wasi_clocks_monotonic_clock_subscribe_duration((uint64_t)(seconds * 1e9));
        all[waited++] = wasi_io_poll_borrow_pollable(timer);
    }
    wasi_io_poll_list_borrow_pollable_t in = {all, waited};
    toolbox_component_list_u32_t ready;
    wasi_io_poll_poll(&in, &ready);
    unsigned bits = 0;
    for (size_t i = 0; i < ready.len; i++) {
        bits |= ready.ptr[i] < count ? 1u << ready.ptr[i] : 0;
    }
    toolbox_component_list_u32_free(&ready);
    if (seconds >= 0) {
        wasi_io_poll_pollable_drop_own(timer);
    }
    for (size_t i = 0; i < count; i++) {
        wasi_io_poll_pollable_drop_own(list[i]);
    }
    return bits;
}

/* The deadline of several waits. */
static double left_until(double deadline) {
    double now = (double)wasi_clocks_monotonic_clock_now() / 1e9;
    return deadline < 0 ? -1 : deadline > now ? deadline - now : 0;
}

static double deadline_of(double seconds) {
    return seconds < 0 ? -1 : (double)wasi_clocks_monotonic_clock_now() / 1e9 + seconds;
}

static size_t lookup(const char* host, ip_address* found, double deadline, const char** why) {
    size_t count = 0;
    if (parse_ip(host, found)) {
        return 1;
    }
    toolbox_component_string_t text;
    toolbox_component_string_set(&text, host);
    wasi_sockets_ip_name_lookup_own_resolve_address_stream_t stream;
    error_code code = 0;
    if (!wasi_sockets_ip_name_lookup_resolve_addresses(network(), &text, &stream, &code)) {
        *why = text_of(code);
        return 0;
    }
    wasi_sockets_ip_name_lookup_borrow_resolve_address_stream_t from =
        wasi_sockets_ip_name_lookup_borrow_resolve_address_stream(stream);
    while (count < kAddressesMax) {
        wasi_sockets_ip_name_lookup_option_ip_address_t address;
        if (wasi_sockets_ip_name_lookup_method_resolve_address_stream_resolve_next_address(
                from, &address, &code)) {
            if (!address.is_some) {
                *why = "the name has no address";
                break;
            }
            found[count++] = address.val;
            continue;
        }
        *why = text_of(code);
        pollable ready = wasi_sockets_ip_name_lookup_method_resolve_address_stream_subscribe(from);
        if (code != WASI_SOCKETS_NETWORK_ERROR_CODE_WOULD_BLOCK) {
            wasi_io_poll_pollable_drop_own(ready);
            break;
        }
        if (!wait_any(&ready, 1, left_until(deadline))) {
            *why = "the name server did not answer in time";
            break;
        }
    }
    wasi_sockets_ip_name_lookup_resolve_address_stream_drop_own(stream);
    return count;
}

/* Waits for a step of the socket after `code`; false: it failed, or the time is over. */
static bool step_wait(wasi_sockets_tcp_borrow_tcp_socket_t socket, error_code code, double deadline,
                      const char** why) {
    *why = text_of(code);
    if (code != WASI_SOCKETS_NETWORK_ERROR_CODE_WOULD_BLOCK) {
        return false;
    }
    pollable ready = wasi_sockets_tcp_method_tcp_socket_subscribe(socket);
    *why = "timed out";
    return wait_any(&ready, 1, left_until(deadline)) != 0;
}

static struct conn* conn_of(wasi_sockets_tcp_own_tcp_socket_t socket,
                            wasi_io_streams_own_input_stream_t in,
                            wasi_io_streams_own_output_stream_t out) {
    struct conn* conn = keep(sizeof *conn);
    *conn = (struct conn){.socket = socket, .in = in, .out = out};
    return conn;
}

static struct conn* connect_one(socket_address to, double deadline, const char** why) {
    wasi_sockets_tcp_own_tcp_socket_t made;
    error_code code = 0;
    if (!wasi_sockets_tcp_create_socket_create_tcp_socket(to.tag, &made, &code)) {
        *why = text_of(code);
        return NULL;
    }
    wasi_sockets_tcp_borrow_tcp_socket_t socket = wasi_sockets_tcp_borrow_tcp_socket(made);
    wasi_sockets_tcp_tuple2_own_input_stream_own_output_stream_t streams;
    bool fine = wasi_sockets_tcp_method_tcp_socket_start_connect(socket, network(), &to, &code);
    *why = text_of(code);
    while (fine && !wasi_sockets_tcp_method_tcp_socket_finish_connect(socket, &streams, &code)) {
        fine = step_wait(socket, code, deadline, why);
    }
    if (fine) {
        return conn_of(made, streams.f0, streams.f1);
    }
    wasi_sockets_tcp_tcp_socket_drop_own(made);
    return NULL;
}

size_t net_lookup(const char* host, char (*texts)[kAddressBytes], double seconds,
                  const char** why) {
    ip_address addresses[kAddressesMax];
    size_t count = lookup(host, addresses, deadline_of(seconds), why);
    for (size_t i = 0; i < count; i++) {
        snprintf(texts[i], kAddressBytes, "%s", print_ip(addresses[i]).text);
    }
    return count;
}

struct conn* net_connect(const char* host, uint16_t port, double seconds, const char** why) {
    ip_address addresses[kAddressesMax];
    double deadline = deadline_of(seconds);
    size_t count = lookup(host, addresses, deadline, why);
    struct conn* conn = NULL;
    for (size_t i = 0; i < count && !conn; i++) {
        conn = connect_one(with_port(addresses[i], port), deadline, why);
    }
    return conn;
}

static bool listen_on(wasi_sockets_tcp_borrow_tcp_socket_t socket, socket_address at,
                      double deadline, const char** why) {
    error_code code = 0;
    bool fine = wasi_sockets_tcp_method_tcp_socket_start_bind(socket, network(), &at, &code);
    *why = text_of(code);
    while (fine && !wasi_sockets_tcp_method_tcp_socket_finish_bind(socket, &code)) {
        fine = step_wait(socket, code, deadline, why);
    }
    fine = fine && wasi_sockets_tcp_method_tcp_socket_start_listen(socket, &code);
    *why = fine ? *why : text_of(code);
    while (fine && !wasi_sockets_tcp_method_tcp_socket_finish_listen(socket, &code)) {
        fine = step_wait(socket, code, deadline, why);
    }
    return fine;
}

struct conn* net_accept(uint16_t port, double seconds, const char** why) {
    ip_address any = {.tag = IPV4};
    socket_address at = with_port(any, port);
    double deadline = deadline_of(seconds);
    wasi_sockets_tcp_own_tcp_socket_t made;
    error_code code = 0;
    if (!wasi_sockets_tcp_create_socket_create_tcp_socket(at.tag, &made, &code)) {
        *why = text_of(code);
        return NULL;
    }
    wasi_sockets_tcp_borrow_tcp_socket_t socket = wasi_sockets_tcp_borrow_tcp_socket(made);
    wasi_sockets_tcp_tuple3_own_tcp_socket_own_input_stream_own_output_stream_t peer;
    bool fine = listen_on(socket, at, deadline, why);
    while (fine && !wasi_sockets_tcp_method_tcp_socket_accept(socket, &peer, &code)) {
        fine = step_wait(socket, code, deadline, why);
    }
    wasi_sockets_tcp_tcp_socket_drop_own(made);
    return fine ? conn_of(peer.f0, peer.f1, peer.f2) : NULL;
}

static wasi_io_streams_borrow_input_stream_t input_of(struct conn* conn) {
    if (!conn->has_input) {
        conn->input = wasi_cli_stdin_get_stdin();
        conn->has_input = true;
    }
    return wasi_io_streams_borrow_input_stream(conn->input);
}

int net_wait(struct conn* conn, int what, double seconds) {
    pollable list[3];
    int kinds[3], ready = 0;
    size_t count = 0;
    if (what & kNetReadable) {
        kinds[count] = kNetReadable;
        list[count++] = wasi_io_streams_method_input_stream_subscribe(
            wasi_io_streams_borrow_input_stream(conn->in));
    }
    if (what & kNetWritable) {
        kinds[count] = kNetWritable;
        list[count++] = wasi_io_streams_method_output_stream_subscribe(
            wasi_io_streams_borrow_output_stream(conn->out));
    }
    if (what & kNetInput) {
        kinds[count] = kNetInput;
        list[count++] = wasi_io_streams_method_input_stream_subscribe(input_of(conn));
    }
    unsigned bits = wait_any(list, count, seconds);
    for (size_t i = 0; i < count; i++) {
        ready |= bits & 1u << i ? kinds[i] : 0;
    }
    return ready;
}

static ssize_t stream_read(wasi_io_streams_borrow_input_stream_t from, char* to, size_t size,
                           const char** why) {
    toolbox_component_list_u8_t piece;
    wasi_io_streams_stream_error_t error;
    *why = NULL;
    if (!wasi_io_streams_method_input_stream_read(from, size, &piece, &error)) {
        if (error.tag != WASI_IO_STREAMS_STREAM_ERROR_CLOSED) {
            *why = "connection lost";
        }
        wasi_io_streams_stream_error_free(&error);
        return -1;
    }
    size_t got = piece.len < size ? piece.len : size;
    if (got > 0) {
        memcpy(to, piece.ptr, got);
    }
    toolbox_component_list_u8_free(&piece);
    return (ssize_t)got;
}

ssize_t net_read(struct conn* conn, char* to, size_t size, const char** why) {
    return stream_read(wasi_io_streams_borrow_input_stream(conn->in), to, size, why);
}

ssize_t net_input(struct conn* conn, char* to, size_t size) {
    const char* why;
    return stream_read(input_of(conn), to, size, &why);
}

ssize_t net_write(struct conn* conn, const char* bytes, size_t size, const char** why) {
    wasi_io_streams_borrow_output_stream_t to = wasi_io_streams_borrow_output_stream(conn->out);
    wasi_io_streams_stream_error_t error;
    uint64_t room = 0;
    *why = NULL;
    if (wasi_io_streams_method_output_stream_check_write(to, &room, &error)) {
        size_t part = room < size ? (size_t)room : size;
        toolbox_component_list_u8_t piece = {(uint8_t*)bytes, part};
        if (part == 0 || (wasi_io_streams_method_output_stream_write(to, &piece, &error) &&
                          wasi_io_streams_method_output_stream_flush(to, &error))) {
            return (ssize_t)part;
        }
    }
    wasi_io_streams_stream_error_free(&error);
    *why = "connection closed by the other side";
    return -1;
}

void net_end_sending(struct conn* conn) {
    error_code code;
    wasi_sockets_tcp_method_tcp_socket_shutdown(wasi_sockets_tcp_borrow_tcp_socket(conn->socket),
                                                WASI_SOCKETS_TCP_SHUTDOWN_TYPE_SEND, &code);
}

void net_close(struct conn* conn) {
    wasi_io_streams_input_stream_drop_own(conn->in);
    wasi_io_streams_output_stream_drop_own(conn->out);
    if (conn->has_input) {
        wasi_io_streams_input_stream_drop_own(conn->input);
    }
    wasi_sockets_tcp_tcp_socket_drop_own(conn->socket);
    free(conn);
}
#endif
