/* sockets: what WASI 0.2 sockets can do, one verb for each (guests/README.md). A call that fails
 * prints `STEP: ERROR-CODE` on stderr, and the guest ends with 1.
 */
#include "sockets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESS(name) wasi_sockets_network_##name
#include "socket_address.h"

#define CHUNK_BYTES 65536
#define SECOND 1000000000ull

typedef wasi_sockets_network_error_code_t error_code;
typedef wasi_io_poll_own_pollable_t pollable;

static const char* const kErrors[] = {
    "unknown",
    "access-denied",
    "not-supported",
    "invalid-argument",
    "out-of-memory",
    "timeout",
    "concurrency-conflict",
    "not-in-progress",
    "would-block",
    "invalid-state",
    "new-socket-limit",
    "address-not-bindable",
    "address-in-use",
    "remote-unreachable",
    "connection-refused",
    "connection-reset",
    "connection-aborted",
    "datagram-too-large",
    "name-unresolvable",
    "temporary-resolver-failure",
    "permanent-resolver-failure",
};

static _Noreturn void fail(const char* step, const char* error) {
    fflush(stdout);
    fprintf(stderr, "%s: %s\n", step, error);
    exit(1);
}

static void check(bool ok, const char* step, error_code code) {
    if (!ok) {
        fail(step, code < sizeof kErrors / sizeof kErrors[0] ? kErrors[code] : "unlisted code");
    }
}

static void wait_for(pollable ready) {
    wasi_io_poll_method_pollable_block(wasi_io_poll_borrow_pollable(ready));
    wasi_io_poll_pollable_drop_own(ready);
}

// Waits for `ready`, for five seconds.
static void wait_a_while(pollable ready, const char* step) {
    pollable timer = wasi_clocks_monotonic_clock_subscribe_duration(5 * SECOND);
    wasi_io_poll_borrow_pollable_t both[2] = {wasi_io_poll_borrow_pollable(ready),
                                              wasi_io_poll_borrow_pollable(timer)};
    wasi_io_poll_list_borrow_pollable_t list = {both, 2};
    sockets_list_u32_t indices;
    wasi_io_poll_poll(&list, &indices);
    bool timed_out = indices.len == 1 && indices.ptr[0] == 1;
    sockets_list_u32_free(&indices);
    wasi_io_poll_pollable_drop_own(timer);
    wasi_io_poll_pollable_drop_own(ready);
    if (timed_out) {
        fail(step, "no answer");
    }
}

static wasi_sockets_network_borrow_network_t network(void) {
    static wasi_sockets_network_own_network_t one;
    if (one.__handle == 0) {
        one = wasi_sockets_instance_network_instance_network();
    }
    return wasi_sockets_network_borrow_network(one);
}

// Calls `each` with every address of a name, until it says that this was enough.
static void lookup(const char* name, bool (*each)(ip_address address, void* to), void* to) {
    sockets_string_t text;
    sockets_string_set(&text, name);
    wasi_sockets_ip_name_lookup_own_resolve_address_stream_t stream;
    error_code code = 0;
    check(wasi_sockets_ip_name_lookup_resolve_addresses(network(), &text, &stream, &code), "lookup",
          code);
    wasi_sockets_ip_name_lookup_borrow_resolve_address_stream_t from =
        wasi_sockets_ip_name_lookup_borrow_resolve_address_stream(stream);
    for (;;) {
        wasi_sockets_ip_name_lookup_option_ip_address_t address;
        if (wasi_sockets_ip_name_lookup_method_resolve_address_stream_resolve_next_address(
                from, &address, &code)) {
            if (!address.is_some || each(address.val, to)) {
                break;
            }
            continue;
        }
        check(code == WASI_SOCKETS_NETWORK_ERROR_CODE_WOULD_BLOCK, "lookup", code);
        wait_for(wasi_sockets_ip_name_lookup_method_resolve_address_stream_subscribe(from));
    }
    wasi_sockets_ip_name_lookup_resolve_address_stream_drop_own(stream);
}

