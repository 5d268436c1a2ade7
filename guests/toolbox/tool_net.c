/* wget, nc and nslookup. A core module has no sockets: there they only say so. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "net.h"
#include "tools.h"

#if defined(__wasi__) && !defined(TOOLBOX_COMPONENT)

static int no_sockets(void) {
    complain("WASI 0.1 has no sockets: this toolbox is a core module");
    return 1;
}

int wget_main(int argc, char** argv) {
    (void)argc, (void)argv;
    return no_sockets();
}

int nc_main(int argc, char** argv) {
    (void)argc, (void)argv;
    return no_sockets();
}

int nslookup_main(int argc, char** argv) {
    (void)argc, (void)argv;
    return no_sockets();
}

#else

enum { kRedirectsMax = 10, kHeadBytesMax = 65536, kNetworkFailed = 4, kServerRefused = 8 };

struct url {
    char *host, *path;
    long long port;
};
struct wget {
    bool quiet, show_head, spider;
    double timeout;
    const char *output, *body;
    struct str headers;
    /* the answer being read */
    struct conn* conn;
    char part[8192];
    size_t at, end;
    const char* why;
};

static bool parse_url(const char* text, struct url* url) {
    if (strncmp(text, "https://", 8) == 0) {
        complain("%s: there is no TLS here, only http://", text);
        return false;
    }
    text += strncmp(text, "http://", 7) == 0 ? 7 : 0;
    size_t size = strcspn(text, "/?#");
    char* authority = pool_copy(&scratch, text, size);
    char* colon = strrchr(authority, ':');
    char* bracket = strchr(authority, ']');
    url->port = 80;
    if (colon && (!bracket || colon > bracket)) {
        *colon = '\0';
        if (!parse_number(colon + 1, &url->port) || url->port < 1 || url->port > 65535) {
            complain("%s: a port is a number from 1 to 65535", text);
            return false;
        }
    }
    url->host = authority[0] == '[' ? authority + 1 : authority;
    if (authority[0] == '[' && bracket) {
        *bracket = '\0';
    }
    const char* path = text + size;
    url->path = pool_copy(&scratch, path, strcspn(path, "#"));
    if (url->path[0] != '/') {
        url->path = scratch_format("/%s", url->path);
    }
    if (!*url->host || strpbrk(url->host, " @\r\n") || strpbrk(url->path, " \r\n")) {
        complain("%s: is no URL", text);
        return false;
    }
    return true;
}

static bool send_all(struct wget* w, const char* bytes, size_t size) {
    while (size > 0) {
        ssize_t done = net_write(w->conn, bytes, size, &w->why);
        if (done < 0 || (done == 0 && net_wait(w->conn, kNetWritable, w->timeout) == 0)) {
            w->why = done < 0 ? w->why : "timed out";
            return false;
        }
        bytes += done;
        size -= (size_t)done;
    }
    return true;
}

/* Makes sure that some byte is there; false: the end (why is NULL) or a failure. */
static bool fill_part(struct wget* w) {
    while (w->at == w->end) {
        ssize_t got = net_read(w->conn, w->part, sizeof w->part, &w->why);
        if (got < 0) {
            return false;
        }
        w->at = 0;
        w->end = (size_t)got;
        if (got == 0 && net_wait(w->conn, kNetReadable, w->timeout) == 0) {
            w->why = "timed out";
            return false;
        }
    }
    return true;
}

/* A line of the head or of a chunk, without its end; NULL: there is none. */
static char* next_line(struct wget* w, size_t* budget) {
    struct str line = {0};
    while (fill_part(w)) {
        char c = w->part[w->at++];
        if (c == '\n') {
            line.n -= line.n > 0 && line.s[line.n - 1] == '\r' ? 1 : 0;
            return str_end(&line);
        }
        if ((*budget)-- == 0) {
            w->why = "the head of the answer is longer than 65536 bytes";
            return NULL;
        }
        str_byte(&line, c);
    }
    w->why = w->why ? w->why : "the answer ends too early";
    return NULL;
}

struct answer {
    long long status, length; /* -1: to the end of the connection */
    bool chunked;
    char* location;
};

