/* sockets-03: the verbs of sockets, by WASI 0.3. Here calls just block (they are bound as such),
 * except for the answer to a datagram, for which there is a time limit.
 */
#include "command3.h"

#include <stdio.h>
#include <string.h>

#define ADDRESS(name) wasi_sockets_types_##name
#include "output_03.h"
#include "socket_address.h"

#define CHUNK_BYTES 65536
#define SECOND 1000000000ull

typedef wasi_sockets_types_error_code_t error_code;

static const char* const kErrors[] = {
    "access-denied",
    "not-supported",
    "invalid-argument",
    "out-of-memory",
    "timeout",
    "invalid-state",
    "address-not-bindable",
    "address-in-use",
    "remote-unreachable",
    "connection-refused",
    "connection-broken",
    "connection-reset",
    "connection-aborted",
    "datagram-too-large",
    "other",
};

static const char* const kLookupErrors[] = {
    "access-denied",
    "invalid-argument",
    "name-unresolvable",
    "temporary-resolver-failure",
    "permanent-resolver-failure",
    "other",
};

static void print(struct output* to, const char* text) {
    write_bytes(to, (const uint8_t*)text, strlen(text));
}

static _Noreturn void end(uint8_t code) {
    close_output(&out);
    close_output(&err);
    wasi_cli_exit_exit_with_code(code);
    __builtin_unreachable();
}

static _Noreturn void fail(const char* step, const char* error) {
    char line[128];
    snprintf(line, sizeof line, "%s: %s\n", step, error);
    print(&err, line);
    end(1);
}

static void check(bool ok, const char* step, error_code* error) {
    if (!ok) {
        fail(step, error->tag < sizeof kErrors / sizeof kErrors[0] ? kErrors[error->tag]
                                                                   : "unlisted code");
    }
}

typedef wasi_sockets_ip_name_lookup_list_ip_address_t ip_list;

static ip_list lookup(const char* name) {
    command3_string_t text;
    command3_string_set(&text, name);
    ip_list found;
    wasi_sockets_ip_name_lookup_error_code_t error;
    if (!wasi_sockets_ip_name_lookup_resolve_addresses(&text, &found, &error)) {
        fail("lookup", error.tag < sizeof kLookupErrors / sizeof kLookupErrors[0]
                           ? kLookupErrors[error.tag]
                           : "unlisted code");
    }
    return found;
}

static void print_lookup(const char* name) {
    ip_list found = lookup(name);
    for (size_t i = 0; i < found.len; i++) {
        print(&out, print_ip(found.ptr[i]).text);
        print(&out, "\n");
    }
}

static socket_address find(const char* host, const char* port) {
    ip_address address;
    if (!parse_ip(host, &address)) {
        address = lookup(host).ptr[0];
    }
    return with_port(address, (uint16_t)atoi(port));
}

// How many bytes a stream operation moved, once it is over.
static size_t moved(uint32_t status, uint32_t waitable, bool* over) {
    if (status == COMMAND3_WAITABLE_STATUS_BLOCKED) {
        command3_event_t event;
        wait_inside(waitable, &event);
        status = event.code;
    }
    *over = COMMAND3_WAITABLE_STATE(status) != COMMAND3_WAITABLE_COMPLETED;
    return COMMAND3_WAITABLE_COUNT(status);
}

// Reads a stream to its end and hands every piece on.
static size_t drain(wasi_sockets_types_stream_u8_t from,
                    bool (*each)(void* to, const uint8_t* data, size_t length), void* to) {
    static uint8_t piece[CHUNK_BYTES];
    size_t all = 0;
    bool over = false;
    while (!over) {
        size_t length =
            moved(wasi_sockets_types_stream_u8_read(from, piece, sizeof piece), from, &over);
        all += length;
        if (length > 0 && !each(to, piece, length)) {
            break;
        }
    }
    wasi_sockets_types_stream_u8_drop_readable(from);
    return all;
}

static bool send_piece(void* to, const uint8_t* data, size_t length) {
    wasi_sockets_types_stream_u8_writer_t writer = *(wasi_sockets_types_stream_u8_writer_t*)to;
    bool over = false;
    while (length > 0 && !over) {
        size_t sent =
            moved(wasi_sockets_types_stream_u8_write(writer, data, length), writer, &over);
        data += sent;
        length -= sent;
    }
    return length == 0;
}