static bool print_each(ip_address address, void* to) {
    (void)to;
    printf("%s\n", print_ip(address).text);
    return false;
}

static bool take_first(ip_address address, void* to) {
    *(ip_address*)to = address;
    return true;
}

static socket_address find(const char* host, const char* port) {
    ip_address address;
    if (!parse_ip(host, &address)) {
        lookup(host, take_first, &address);
    }
    return with_port(address, (uint16_t)atoi(port));
}

static wasi_sockets_tcp_own_tcp_socket_t make_tcp(socket_address of) {
    wasi_sockets_tcp_own_tcp_socket_t made;
    error_code code = 0;
    check(wasi_sockets_tcp_create_socket_create_tcp_socket(of.tag, &made, &code), "create", code);
    return made;
}

// Writes all; false when the other side is gone.
static bool write_all(wasi_io_streams_own_output_stream_t stream, const uint8_t* data,
                      size_t length) {
    wasi_io_streams_borrow_output_stream_t to = wasi_io_streams_borrow_output_stream(stream);
    wasi_io_streams_stream_error_t error;
    while (length > 0) {
        uint64_t room;
        if (!wasi_io_streams_method_output_stream_check_write(to, &room, &error)) {
            return false;
        }
        if (room == 0) {
            wait_for(wasi_io_streams_method_output_stream_subscribe(to));
            continue;
        }
        sockets_list_u8_t part = {(uint8_t*)data, room < length ? (size_t)room : length};
        if (!wasi_io_streams_method_output_stream_write(to, &part, &error)) {
            return false;
        }
        data += part.len;
        length -= part.len;
    }
    return wasi_io_streams_method_output_stream_blocking_flush(to, &error);
}

// The next bytes; false at the end, or when the other side is gone.
static bool read_some(wasi_io_streams_own_input_stream_t stream, sockets_list_u8_t* piece) {
    wasi_io_streams_stream_error_t error;
    return wasi_io_streams_method_input_stream_blocking_read(
        wasi_io_streams_borrow_input_stream(stream), CHUNK_BYTES, piece, &error);
}

static void tcp(const char* host, const char* port, const char* text) {
    socket_address to = find(host, port);
    wasi_sockets_tcp_own_tcp_socket_t made = make_tcp(to);
    wasi_sockets_tcp_borrow_tcp_socket_t socket = wasi_sockets_tcp_borrow_tcp_socket(made);
    error_code code = 0;
    check(wasi_sockets_tcp_method_tcp_socket_start_connect(socket, network(), &to, &code),
          "connect", code);
    wasi_sockets_tcp_tuple2_own_input_stream_own_output_stream_t streams;
    while (!wasi_sockets_tcp_method_tcp_socket_finish_connect(socket, &streams, &code)) {
        check(code == WASI_SOCKETS_NETWORK_ERROR_CODE_WOULD_BLOCK, "connect", code);
        wait_for(wasi_sockets_tcp_method_tcp_socket_subscribe(socket));
    }
    if (!write_all(streams.f1, (const uint8_t*)text, strlen(text))) {
        fail("write", "closed");
    }
    check(wasi_sockets_tcp_method_tcp_socket_shutdown(socket, WASI_SOCKETS_TCP_SHUTDOWN_TYPE_SEND,
                                                      &code),
          "shutdown", code);
    sockets_list_u8_t piece;
    while (read_some(streams.f0, &piece)) {
        fwrite(piece.ptr, 1, piece.len, stdout);
        sockets_list_u8_free(&piece);
    }
    printf("\n");
}

