/* core-http: a core module that fetches a URL by `wasi_experimental_http`, the HTTP that Krustlet
 * gave to modules.
 *
 *   core-http URL [METHOD [BODY]]   the status, all headers, one of them by its name, and the body
 *   core-http --keep COUNT URL      asks COUNT times and closes no response
 *
 * A call that fails prints `CALL: error NUMBER` on stderr, and the guest ends with 1.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOST(name) __attribute__((import_module("wasi_experimental_http"), import_name(#name)))

// The numbers of errors, as far as the guest cares.
#define HEADER_NOT_FOUND 5

typedef uint32_t handle;

HOST(req)
uint32_t http_req(const char* url, size_t url_bytes, const char* method, size_t method_bytes,
                  const char* headers, size_t headers_bytes, const char* body, size_t body_bytes,
                  uint16_t* status, handle* response);
HOST(close) uint32_t http_close(handle response);
HOST(header_get)
uint32_t http_header_get(handle response, const char* name, size_t name_bytes, char* value,
                         size_t value_bytes, size_t* written);
HOST(headers_get_all)
uint32_t http_headers_get_all(handle response, char* text, size_t text_bytes, size_t* written);
HOST(body_read)
uint32_t http_body_read(handle response, char* piece, size_t piece_bytes, size_t* read);

static void check(const char* call, uint32_t error) {
    if (error != 0) {
        fflush(stdout);
        fprintf(stderr, "%s: error %u\n", call, error);
        exit(1);
    }
}

static handle ask(const char* url, const char* method, const char* body, uint16_t* status) {
    static const char kHeaders[] = "x-guest:core-http\naccept:*/*\n";
    handle response;
    check("req", http_req(url, strlen(url), method, strlen(method), kHeaders, sizeof kHeaders - 1,
                          body, strlen(body), status, &response));
    return response;
}

static void print_headers(handle response) {
    static char text[65536];
    size_t written;
    check("headers_get_all", http_headers_get_all(response, text, sizeof text, &written));
    printf("headers %zu bytes\n", written);
    uint32_t error = http_header_get(response, "Content-Type", 12, text, sizeof text, &written);
    if (error == HEADER_NOT_FOUND) {
        printf("no content-type\n");
        return;
    }
    check("header_get", error);
    printf("content-type %.*s\n", (int)written, text);
}

static void print_body(handle response) {
    static char piece[4096];
    size_t length;
    do {
        check("body_read", http_body_read(response, piece, sizeof piece, &length));
        fwrite(piece, 1, length, stdout);
    } while (length > 0);
}

int main(int argc, char** argv) {
    uint16_t status;
    if (argc == 4 && strcmp(argv[1], "--keep") == 0) {
        for (int i = 0; i < atoi(argv[2]); i++) {
            ask(argv[3], "GET", "", &status);
            printf("response %d: status %u\n", i + 1, status);
        }
        return 0;
    }
    if (argc < 2) {
        fprintf(stderr, "usage: core-http URL [METHOD [BODY]] | core-http --keep COUNT URL\n");
        return 2;
    }
    handle response = ask(argv[1], argc > 2 ? argv[2] : "GET", argc > 3 ? argv[3] : "", &status);
    printf("status %u\n", status);
    print_headers(response);
    print_body(response);
    check("close", http_close(response));
    return 0;
}