static bool read_head(struct wget* w, struct answer* answer) {
    size_t budget = kHeadBytesMax;
    char* line = next_line(w, &budget);
    if (!line) {
        return false;
    }
    *answer = (struct answer){.length = -1};
    if (strncmp(line, "HTTP/1.", 7) != 0 || strlen(line) < 12 ||
        !parse_number(pool_copy(&scratch, line + 9, 3), &answer->status)) {
        w->why = "the answer is no HTTP";
        return false;
    }
    for (; line && *line; line = next_line(w, &budget)) {
        if (w->show_head && fds[2]) {
            char* shown = scratch_format("  %s\n", line);
            file_write(fds[2], shown, strlen(shown));
        }
        char* value = strchr(line, ':');
        if (!value) {
            continue;
        }
        *value++ = '\0';
        value += strspn(value, " \t");
        if (strcasecmp(line, "content-length") == 0 &&
            (!parse_number(value, &answer->length) || answer->length < 0)) {
            w->why = "the answer's content-length is no number";
            return false;
        }
        answer->chunked |=
            strcasecmp(line, "transfer-encoding") == 0 && strcasecmp(value, "chunked") == 0;
        answer->location = strcasecmp(line, "location") == 0 ? value : answer->location;
    }
    return line != NULL;
}

/* `size` bytes of the body, or all to the end when it is below zero. */
static bool copy_body(struct wget* w, struct file* to, long long size, unsigned long long* total) {
    while (size != 0) {
        if (!fill_part(w)) {
            w->why = w->why ? w->why : size > 0 ? "the body ends too early" : NULL;
            return w->why == NULL;
        }
        size_t part = w->end - w->at;
        part = size > 0 && (unsigned long long)size < part ? (size_t)size : part;
        if (!file_write(to, w->part + w->at, part)) {
            w->why = "cannot write the output";
            return false;
        }
        w->at += part;
        *total += part;
        size -= size > 0 ? (long long)part : 0;
    }
    return true;
}

static bool copy_chunks(struct wget* w, struct file* to, unsigned long long* total) {
    for (;;) {
        size_t budget = 1024;
        struct mark mark = scratch_mark();
        char* line = next_line(w, &budget);
        char* end = line;
        unsigned long long size = line ? strtoull(line, &end, 16) : 0;
        bool fine = line && end != line && size < (1ull << 60);
        scratch_release(mark);
        if (!fine) {
            w->why = w->why ? w->why : "a chunk has no size";
            return false;
        }
        if (size == 0) {
            return true;
        }
        if (!copy_body(w, to, (long long)size, total) || !next_line(w, &budget)) {
            return false;
        }
    }
}

static bool save(struct wget* w, const struct url* url, const struct answer* answer) {
    const char* base = base_of(url->path);
    char* name = pool_copy(&scratch, base, strcspn(base, "?"));
    const char* path = w->output ? w->output : *name && *name != '/' ? name : "index.html";
    bool to_stdout = strcmp(path, "-") == 0;
    struct file* to = to_stdout ? file_hold(fds[1]) : file_open(path, O_WRONLY | O_CREAT | O_TRUNC);
    unsigned long long total = 0;
    if (!to) {
        w->why = scratch_format("%s: %s", path, strerror(errno));
        return false;
    }
    bool fine =
        answer->chunked ? copy_chunks(w, to, &total) : copy_body(w, to, answer->length, &total);
    fine = file_flush(to) && fine;
    file_drop(to);
    if (fine && !w->quiet && !to_stdout) {
        complain("saved '%s', %llu bytes", path, total);
    }
    return fine;
}

static char* request_of(const struct wget* w, const struct url* url, size_t* size) {
    struct str text = {0};
    bool literal = strchr(url->host, ':') != NULL;
    str_text(&text, scratch_format("%s %s HTTP/1.1\r\nHost: %s%s%s",
                                   w->body     ? "POST"
                                   : w->spider ? "HEAD"
                                               : "GET",
                                   url->path, literal ? "[" : "", url->host, literal ? "]" : ""));
    if (url->port != 80) {
        str_text(&text, scratch_format(":%lld", url->port));
    }
    str_text(&text, "\r\nUser-Agent: skiff-toolbox\r\nAccept: */*\r\nConnection: close\r\n");
    str_add(&text, w->headers.s, w->headers.n);
    if (w->body) {
        str_text(&text, scratch_format("Content-Type: application/x-www-form-urlencoded\r\n"
                                       "Content-Length: %zu\r\n",
                                       strlen(w->body)));
    }
    str_text(&text, "\r\n");
    str_text(&text, w->body ? w->body : "");
    *size = text.n;
    return str_end(&text);
}