static wasi_sockets_tcp_own_tcp_socket_t listen_on(socket_address at) {
    wasi_sockets_tcp_own_tcp_socket_t made = make_tcp(at);
    wasi_sockets_tcp_borrow_tcp_socket_t socket = wasi_sockets_tcp_borrow_tcp_socket(made);
    error_code code = 0;
    check(wasi_sockets_tcp_method_tcp_socket_start_bind(socket, network(), &at, &code), "bind",
          code);
    while (!wasi_sockets_tcp_method_tcp_socket_finish_bind(socket, &code)) {
        check(code == WASI_SOCKETS_NETWORK_ERROR_CODE_WOULD_BLOCK, "bind", code);
        wait_for(wasi_sockets_tcp_method_tcp_socket_subscribe(socket));
    }
    check(wasi_sockets_tcp_method_tcp_socket_start_listen(socket, &code), "listen", code);
    while (!wasi_sockets_tcp_method_tcp_socket_finish_listen(socket, &code)) {
        check(code == WASI_SOCKETS_NETWORK_ERROR_CODE_WOULD_BLOCK, "listen", code);
        wait_for(wasi_sockets_tcp_method_tcp_socket_subscribe(socket));
    }
    socket_address bound;
    check(wasi_sockets_tcp_method_tcp_socket_local_address(socket, &bound, &code), "local-address",
          code);
    printf("listening on %s\n", print_address(bound).text);
    fflush(stdout);
    return made;
}

// Serves one connection after the other: `count` of them, for ever when it is zero.
static void tcp_listen(socket_address at, unsigned long count) {
    wasi_sockets_tcp_own_tcp_socket_t made = listen_on(at);
    wasi_sockets_tcp_borrow_tcp_socket_t socket = wasi_sockets_tcp_borrow_tcp_socket(made);
    for (unsigned long served = 0; count == 0 || served < count; served++) {
        wasi_sockets_tcp_tuple3_own_tcp_socket_own_input_stream_own_output_stream_t peer;
        error_code code = 0;
        while (!wasi_sockets_tcp_method_tcp_socket_accept(socket, &peer, &code)) {
            check(code == WASI_SOCKETS_NETWORK_ERROR_CODE_WOULD_BLOCK, "accept", code);
            wait_for(wasi_sockets_tcp_method_tcp_socket_subscribe(socket));
        }
        unsigned long bytes = 0;
        sockets_list_u8_t piece;
        while (read_some(peer.f1, &piece)) {
            bool written = write_all(peer.f2, piece.ptr, piece.len);
            bytes += piece.len;
            sockets_list_u8_free(&piece);
            if (!written) {
                break;
            }
        }
        printf("echoed %lu bytes\n", bytes);
        fflush(stdout);
        wasi_io_streams_input_stream_drop_own(peer.f1);
        wasi_io_streams_output_stream_drop_own(peer.f2);
        wasi_sockets_tcp_tcp_socket_drop_own(peer.f0);
    }
}

struct udp_end {
    wasi_sockets_udp_own_udp_socket_t socket;
    wasi_sockets_udp_borrow_incoming_datagram_stream_t in;
    wasi_sockets_udp_borrow_outgoing_datagram_stream_t out;
};

static struct udp_end make_udp(socket_address at, socket_address* peer) {
    struct udp_end end;
    error_code code = 0;
    check(wasi_sockets_udp_create_socket_create_udp_socket(at.tag, &end.socket, &code), "create",
          code);
    wasi_sockets_udp_borrow_udp_socket_t socket = wasi_sockets_udp_borrow_udp_socket(end.socket);
    check(wasi_sockets_udp_method_udp_socket_start_bind(socket, network(), &at, &code), "bind",
          code);
    while (!wasi_sockets_udp_method_udp_socket_finish_bind(socket, &code)) {
        check(code == WASI_SOCKETS_NETWORK_ERROR_CODE_WOULD_BLOCK, "bind", code);
        wait_for(wasi_sockets_udp_method_udp_socket_subscribe(socket));
    }
    wasi_sockets_udp_tuple2_own_incoming_datagram_stream_own_outgoing_datagram_stream_t streams;
    check(wasi_sockets_udp_method_udp_socket_stream(socket, peer, &streams, &code), "connect",
          code);
    end.in = wasi_sockets_udp_borrow_incoming_datagram_stream(streams.f0);
    end.out = wasi_sockets_udp_borrow_outgoing_datagram_stream(streams.f1);
    return end;
}

