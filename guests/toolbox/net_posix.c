/* net.h over POSIX sockets: for tests of wget and nc outside Wasm. */
#ifndef __wasi__
#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct conn {
    int fd;
};

static struct conn* conn_of(int fd) {
    struct conn* conn = keep(sizeof *conn);
    conn->fd = fd;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return conn;
}

static int milliseconds(double seconds) {
    return seconds < 0 ? -1 : (int)(seconds * 1000);
}

size_t net_lookup(const char* host, char (*texts)[kAddressBytes], double seconds,
                  const char** why) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    int code = getaddrinfo(host, NULL, &hints, &found);
    size_t count = 0;
    (void)seconds; /* the library's own */
    *why = gai_strerror(code);
    for (struct addrinfo* at = found; code == 0 && at && count < kAddressesMax; at = at->ai_next) {
        getnameinfo(at->ai_addr, at->ai_addrlen, texts[count++], kAddressBytes, NULL, 0,
                    NI_NUMERICHOST);
    }
    if (found) {
        freeaddrinfo(found);
    }
    return count;
}

struct conn* net_connect(const char* host, uint16_t port, double seconds, const char** why) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    int code = getaddrinfo(host, service, &hints, &found);
    *why = gai_strerror(code);
    for (struct addrinfo* at = found; code == 0 && at; at = at->ai_next) {
        int fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK, 0), error = 0;
        socklen_t size = sizeof error;
        struct pollfd wait = {.fd = fd, .events = POLLOUT};
        bool fine = connect(fd, at->ai_addr, at->ai_addrlen) == 0;
        if (!fine && errno == EINPROGRESS) {
            error = poll(&wait, 1, milliseconds(seconds)) == 1 ? 0 : ETIMEDOUT;
            fine = error == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 &&
                   error == 0;
        }
        if (fine) {
            freeaddrinfo(found);
            return conn_of(fd);
        }
        *why = strerror(error ? error : errno);
        close(fd);
    }
    if (found) {
        freeaddrinfo(found);
    }
    return NULL;
}

struct conn* net_accept(uint16_t port, double seconds, const char** why) {
    int fd = socket(AF_INET6, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in6 at = {.sin6_family = AF_INET6,
                              .sin6_port = (uint16_t)(port << 8 | port >> 8)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    int peer = -1;
    if (bind(fd, (struct sockaddr*)&at, sizeof at) == 0 && listen(fd, 1) == 0) {
        errno = ETIMEDOUT;
        peer = poll(&wait, 1, milliseconds(seconds)) == 1 ? accept(fd, NULL, NULL) : -1;
    }
    *why = strerror(errno);
    close(fd);
    return peer < 0 ? NULL : conn_of(peer);
}

int net_wait(struct conn* conn, int what, double seconds) {
    struct pollfd both[2] = {{.fd = conn->fd,
                              .events = (short)((what & kNetReadable ? POLLIN : 0) |
                                                (what & kNetWritable ? POLLOUT : 0))},
                             {.fd = what & kNetInput ? 0 : -1, .events = POLLIN}};
    poll(both, 2, milliseconds(seconds));
    short got = both[0].revents;
    int ready = (got & (POLLIN | POLLHUP | POLLERR) ? kNetReadable : 0) |
                (got & (POLLOUT | POLLERR) ? kNetWritable : 0) | (both[1].revents ? kNetInput : 0);
    return ready & what;
}

static ssize_t outcome(ssize_t done, const char** why) {
    bool later = done < 0 && (errno == EAGAIN || errno == EINTR);
    *why = done < 0 && !later ? strerror(errno) : NULL;
    return later ? 0 : done;
}

ssize_t net_read(struct conn* conn, char* to, size_t size, const char** why) {
    ssize_t got = read(conn->fd, to, size);
    *why = NULL;
    return got == 0 ? -1 : outcome(got, why);
}

ssize_t net_write(struct conn* conn, const char* bytes, size_t size, const char** why) {
    return outcome(send(conn->fd, bytes, size, MSG_NOSIGNAL), why);
}

ssize_t net_input(struct conn* conn, char* to, size_t size) {
    (void)conn;
    ssize_t got = read(0, to, size);
    return got > 0 ? got : -1;
}

void net_end_sending(struct conn* conn) {
    shutdown(conn->fd, SHUT_WR);
}

void net_close(struct conn* conn) {
    close(conn->fd);
    free(conn);
}
#endif
