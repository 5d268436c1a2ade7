/* Text and socket addresses, for both WASI levels: define ADDRESS(name) as the bindings' prefix for
 * the types of wasi:sockets before including it.
 */
#pragma once

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define IPV4 0
#define IPV6 1

typedef ADDRESS(ip_address_t) ip_address;
typedef ADDRESS(ip_socket_address_t) socket_address;

// Space for `[IPv6]:PORT`.
struct address_text {
    char text[56];
};

static inline struct address_text print_ip(ip_address address) {
    struct address_text printed;
    if (address.tag == IPV4) {
        inet_ntop(AF_INET, &address.val.ipv4, printed.text, sizeof printed.text);
        return printed;
    }
    uint16_t words[8];
    memcpy(words, &address.val.ipv6, sizeof words);
    for (int i = 0; i < 8; i++) {
        words[i] = htons(words[i]);
    }
    inet_ntop(AF_INET6, words, printed.text, sizeof printed.text);
    return printed;
}

static inline struct address_text print_address(socket_address address) {
    ip_address ip = {.tag = address.tag};
    uint16_t port;
    if (address.tag == IPV4) {
        ip.val.ipv4 = address.val.ipv4.address;
        port = address.val.ipv4.port;
    } else {
        ip.val.ipv6 = address.val.ipv6.address;
        port = address.val.ipv6.port;
    }
    struct address_text printed;
    snprintf(printed.text, sizeof printed.text, address.tag == IPV4 ? "%s:%u" : "[%s]:%u",
             print_ip(ip).text, port);
    return printed;
}

// A literal address; false for anything else, which is then a name.
static inline bool parse_ip(const char* text, ip_address* address) {
    if (inet_pton(AF_INET, text, &address->val.ipv4) == 1) {
        address->tag = IPV4;
        return true;
    }
    uint16_t words[8];
    if (inet_pton(AF_INET6, text, words) != 1) {
        return false;
    }
    for (int i = 0; i < 8; i++) {
        words[i] = ntohs(words[i]);
    }
    address->tag = IPV6;
    memcpy(&address->val.ipv6, words, sizeof words);
    return true;
}

static inline socket_address with_port(ip_address ip, uint16_t port) {
    socket_address address;
    memset(&address, 0, sizeof address);
    address.tag = ip.tag;
    if (ip.tag == IPV4) {
        address.val.ipv4.address = ip.val.ipv4;
        address.val.ipv4.port = port;
    } else {
        address.val.ipv6.address = ip.val.ipv6;
        address.val.ipv6.port = port;
    }
    return address;
}