/* One request; *next is where the answer sends us, if it does. */
static int fetch(struct wget* w, const struct url* url, char** next) {
    size_t size;
    char* request = request_of(w, url, &size);
    struct answer answer = {0};
    w->at = w->end = 0;
    w->why = NULL;
    w->conn = net_connect(url->host, (uint16_t)url->port, w->timeout, &w->why);
    if (!w->conn) {
        complain("%s port %lld: %s", url->host, url->port, w->why);
        return kNetworkFailed;
    }
    bool fine = send_all(w, request, size);
    do {
        fine = fine && read_head(w, &answer);
    } while (fine && answer.status >= 100 && answer.status < 200);
    int result = 0;
    if (fine && answer.status >= 300 && answer.status < 400 && answer.location) {
        *next = answer.location;
    } else if (fine && (answer.status < 200 || answer.status > 299)) {
        complain("the server answered %lld", answer.status);
        result = kServerRefused;
    } else if (fine && !w->spider) {
        fine = answer.status == 204 || save(w, url, &answer);
    }
    if (!fine) {
        complain("%s port %lld: %s", url->host, url->port, w->why ? w->why : "closed");
        result = kNetworkFailed;
    }
    net_close(w->conn);
    return result;
}

static int fetch_all(struct wget* w, const char* text) {
    struct url url;
    if (!parse_url(text, &url)) {
        return 1;
    }
    for (int i = 0; i <= kRedirectsMax; i++) {
        char* next = NULL;
        int status = fetch(w, &url, &next);
        if (status != 0 || !next) {
            return status;
        }
        struct url other;
        if (next[0] == '/' && next[1] != '/') {
            other = url;
            other.path = next;
        } else if (!parse_url(next, &other)) {
            return 1;
        }
        url = other;
    }
    complain("more than %d redirections", kRedirectsMax);
    return kServerRefused;
}

static bool parse_seconds(const char* text, double* seconds) {
    char* end;
    *seconds = strtod(text, &end);
    if (end == text || *end || !(*seconds > 0) || *seconds > 1e6) {
        complain("%s: a number of seconds above 0 is needed", text);
        return false;
    }
    return true;
}

int wget_main(int argc, char** argv) {
    static const struct long_option longs[] = {
        {"quiet", 'q'},     {"output-document", 'O'}, {"server-response", 'S'},
        {"timeout", 'T'},   {"spider", 's'},          {"header", 'H'},
        {"post-data", 'P'}, {"no-verbose", 0},        {0}};
    struct options o = options_of(argc, argv, "qO:ST:sH:P:");
    struct wget* w = scratch_get(sizeof *w);
    o.longs = longs;
    w->timeout = 60;
    for (int letter; (letter = options_next(&o));) {
        if (letter == '?' || (letter == 'T' && !parse_seconds(o.argument, &w->timeout))) {
            return 2;
        }
        w->quiet |= letter == 'q';
        w->show_head |= letter == 'S';
        w->spider |= letter == 's';
        w->output = letter == 'O' ? o.argument : w->output;
        w->body = letter == 'P' ? o.argument : w->body;
        if (letter == 'H') {
            if (strpbrk(o.argument, "\r\n") || !strchr(o.argument, ':')) {
                complain("--header: NAME: VALUE in one line");
                return 2;
            }
            str_text(&w->headers, o.argument);
            str_text(&w->headers, "\r\n");
        }
    }
    if (o.operand_count != 1) {
        complain("usage: wget [-q] [-O FILE|-] [-S] [-T SECONDS] http://HOST[:PORT]/PATH");
        return 2;
    }
    flush_all();
    return fetch_all(w, o.operands[0]);
}

/* ---- nc ---- */

struct nc {
    struct conn* conn;
    double idle;
    char pending[8192]; /* to be sent */
    size_t at, end;
    bool input_open, received_all;
    const char* why;
};