static bool print_piece(void* to, const uint8_t* data, size_t length) {
    write_bytes(to, data, length);
    return true;
}

static wasi_sockets_types_own_tcp_socket_t make_tcp(socket_address of) {
    wasi_sockets_types_own_tcp_socket_t made;
    error_code error;
    check(wasi_sockets_types_static_tcp_socket_create(of.tag, &made, &error), "create", &error);
    return made;
}

struct connection {
    wasi_sockets_types_stream_u8_writer_t writer;
    wasi_sockets_types_future_result_void_error_code_t sent;
    wasi_sockets_types_tuple2_stream_u8_future_result_void_error_code_t received;
};

static struct connection use(wasi_sockets_types_borrow_tcp_socket_t socket) {
    struct connection both;
    both.sent = wasi_sockets_types_method_tcp_socket_send(
        socket, wasi_sockets_types_stream_u8_new(&both.writer));
    wasi_sockets_types_method_tcp_socket_receive(socket, &both.received);
    return both;
}

// Waits until everything has been sent.
static void finish_sending(struct connection both) {
    wasi_sockets_types_stream_u8_drop_writable(both.writer);
    wasi_sockets_types_result_void_error_code_t result;
    bool over;
    moved(wasi_sockets_types_future_result_void_error_code_read(both.sent, &result), both.sent,
          &over);
    wasi_sockets_types_future_result_void_error_code_drop_readable(both.sent);
}

static void tcp(const char* host, const char* port, const char* text) {
    socket_address to = find(host, port);
    wasi_sockets_types_own_tcp_socket_t made = make_tcp(to);
    wasi_sockets_types_borrow_tcp_socket_t socket = wasi_sockets_types_borrow_tcp_socket(made);
    error_code error;
    check(wasi_sockets_types_method_tcp_socket_connect(socket, &to, &error), "connect", &error);
    struct connection both = use(socket);
    send_piece(&both.writer, (const uint8_t*)text, strlen(text));
    finish_sending(both);
    drain(both.received.f0, print_piece, &out);
    print(&out, "\n");
}

static void print_bound(bool ok, socket_address bound, error_code* error) {
    check(ok, "local-address", error);
    char line[80];
    snprintf(line, sizeof line, "listening on %s\n", print_address(bound).text);
    print(&out, line);
}

static void print_echoed(size_t bytes) {
    char line[48];
    snprintf(line, sizeof line, "echoed %zu bytes\n", bytes);
    print(&out, line);
}

// Serves one connection after the other: `count` of them, for ever when it is zero.
static void tcp_listen(socket_address at, unsigned long count) {
    socket_address bound;
    wasi_sockets_types_borrow_tcp_socket_t socket =
        wasi_sockets_types_borrow_tcp_socket(make_tcp(at));
    error_code error;
    check(wasi_sockets_types_method_tcp_socket_bind(socket, &at, &error), "bind", &error);
    wasi_sockets_types_stream_own_tcp_socket_t peers;
    check(wasi_sockets_types_method_tcp_socket_listen(socket, &peers, &error), "listen", &error);
    print_bound(wasi_sockets_types_method_tcp_socket_get_local_address(socket, &bound, &error),
                bound, &error);
    bool over = false;
    for (unsigned long served = 0; !over && (count == 0 || served < count); served++) {
        wasi_sockets_types_own_tcp_socket_t peer;
        if (moved(wasi_sockets_types_stream_own_tcp_socket_read(peers, &peer, 1), peers, &over) ==
            0) {
            fail("accept", "closed");
        }
        struct connection both = use(wasi_sockets_types_borrow_tcp_socket(peer));
        print_echoed(drain(both.received.f0, send_piece, &both.writer));
        finish_sending(both);
        wasi_sockets_types_future_result_void_error_code_drop_readable(both.received.f1);
        wasi_sockets_types_tcp_socket_drop_own(peer);
    }
}

static wasi_sockets_types_borrow_udp_socket_t make_udp(socket_address at) {
    wasi_sockets_types_own_udp_socket_t made;
    error_code error;
    check(wasi_sockets_types_static_udp_socket_create(at.tag, &made, &error), "create", &error);
    wasi_sockets_types_borrow_udp_socket_t socket = wasi_sockets_types_borrow_udp_socket(made);
    check(wasi_sockets_types_method_udp_socket_bind(socket, &at, &error), "bind", &error);
    return socket;
}