static void send_datagram(struct udp_end end, wasi_sockets_udp_outgoing_datagram_t datagram) {
    error_code code = 0;
    uint64_t room;
    for (;;) {
        check(wasi_sockets_udp_method_outgoing_datagram_stream_check_send(end.out, &room, &code),
              "send", code);
        if (room > 0) {
            break;
        }
        wait_for(wasi_sockets_udp_method_outgoing_datagram_stream_subscribe(end.out));
    }
    wasi_sockets_udp_list_outgoing_datagram_t list = {&datagram, 1};
    uint64_t sent;
    check(wasi_sockets_udp_method_outgoing_datagram_stream_send(end.out, &list, &sent, &code),
          "send", code);
}

// Receives what has come; false when that is nothing.
static bool receive(struct udp_end end, wasi_sockets_udp_list_incoming_datagram_t* got) {
    error_code code = 0;
    check(wasi_sockets_udp_method_incoming_datagram_stream_receive(end.in, 1, got, &code),
          "receive", code);
    return got->len > 0;
}

static void udp(const char* host, const char* port, const char* text) {
    socket_address to = find(host, port);
    ip_address any;
    parse_ip(to.tag == IPV4 ? "0.0.0.0" : "::", &any);
    struct udp_end end = make_udp(with_port(any, 0), &to);
    wasi_sockets_udp_outgoing_datagram_t datagram = {
        .data = {(uint8_t*)text, strlen(text)},
        .remote_address = {.is_some = false},
    };
    send_datagram(end, datagram);
    wasi_sockets_udp_list_incoming_datagram_t got;
    while (!receive(end, &got)) {
        wait_a_while(wasi_sockets_udp_method_incoming_datagram_stream_subscribe(end.in), "receive");
    }
    printf("%.*s\n", (int)got.ptr[0].data.len, (const char*)got.ptr[0].data.ptr);
}

static void udp_listen(socket_address at, unsigned long count) {
    struct udp_end end = make_udp(at, NULL);
    socket_address bound;
    error_code code = 0;
    check(wasi_sockets_udp_method_udp_socket_local_address(
              wasi_sockets_udp_borrow_udp_socket(end.socket), &bound, &code),
          "local-address", code);
    printf("listening on %s\n", print_address(bound).text);
    fflush(stdout);
    for (unsigned long served = 0; count == 0 || served < count; served++) {
        wasi_sockets_udp_list_incoming_datagram_t got;
        while (!receive(end, &got)) {
            wait_for(wasi_sockets_udp_method_incoming_datagram_stream_subscribe(end.in));
        }
        wasi_sockets_udp_outgoing_datagram_t answer = {
            .data = {got.ptr[0].data.ptr, got.ptr[0].data.len},
            .remote_address = {.is_some = true, .val = got.ptr[0].remote_address},
        };
        send_datagram(end, answer);
        printf("echoed %zu bytes\n", got.ptr[0].data.len);
        fflush(stdout);
        wasi_sockets_udp_list_incoming_datagram_free(&got);
    }
}

int main(int argc, char** argv) {
    const char* verb = argc > 2 ? argv[1] : "";
    unsigned long count = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
    const char* listen_at = argc > 4 ? argv[4] : "0.0.0.0";
    if (strcmp(verb, "tcp-listen") == 0) {
        tcp_listen(find(listen_at, argv[2]), count);
    } else if (strcmp(verb, "udp-listen") == 0) {
        udp_listen(find(listen_at, argv[2]), count);
    } else if (strcmp(verb, "tcp") == 0 && argc == 5) {
        tcp(argv[2], argv[3], argv[4]);
    } else if (strcmp(verb, "udp") == 0 && argc == 5) {
        udp(argv[2], argv[3], argv[4]);
    } else if (strcmp(verb, "lookup") == 0) {
        lookup(argv[2], print_each, NULL);
    } else {
        fprintf(stderr,
                "usage: sockets tcp-listen PORT [N [ADDRESS]] | tcp HOST PORT TEXT | "
                "udp-listen PORT [N [ADDRESS]] | udp HOST PORT TEXT | lookup NAME\n");
        return 2;
    }
    return 0;
}