/* Standard input of the process can be waited for; a pipe of ours or a file has all there is. */
static void nc_fill(struct nc* nc, bool waited) {
    ssize_t got;
    if (file_handle(fds[0]) == 0) {
        got = waited ? net_input(nc->conn, nc->pending, sizeof nc->pending) : 0;
    } else {
        got = file_read(fds[0], nc->pending, sizeof nc->pending);
        got = got > 0 ? got : -1;
    }
    nc->at = 0;
    nc->end = got > 0 ? (size_t)got : 0;
    if (got < 0) {
        nc->input_open = false;
        net_end_sending(nc->conn);
    }
}

static void nc_receive(struct nc* nc) {
    char part[8192];
    ssize_t got = net_read(nc->conn, part, sizeof part, &nc->why);
    if (got < 0) {
        nc->received_all = true;
    } else if (got > 0) {
        put_bytes(part, (size_t)got);
        flush_all();
    }
}

static void nc_send(struct nc* nc) {
    ssize_t done = net_write(nc->conn, nc->pending + nc->at, nc->end - nc->at, &nc->why);
    if (done < 0) {
        nc->input_open = false;
        nc->at = nc->end = 0;
    } else {
        nc->at += (size_t)done;
    }
}

static int nc_pump(struct nc* nc) {
    bool stdin_waits = file_handle(fds[0]) == 0;
    while (!nc->received_all && !broken()) {
        if (nc->input_open && nc->at == nc->end && !stdin_waits) {
            nc_fill(nc, false);
        }
        bool sending = nc->at < nc->end;
        int what = kNetReadable | (sending ? kNetWritable : 0) |
                   (nc->input_open && !sending && stdin_waits ? kNetInput : 0);
        int ready = net_wait(nc->conn, what, nc->idle);
        if (ready == 0) {
            return 0; /* nothing happened for so long as -w allows */
        }
        if (ready & kNetReadable) {
            nc_receive(nc);
        }
        if (ready & kNetWritable) {
            nc_send(nc);
        }
        if (ready & kNetInput) {
            nc_fill(nc, true);
        }
    }
    if (nc->why) {
        complain("%s", nc->why);
    }
    return nc->why != NULL;
}

int nc_main(int argc, char** argv) {
    struct options o = options_of(argc, argv, "lp:zw:vnN");
    struct nc* nc = scratch_get(sizeof *nc);
    bool listens = false, only_try = false, told = false;
    const char* port_text = NULL;
    long long port;
    nc->idle = -1;
    for (int letter; (letter = options_next(&o));) {
        if (letter == '?' || (letter == 'w' && !parse_seconds(o.argument, &nc->idle))) {
            return 2;
        }
        listens |= letter == 'l';
        only_try |= letter == 'z';
        told |= letter == 'v';
        port_text = letter == 'p' ? o.argument : port_text;
    }
    int wanted = listens ? 1 - (port_text != NULL) : 2;
    if (o.operand_count == wanted && wanted > 0) {
        port_text = o.operands[wanted - 1];
    }
    if (o.operand_count != wanted || !port_text || !parse_number(port_text, &port) || port < 1 ||
        port > 65535) {
        complain(
            "usage: nc [-z] [-v] [-w SECONDS] HOST PORT, or nc -l [-p] PORT; a PORT is 1 to 65535");
        return 2;
    }
    flush_all();
    if (listens) {
        nc->conn = net_accept((uint16_t)port, nc->idle, &nc->why);
    } else {
        nc->conn = net_connect(o.operands[0], (uint16_t)port, nc->idle, &nc->why);
    }
    if (!nc->conn) {
        complain("%s port %lld: %s", listens ? "listening" : o.operands[0], port, nc->why);
        return 1;
    }
    if (told) {
        complain("%s port %lld: open", listens ? "accepted," : o.operands[0], port);
    }
    nc->why = NULL;
    nc->input_open = fds[0] != NULL;
    int status = only_try ? 0 : nc_pump(nc);
    net_close(nc->conn);
    return status;
}

int nslookup_main(int argc, char** argv) {
    if (argc != 2) {
        complain("usage: nslookup NAME");
        return 2;
    }
    char texts[kAddressesMax][kAddressBytes];
    const char* why = "no address";
    size_t count = net_lookup(argv[1], texts, 10, &why);
    for (size_t i = 0; i < count; i++) {
        putf("%s\n", texts[i]);
    }
    if (count == 0) {
        complain("%s: %s", argv[1], why);
    }
    return count == 0;
}
#endif