typedef wasi_sockets_types_result_tuple2_list_u8_ip_socket_address_error_code_t datagram;

// Receives one datagram; with a time limit it fails after five seconds.
static void receive(wasi_sockets_types_borrow_udp_socket_t socket, bool limited, datagram* got) {
    command3_subtask_status_t status = wasi_sockets_types_method_udp_socket_receive(socket, got);
    if (COMMAND3_SUBTASK_STATE(status) != COMMAND3_SUBTASK_RETURNED) {
        command3_waitable_set_t set = command3_waitable_set_new();
        uint32_t waiting = COMMAND3_SUBTASK_HANDLE(status);
        command3_waitable_join(waiting, set);
        if (limited) {
            status = wasi_clocks_monotonic_clock_wait_for(5 * SECOND);
            command3_waitable_join(COMMAND3_SUBTASK_HANDLE(status), set);
        }
        // It may begin to run before it returns.
        command3_event_t event;
        do {
            command3_waitable_set_wait(set, &event);
        } while (event.code != COMMAND3_SUBTASK_RETURNED);
        if (event.waitable != waiting) {
            fail("receive", "no answer");
        }
        command3_waitable_join(waiting, 0);
        command3_subtask_drop(waiting);
    }
    check(!got->is_err, "receive", &got->val.err);
}

static void udp(const char* host, const char* port, const char* text) {
    socket_address to = find(host, port);
    ip_address any;
    parse_ip(to.tag == IPV4 ? "0.0.0.0" : "::", &any);
    wasi_sockets_types_borrow_udp_socket_t socket = make_udp(with_port(any, 0));
    error_code error;
    check(wasi_sockets_types_method_udp_socket_connect(socket, &to, &error), "connect", &error);
    command3_list_u8_t data = {(uint8_t*)text, strlen(text)};
    check(wasi_sockets_types_method_udp_socket_send(socket, &data, NULL, &error), "send", &error);
    datagram got;
    receive(socket, true, &got);
    write_bytes(&out, got.val.ok.f0.ptr, got.val.ok.f0.len);
    print(&out, "\n");
}

static void udp_listen(socket_address at, unsigned long count) {
    socket_address bound;
    error_code error;
    wasi_sockets_types_borrow_udp_socket_t socket = make_udp(at);
    print_bound(wasi_sockets_types_method_udp_socket_get_local_address(socket, &bound, &error),
                bound, &error);
    for (unsigned long served = 0; count == 0 || served < count; served++) {
        datagram got;
        receive(socket, false, &got);
        check(wasi_sockets_types_method_udp_socket_send(socket, &got.val.ok.f0, &got.val.ok.f1,
                                                        &error),
              "send", &error);
        print_echoed(got.val.ok.f0.len);
        command3_list_u8_free(&got.val.ok.f0);
    }
}

// An argument as C text; empty when it is not there.
static char* argument(command3_list_string_t all, size_t index) {
    command3_string_t text = {NULL, 0};
    if (index < all.len) {
        text = all.ptr[index];
    }
    char* copy = malloc(text.len + 1);
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return copy;
}

bool exports_wasi_cli_run_run(void) {
    command3_list_string_t all;
    wasi_cli_environment_get_arguments(&all);
    const char* verb = argument(all, 1);
    const char* first = argument(all, 2);
    const char* second = argument(all, 3);
    const char* third = argument(all, 4);
    const char* listen_at = all.len > 4 ? third : "0.0.0.0";
    if (strcmp(verb, "tcp-listen") == 0) {
        tcp_listen(find(listen_at, first), strtoul(second, NULL, 10));
    } else if (strcmp(verb, "udp-listen") == 0) {
        udp_listen(find(listen_at, first), strtoul(second, NULL, 10));
    } else if (strcmp(verb, "tcp") == 0 && all.len == 5) {
        tcp(first, second, third);
    } else if (strcmp(verb, "udp") == 0 && all.len == 5) {
        udp(first, second, third);
    } else if (strcmp(verb, "lookup") == 0) {
        print_lookup(first);
    } else {
        print(&err,
              "usage: sockets-03 tcp-listen PORT [N [ADDRESS]] | tcp HOST PORT TEXT | "
              "udp-listen PORT [N [ADDRESS]] | udp HOST PORT TEXT | lookup NAME\n");
        end(2);
    }
    close_output(&out);
    close_output(&err);
    return true;
}
