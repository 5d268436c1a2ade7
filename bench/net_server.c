/* The least that answers as http-min does, for bench/net: native, one thread, poll(). A body is sent back when all of it has
 * come. */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS 512
#define ROOM (128 * 1024)

static char rooms[CONNECTIONS][ROOM];
static size_t filled[CONNECTIONS];

static int send_all(int fd, const char* bytes, size_t size, int flags) {
    while (size > 0) {
        ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL | flags);
        if (sent <= 0) {
            return -1;
        }
        bytes += sent;
        size -= (size_t)sent;
    }
    return 0;
}

/* Answers what has come as a whole. -1: the connection is done. */
static int serve(int fd, char* room, size_t* have) {
    ssize_t got = recv(fd, room + *have, ROOM - 1 - *have, 0);
    if (got <= 0) {
        return -1;
    }
    *have += (size_t)got;
    room[*have] = 0;
    char* end = strstr(room, "\r\n\r\n");
    if (end == NULL) {
        return 0;
    }
    size_t head = (size_t)(end - room) + 4;
    const char* length = strcasestr(room, "\r\nContent-Length:");
    size_t body = length != NULL && length < end ? strtoul(length + 17, NULL, 10) : 0;
    if (*have < head + body) {
        return *have >= ROOM - 1 ? -1 : 0;
    }
    const char* text = body > 0 ? room + head : "Hello from Skiff!\n";
    size_t size = body > 0 ? body : 18;
    char answer[128];
    int bytes = snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\ncontent-length: %zu\r\n\r\n", size);
    *have = 0;
    return send_all(fd, answer, (size_t)bytes, MSG_MORE) < 0 || send_all(fd, text, size, 0) < 0 ? -1 : 0;
}

int main(int argc, char** argv) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argc > 1 ? argv[1] : "8080"))};
    struct pollfd polled[CONNECTIONS + 1] = {{.fd = socket(AF_INET, SOCK_STREAM, 0), .events = POLLIN}};
    int on = 1;
    setsockopt(polled[0].fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(polled[0].fd, (struct sockaddr*)&at, sizeof at) != 0 || listen(polled[0].fd, 512) != 0) {
        perror("listen");
        return 1;
    }
    for (int i = 1; i <= CONNECTIONS; ++i) {
        polled[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    }
    for (;;) {
        poll(polled, CONNECTIONS + 1, -1);
        for (int i = 1; i <= CONNECTIONS; ++i) {
            if (polled[i].fd >= 0 && polled[i].revents != 0 && serve(polled[i].fd, rooms[i - 1], &filled[i - 1]) < 0) {
                close(polled[i].fd);
                polled[i].fd = -1;
            }
        }
        if (polled[0].revents != 0) {
            int fd = accept(polled[0].fd, NULL, NULL);
            int i = 1;
            while (i <= CONNECTIONS && polled[i].fd >= 0) {
                ++i;
            }
            if (i > CONNECTIONS) {
                close(fd);
            } else if (fd >= 0) {
                polled[i].fd = fd;
                filled[i - 1] = 0;
            }
        }
    }
}
